// The microphone, and the pictures of a camera or a screen, as a call sends them.

export const RATE_HZ = 24000;
const FRAME_MS = 500;
const LONGEST_SIDE = 640;
const AWAKE_MS = 8000;

// onblock(Int16Array of 40 ms at 24 kHz, loudness 0…1). Echo cancellation is on, so that the assistant does not hear itself.
export class Microphone {
  constructor(onblock) {
    this.onblock = onblock;
  }

  // Raises what getUserMedia raises where there is no microphone or it is not allowed.
  async start(device) {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { deviceId: device ? { exact: device } : undefined, echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
    });
    this.stop();
    this.stream = stream;
    // At the device's own rate: Firefox connects a microphone to no other.
    this.context = new AudioContext({ latencyHint: "interactive" });
    await this.context.audioWorklet.addModule("/api/static/capture-worklet.js");
    this.node = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    this.node.port.onmessage = ({ data }) => this.onblock(data.pcm, data.level);
    this.context.createMediaStreamSource(this.stream).connect(this.node);
    await awake(this.context);
  }

  get device() {
    return this.stream?.getAudioTracks()[0]?.getSettings().deviceId;
  }

  stop() {
    this.node?.port.postMessage("stop");
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.context?.close();
    this.node = this.stream = this.context = null;
  }
}

// Firefox never wakes a context on a machine without any loudspeaker, and says nothing about it.
async function awake(context) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new DOMException("no sound output", "AwakeError")), AWAKE_MS));
  await Promise.race([context.resume(), late]);
}

// onframe(base64 JPEG): two a second. onend: the user ended sharing outside of the page.
export class Frames {
  constructor(onframe, onend) {
    this.onframe = onframe;
    this.onend = onend;
    this.video = document.createElement("video");
    this.video.muted = this.video.playsInline = this.video.autoplay = true;
    this.kind = null;
  }

  // kind: "camera" or "screen". Raises what the browser raises where it is refused.
  async start(kind, device) {
    const stream =
      kind === "camera"
        ? await navigator.mediaDevices.getUserMedia({ video: { deviceId: device ? { exact: device } : undefined, width: { ideal: 1280 } } })
        : await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 5 } }, audio: false });
    this.stop();
    this.stream = stream;
    this.kind = kind;
    stream.getVideoTracks()[0].onended = () => (this.stop(), this.onend());
    this.video.srcObject = stream;
    await this.video.play();
    this.ticking = setInterval(() => this.grab(), FRAME_MS);
    this.grab();
  }

  get device() {
    return this.stream?.getVideoTracks()[0]?.getSettings().deviceId;
  }

  async grab() {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (!width || this.grabbing) return;
    this.grabbing = true;
    const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.getContext("2d").drawImage(this.video, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.85));
    this.grabbing = false;
    if (this.kind && blob) this.onframe(toBase64(new Uint8Array(await blob.arrayBuffer())));
  }

  stop() {
    clearInterval(this.ticking);
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
    this.stream = this.kind = null;
  }
}

export function toBase64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
