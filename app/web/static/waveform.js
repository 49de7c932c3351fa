// A sound as its outline, to be played, seeked and read: the caption is what was said in it.

import { button, bytes, duration, el, icon } from "./dom.js";
import { call } from "./server.js";
import { svg } from "./svg.js";
import { word } from "./words.js";

const WIDTH = 240;
const HEIGHT = 36;
const BARS = 60;
let playing = null;

export function stopSounds() {
  playing?.pause();
}

// part: {url, digest, name, duration_sec, size_bytes, caption}. caption: what was said, where that is known.
export function waveform(part) {
  const audio = new Audio();
  audio.preload = "metadata";
  const sec = () => (Number.isFinite(audio.duration) ? audio.duration : (part.duration_sec ?? 0));
  const play = button("play", `${word("play")}: ${part.name}`, () => {
    if (!audio.src) audio.src = part.url;
    if (!audio.paused) return audio.pause();
    if (playing !== audio) playing?.pause();
    playing = audio;
    audio.play().catch(() => {});
  });
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const seek = el("input", { type: "range", min: 0, max: 1000, value: 0, "aria-label": `${word("seek")}: ${part.name}`, oninput: () => move() });
  const clock = el("span", { class: "length" }, duration(sec()));
  const move = () => {
    if (!audio.src) audio.src = part.url;
    audio.currentTime = (seek.value / 1000) * sec();
    show();
  };
  const show = () => {
    const share = sec() ? audio.currentTime / sec() : 0;
    seek.value = share * 1000;
    seek.setAttribute("aria-valuetext", `${duration(audio.currentTime)} / ${duration(sec())}`);
    drawing.style.setProperty("--share", `${share * 100}%`);
    clock.textContent = duration(audio.paused && !audio.currentTime ? sec() : audio.currentTime);
  };
  audio.ontimeupdate = show;
  audio.onplay = audio.onpause = audio.onended = () => {
    play.replaceChildren(icon(audio.paused ? "play" : "pause"));
    show();
  };
  const figure = el("figure", { class: "sound" }, el("div", { class: "row" }, play, el("div", { class: "wave" }, drawing, seek), clock));
  audio.onerror = () => figure.replaceChildren(el("p", { class: "note" }, `${word("cannot show")} (${bytes(part.size_bytes)})`));
  figure.append(part.caption ? el("figcaption", { title: part.name }, `“${part.caption}”`) : el("figcaption", {}, part.name));
  call("GET", `/media/${part.digest}/peaks`)
    .then(({ peaks }) => {
      drawing.append(...columns(gathered(peaks)));
    })
    .catch(() => {});
  return figure;
}

// An upright bar for each peak, about the middle line.
function columns(peaks) {
  const loudest = Math.max(0.05, ...peaks);
  const step = WIDTH / BARS;
  return peaks.map((peak, index) => {
    const height = Math.max(2, (peak / loudest) * HEIGHT);
    return svg("rect", { x: (index * step).toFixed(2), y: (HEIGHT - height) / 2, width: step * 0.6, height, rx: 1, class: "column" });
  });
}

function gathered(peaks) {
  if (!peaks.length) return [];
  return Array.from({ length: BARS }, (_, bar) => Math.max(...peaks.slice(Math.floor((bar * peaks.length) / BARS), Math.ceil(((bar + 1) * peaks.length) / BARS))));
}
