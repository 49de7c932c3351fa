// Where the tokens of a mixture of experts went: a map of layers and experts, and the tokens in the colours of one layer.

import { el } from "./dom.js";
import { svg } from "./svg.js";
import { word } from "./words.js";

const NAMES = 64;
const CELL = 28;
const ROW = 20;

// used: {counts: [layers][experts], tokens: [{text, experts: [layers][chosen, strongest first]}]} of told.py.
export function experts({ counts, tokens }) {
  const written = counts[0].reduce((sum, count) => sum + count, 0) / (tokens[0]?.experts[0].length ?? 1);
  const map = new ExpertMap(counts, written);
  const said = el("p", { class: "soft", role: "status" });
  const spans = tokens.map(({ text, experts }, index) => el("span", { class: "token", title: where(experts), onclick: () => choose(index) }, text || "▫"));
  const words = el("div", { class: "tokens", tabindex: "0", role: "group", "aria-label": word("expert tokens") }, ...spans);
  const layer = el("select", { class: "pick", "aria-label": word("expert layer"), onchange: () => paint() }, ...counts.map((_, index) => el("option", { value: index }, word("layer", { number: index + 1 }))));
  let current = null;

  function paint() {
    const shown = Number(layer.value);
    map.mark(shown, current === null ? null : tokens[current].experts);
    tokens.forEach(({ experts }, index) => spans[index].style.setProperty("--expert", hue(experts[shown][0], counts[shown].length)));
  }

  function choose(index) {
    if (!tokens.length) return;
    spans[current]?.removeAttribute("aria-current");
    current = Math.max(0, Math.min(tokens.length - 1, index));
    spans[current].setAttribute("aria-current", "true");
    spans[current].scrollIntoView({ block: "nearest" });
    said.textContent = `“${spans[current].textContent}” ${where(tokens[current].experts)}`;
    paint();
  }

  words.onkeydown = ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (step) choose(current === null ? 0 : current + step);
  };
  map.onchoose = (index) => {
    layer.value = index;
    paint();
  };
  paint();
  const note = word("expert note", { tokens: written, experts: counts[0].length, chosen: tokens[0]?.experts[0].length ?? 0 });
  const more = tokens.length < written ? el("p", { class: "soft" }, word("expert rest", { count: tokens.length })) : null;
  return el("div", {}, el("p", { class: "soft" }, note), map.drawing, el("div", { class: "row" }, layer, said), words, more);
}

// One row a layer, one column an expert; the fuller a cell, the more of the tokens went there.
class ExpertMap {
  constructor(counts, written) {
    const across = counts[0].length;
    const most = Math.max(1, ...counts.flat());
    this.drawing = svg("svg", { viewBox: `0 0 ${NAMES + across * CELL} ${(counts.length + 1) * ROW}`, class: "experts", role: "img" });
    this.drawing.append(svg("title", {}, word("experts")));
    this.cells = counts.map((row, layer) => {
      const y = layer * ROW;
      const name = svg("text", { x: 0, y: y + 14, class: "name" }, word("layer", { number: layer + 1 }));
      const cells = row.map((count, expert) => {
        const cell = svg("rect", { x: NAMES + expert * CELL + 1, y: y + 1, width: CELL - 2, height: ROW - 2, rx: 3, class: "expert", fill: `hsl(${hue(expert, across)} 65% 50%)`, "fill-opacity": (0.06 + 0.94 * (count / most)).toFixed(3) });
        cell.append(svg("title", {}, word("expert share", { layer: layer + 1, expert: expert + 1, share: Math.round((100 * count) / Math.max(1, written)) })));
        return cell;
      });
      for (const part of [name, ...cells]) part.addEventListener("click", () => this.onchoose(layer));
      this.drawing.append(name, ...cells);
      return { name, cells };
    });
    for (let expert = 0; expert < across; expert += across > 32 ? 8 : 1) {
      this.drawing.append(svg("text", { x: NAMES + (expert + 0.5) * CELL, y: counts.length * ROW + 14, class: "tick", "text-anchor": "middle" }, String(expert + 1)));
    }
  }

  // The layer whose colours the tokens have, and the way of one token through all layers.
  mark(shown, way) {
    this.cells.forEach(({ name, cells }, layer) => {
      name.classList.toggle("shown", layer === shown);
      cells.forEach((cell, expert) => cell.classList.toggle("taken", way?.[layer].includes(expert) ?? false));
    });
  }
}

function hue(expert, of) {
  return Math.round((360 * expert) / of);
}

function where(layers) {
  return layers.map((chosen, layer) => `${layer + 1}: ${chosen.map((expert) => expert + 1).join(" + ")}`).join(" · ");
}
