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

export function welcome(choose) {
  const cards = EXAMPLES.map(({ key, shape, file }) => {
    const picture = file?.endsWith(".png") ? el("img", { src: SAMPLES + file, alt: "", width: 40, height: 40 }) : el("span", { class: "glyph" }, icon(shape));
    const words = el("span", { class: "words" }, el("strong", {}, word(key)), el("span", {}, word(`${key} hint`)));
    return el("button", { type: "button", onclick: () => choose({ text: word(`${key} question`), url: file && SAMPLES + file, name: file }) }, picture, words);
  });
  return el("div", {}, el("h2", {}, word("welcome")), el("p", {}, word("welcome hint")), el("div", { class: "examples" }, ...cards));
}
