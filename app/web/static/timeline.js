// The TMRoPE timeline: which frame, which sound and which words got which time ids.

import { el } from "./dom.js";
import { outline, svg } from "./svg.js";
import { word } from "./words.js";

const LANES = { pictures: 56, sound: 44, words: 18 }; // heights
const AXIS = 20;
const GAP = 8;
const LEAST_WIDTH = 440;
const MOST_WIDTH = 12000;

export function timeline(found, turn) {
  const { blocks, ids_per_second: rate, reply } = found.layout;
  if (!blocks.length) return el("p", { class: "soft" }, word("nothing measured"));
  const first = blocks[0].from;
  const last = reply + Math.max(1, found.usage?.text_tokens ?? 1);
  // A short turn fills the drawer; in a long one a frame still has room, and the rest is scrolled to.
  const pairs = blocks.flatMap((block) => block.frames ?? []);
  const closest = Math.min(...pairs.slice(1).map((id, index) => id - pairs[index]), 1000);
  const perId = Math.max(LEAST_WIDTH / (last - first), pairs.length > 1 ? Math.min(48 / Math.max(1, closest), 6) : 0);
  const width = Math.min(MOST_WIDTH, Math.ceil((last - first) * perId));
  const x = (id) => ((id - first) / (last - first)) * width;
  const lanes = lanesOf(blocks);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${lanes.end + AXIS}`, width, height: lanes.end + AXIS, class: "timeline", role: "img" });
  drawing.append(svg("title", {}, word("timeline")));
  axis(drawing, first, last, x, lanes.end);
  for (const block of blocks) draw(drawing, lanes, block, found.media?.[block.medium] ?? {}, x, rate, found.dropped_sec);
  const answer = svg("rect", { x: x(reply), y: lanes.words.top, width: Math.max(2, x(last) - x(reply)), height: lanes.words.height, rx: 3, class: "block reply" });
  answer.append(svg("title", {}, word("reply ids", { from: reply, to: last - 1 })));
  drawing.append(answer);
  const list = blocks.map((block) => el("li", {}, describe(block, found.media?.[block.medium])));
  list.push(el("li", {}, word("reply ids", { from: reply, to: last - 1 })));
  const kinds = [["pictures", "image"], ["sound", "audio"], ["words", "text"], ["reply", "reply"]].filter(([name]) => name === "reply" || lanes[name]);
  const key = kinds.map(([name, kind]) => el("span", {}, el("i", { class: `swatch ${kind}` }), word(`lane ${name}`)));
  if (found.dropped_sec?.length) key.push(el("span", {}, el("i", { class: "swatch dropped" }), word("dropped", { count: found.dropped_sec.length })));
  return el(
    "div",
    {},
    el("p", { class: "soft" }, word("timeline hint", { rate })),
    el("div", { class: "sideways", tabindex: "0", role: "region", "aria-label": word("timeline") }, drawing),
    el("p", { class: "key" }, ...key),
    el("details", { class: "json" }, el("summary", {}, word("position ids")), el("ul", {}, ...list)),
  );
}

// Where each lane lies; one that nothing would lie in is left out.
function lanesOf(blocks) {
  const used = { pictures: blocks.some(({ kind }) => kind === "image" || kind === "video"), sound: blocks.some(({ sound }) => sound), words: true };
  const lanes = { end: AXIS };
  for (const [name, height] of Object.entries(LANES)) {
    if (!used[name]) continue;
    lanes[name] = { top: lanes.end, height };
    lanes.end += height + GAP;
  }
  return lanes;
}

function axis(drawing, first, last, x, end) {
  const step = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500].find((one) => x(first + one) >= 60) ?? 5000;
  for (let id = Math.ceil(first / step) * step; id <= last; id += step) {
    const fits = x(last) - x(id) > 30;
    const label = svg("text", { x: x(id) + (fits ? 2 : -2), y: 11, class: "tick", "text-anchor": fits ? "start" : "end" }, id);
    drawing.append(svg("line", { x1: x(id), x2: x(id), y1: 14, y2: end + 4, class: "grid" }), label);
  }
}

function draw(drawing, { pictures, sound, words }, block, medium, x, rate, dropped = []) {
  const left = x(block.from);
  const width = Math.max(2, x(block.to + 1) - left);
  if (block.kind === "text") {
    const shape = svg("rect", { x: left, y: words.top, width, height: words.height, rx: 3, class: "block text" });
    shape.append(svg("title", {}, describe(block)));
    return drawing.append(shape);
  }
  if (block.kind !== "audio") {
    const ids = block.frames ?? [block.from + 1];
    const room = block.frames ? width / ids.length : width;
    const shape = svg("rect", { x: left, y: pictures.top, width, height: pictures.height, rx: 4, class: "block image" });
    shape.append(svg("title", {}, describe(block, medium)));
    drawing.append(shape);
    for (const { index, src } of medium.thumbnails ?? []) {
      const at = x(ids[index] ?? block.from);
      const wide = Math.min(88, Math.max(20, block.frames ? room - 3 : Math.max(width, 64)));
      const image = svg("image", { x: at, y: pictures.top + 3, width: wide, height: pictures.height - 6, preserveAspectRatio: "xMinYMid slice" });
      image.setAttribute("href", src);
      image.append(svg("title", {}, word("frame at", { id: ids[index] ?? block.from, sec: (medium.times_sec?.[index] ?? 0).toFixed(2) })));
      drawing.append(image, svg("line", { x1: at, x2: at, y1: pictures.top, y2: pictures.top + pictures.height, class: "frame" }));
    }
    for (const sec of dropped) {
      const at = x(ids[0] + sec * rate);
      const mark = svg("path", { d: `M${at - 4},${pictures.top + 2} l8,8 m0,-8 l-8,8 M${at},${pictures.top + 12} V${pictures.top + pictures.height}`, class: "dropped" });
      mark.append(svg("title", {}, word("dropped at", { sec: sec.toFixed(2) })));
      drawing.append(mark);
    }
  }
  if (block.sound) {
    const [from, to] = block.sound;
    const shape = svg("rect", { x: x(from), y: sound.top, width: Math.max(2, x(to + 1) - x(from)), height: sound.height, rx: 4, class: "block audio" });
    shape.append(svg("title", {}, describe(block, medium)));
    drawing.append(shape);
    const peaks = (medium.peaks ?? []).slice(0, to - from + 1);
    if (peaks.length > 1) drawing.append(outline(peaks, (index) => x(from + index), sound.top + 3, sound.height - 6));
  }
}

function describe(block, medium) {
  const name = medium?.name ? ` ${medium.name}` : "";
  const frames = block.frames ? `, ${word("frame pairs", { count: block.frames.length })}` : "";
  return `${word(`kind ${block.kind}`)}${name}: ${word("ids", { from: block.from, to: block.to, tokens: block.tokens })}${frames}`;
}
