// An empty conversation: what can be asked, with files to try it on.

import { el, icon } from "./dom.js";
import { word } from "./words.js";

const SAMPLES = "/api/static/samples/";
// Each is asked as it stands; `file` goes with it.
export const EXAMPLES = [
  { key: "example picture", shape: "box", file: "shapes.png" },
  { key: "example video", shape: "play", file: "moving.mp4" },
  { key: "example sound", shape: "mic", file: "question.wav" },
  { key: "example talk", shape: "thought" },
];

// example({text, url, name}): asks it. startCall(): null where no call can be held.
export function welcome({ example, startCall }) {
  const cards = EXAMPLES.map(({ key, shape, file }) =>
    card(preview(shape, file), word(key), word(`${key} hint`), () => example({ text: word(`${key} question`), url: file && SAMPLES + file, name: file })),
  );
  const call = startCall && card(glyph("phone"), word("example call"), word("example call hint"), startCall);
  call?.classList.add("wide");
  return el(
    "div",
    {},
    el("img", { class: "logo", src: "/api/static/logo.svg", alt: "", width: 72, height: 48 }),
    el("h2", {}, word("welcome")),
    el("p", {}, word("welcome hint")),
    el("div", { class: "examples" }, ...cards, call),
  );
}

function card(picture, title, hint, onclick) {
  return el("button", { type: "button", onclick }, picture, el("span", { class: "words" }, el("strong", {}, title), el("span", {}, hint)));
}

function preview(shape, file = "") {
  if (file.endsWith(".png")) return el("img", { src: SAMPLES + file, alt: "", width: 44, height: 44 });
  if (file.endsWith(".mp4")) return el("video", { src: `${SAMPLES}${file}#t=0.1`, preload: "metadata", muted: true, playsinline: true, "aria-hidden": "true", tabindex: "-1" });
  return glyph(shape);
}

function glyph(shape) {
  return el("span", { class: "glyph" }, icon(shape));
}
