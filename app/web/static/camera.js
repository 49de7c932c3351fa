// A still from the webcam: a dialog with the live picture and one button.

import { button, el } from "./dom.js";
import { word } from "./words.js";

// Resolves to a JPEG blob, or null where the dialog was closed. Raises what getUserMedia raises.
export async function takePicture() {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } } });
  const video = el("video", { autoplay: true, playsinline: true, muted: true, "aria-label": word("camera") });
  video.muted = true;
  video.srcObject = stream;
  return new Promise((resolve) => {
    const leave = (result) => {
      for (const track of stream.getTracks()) track.stop();
      dialog.remove();
      resolve(result);
    };
    const snap = button("camera", word("snap"), () => {
      const canvas = el("canvas");
      canvas.width = video.videoWidth;
      canvas.height = video.videoHeight;
      canvas.getContext("2d").drawImage(video, 0, 0);
      canvas.toBlob(leave, "image/jpeg", 0.92);
    }, { disabled: true, class: "labelled primary" }, true);
    video.onloadeddata = () => (snap.disabled = false);
    const dialog = el(
      "dialog",
      { class: "camera", "aria-label": word("camera"), onclose: () => leave(null) },
      video,
      el("div", { class: "row" }, snap, button("close", word("close"), () => dialog.close(), {}, true)),
    );
    document.getElementById("conversation").append(dialog);
    dialog.showModal();
  });
}
