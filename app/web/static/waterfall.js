// How long each stage of a reply took, on one time axis from the question (or the end of the user's speech) on.

import { el } from "./dom.js";
import { svg } from "./svg.js";
import { word } from "./words.js";

const WIDTH = 560;
const NAMES = 128;
const ROW = 26;
// Name of the row, the marks between which it works, and its colour's class.
const STAGES = [
  ["stage wait", "asked", "begun", "wait"],
  ["stage prepare", "begun", "appended", "prepare"],
  ["stage read", "appended", "read", "read"],
  ["stage write", "read", "last_text", "write", "first_text"],
  ["stage talk", "read", "last_code", "talk", "first_code"],
  ["stage voice", "first_code", "last_audio", "voice", "first_audio"],
  ["stage play", "first_audio", "heard", "play"],
];

// Of a turn in a call: what is known are the firsts, from the moment the user fell silent. An answer may be begun before
// the turn is decided.
const CALL_STAGES = [
  ["stage decide", "speech_end", "decided", "wait"],
  ["stage read", "speech_end", "read", "read"],
  ["stage write", "read", "first_text", "write"],
  ["stage talk", "read", "first_code", "talk"],
  ["stage voice", "first_code", "first_audio", "voice"],
  ["stage play", "first_audio", "heard", "play"],
];

// The marks of a typed question, or those that follow from a call's timings; null where nothing was timed.
export function marksOf({ marks_ms: marks, timings_ms: timings = {} }) {
  if (marks) return marks;
  if (timings.decided_ms === undefined) return null;
  const known = { speech_end: 0, decided: timings.decided_ms, read: timings.read_ms, first_text: timings.first_text_ms, first_code: timings.first_code_ms, first_audio: timings.sent_ms ?? timings.first_sample_ms };
  return Object.fromEntries(Object.entries(known).filter(([, ms]) => ms !== null && ms !== undefined));
}

export function waterfall(found) {
  const marks = { ...marksOf(found) };
  const stages = marks.speech_end === undefined ? STAGES : CALL_STAGES;
  if (found.heard_ms && marks.first_audio !== undefined) marks.heard = marks.first_audio + found.heard_ms;
  const rows = stages.filter(([, from, to]) => marks[from] !== undefined && marks[to] > marks[from] + 0.5);
  // Playing goes on long after everything is made; the axis ends a little after the last stage.
  const made = Math.max(...Object.entries(marks).filter(([name]) => name !== "heard").map(([, ms]) => ms), 1);
  const end = Math.min(made * 1.25, Math.max(made, marks.heard ?? 0));
  const scale = (ms) => NAMES + (Math.min(ms, end) / end) * (WIDTH - NAMES - 8);
  const height = rows.length * ROW + 22;
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, class: "waterfall", role: "img" });
  drawing.append(svg("title", {}, word("latency")));
  for (const ms of ticks(end)) {
    const x = scale(ms);
    drawing.append(svg("line", { x1: x, x2: x, y1: 0, y2: height - 18, class: "grid" }), svg("text", { x, y: height - 5, class: "tick", "text-anchor": "middle" }, seconds(ms)));
  }
  rows.forEach(([name, from, to, kind, first], index) => {
    const y = index * ROW + 4;
    const left = scale(marks[from]);
    const width = Math.max(2, scale(marks[to]) - left);
    const bar = svg("rect", { x: left, y, width, height: ROW - 9, rx: 4, class: `bar ${kind}` });
    bar.append(svg("title", {}, `${word(name)}: ${seconds(marks[from])} – ${seconds(marks[to])}`));
    drawing.append(svg("text", { x: 0, y: y + 13, class: "name" }, word(name)), bar);
    if (marks[first] !== undefined) drawing.append(svg("line", { x1: scale(marks[first]), x2: scale(marks[first]), y1: y - 2, y2: y + ROW - 7, class: "first" }));
    const label = seconds(marks[to] - marks[from]);
    const inside = width > 60;
    drawing.append(svg("text", { x: inside ? left + 6 : left + width + 5 > WIDTH - 50 ? left - 5 : left + width + 5, y: y + 13, class: inside ? "inside" : "tick", "text-anchor": !inside && left + width + 5 > WIDTH - 50 ? "end" : "start" }, label));
  });
  const table = rows.map(([name, from, to]) => `${word(name)} ${seconds(marks[to] - marks[from])}`).join(", ");
  const heads = [
    [word("first text"), marks.first_text],
    [word("first sound"), marks.first_audio],
    [word("total"), marks.done],
  ].filter(([, ms]) => ms !== undefined);
  return el(
    "div",
    {},
    el("dl", { class: "figures heads" }, ...heads.map(([name, ms]) => el("div", {}, el("dt", {}, name), el("dd", {}, seconds(ms))))),
    drawing,
    el("p", { class: "spoken-only" }, table),
  );
}

function ticks(end) {
  const step = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000].find((one) => end / one <= 6) ?? 120000;
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, index) => index * step);
}

export function seconds(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`;
}
