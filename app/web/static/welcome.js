// An empty conversation: what can be asked, with files to try it on.

import { el, icon } from "./dom.js";
import { word } from "./words.js";

const SAMPLES = "/api/static/samples/";
// Each is asked as it stands, with its files.
export const EXAMPLES = [
  { key: "example picture", files: ["objects.png"] },
  { key: "example sound", shape: "mic", files: ["objects.png", "how-many.wav"] },
  { key: "example video", files: ["moving.mp4"] },
  { key: "example find", files: ["frog.png"] },
  { key: "example think", shape: "thought", files: [] },
  { key: "example talk", shape: "wave", files: [] },
];

// example({text, files: [{url, name}, …]}): asks it. startCall(): null where no call can be held.
export function welcome({ example, startCall }) {
  const cards = EXAMPLES.map(({ key, shape, files }) => {
    const question = word(`${key} question`);
    const ask = () => example({ text: question, files: files.map((name) => ({ url: SAMPLES + name, name })) });
    return card(shape ? glyph(shape) : preview(files[0]), word(key), question ? `“${question}”` : word(`${key} hint`), ask);
  });
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

function preview(file) {
  if (file.endsWith(".png")) return el("img", { src: SAMPLES + file, alt: "", width: 44, height: 44 });
  return el("video", { src: `${SAMPLES}${file}#t=1.2`, preload: "metadata", muted: true, playsinline: true, "aria-hidden": "true", tabindex: "-1" });
}

function glyph(shape) {
  return el("span", { class: "glyph" }, icon(shape));
}
