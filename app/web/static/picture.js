// The picture that an answer points into, with its boxes and points and their labels.

import { el } from "./dom.js";
import { svg } from "./svg.js";
import { word } from "./words.js";

const COLOURS = ["#e11d48", "#0369a1", "#15803d", "#9333ea", "#b45309", "#0f766e"];
const LABEL_PX = 13;
let pen = null;

// places: {kind: "box", left, top, right, bottom, label} or {kind: "point", x, y, label}, in pixels of the picture.
export function markedPicture(url, places) {
  const image = el("img", { src: url, alt: word("picture with boxes", { count: places.length }) });
  const drawing = svg("svg", { "aria-hidden": "true" });
  const figure = el("figure", { class: "marked" }, el("div", { class: "picture" }, image, drawing));
  // Lines and labels keep their size on the screen, whatever the picture's.
  const draw = () => {
    const { naturalWidth: width, naturalHeight: height, clientWidth: shown } = image;
    if (!width || !shown) return;
    const font = getComputedStyle(figure).fontFamily;
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.replaceChildren(...places.flatMap((place, index) => mark(place, COLOURS[index % COLOURS.length], width / shown, width, font)));
  };
  // In the next frame: an observer that changes the page while sizes are being told may be reported as an error.
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(image);
  const labels = places.map((place) => place.label).filter(Boolean);
  if (labels.length) figure.append(el("figcaption", {}, labels.join(", ")));
  return figure;
}

// unit: of the picture's pixels in one on the screen; width: of the picture; font: the labels' family.
function mark(place, colour, unit, width, font) {
  const drawn = [];
  let { x, y } = place;
  if (place.kind === "box") {
    x = place.left;
    y = place.top;
    const frame = { x, y, width: place.right - x, height: place.bottom - y, rx: 2 * unit, fill: "none" };
    // The white edge keeps a frame in sight on any ground.
    for (const [stroke, thick] of [["#fff", 5], [colour, 2.5]]) drawn.push(svg("rect", { ...frame, stroke, "stroke-width": thick * unit }));
  } else {
    drawn.push(svg("circle", { cx: x, cy: y, r: 5 * unit, fill: colour, stroke: "#fff", "stroke-width": 1.5 * unit }));
  }
  if (place.label) {
    const size = LABEL_PX * unit;
    const long = Math.min(width, textWidth(place.label, font) * unit + size * 0.8);
    const left = Math.max(0, Math.min(x - 2.5 * unit, width - long));
    const top = y - size * 1.55 >= 0 ? y - size * 1.55 : y;
    drawn.push(svg("rect", { x: left, y: top, width: long, height: size * 1.4, rx: 3 * unit, fill: colour }));
    drawn.push(svg("text", { x: left + size * 0.4, y: top + size * 1.05, "font-size": size, fill: "#fff" }, place.label));
  }
  return drawn;
}

function textWidth(text, font) {
  pen ??= document.createElement("canvas").getContext("2d");
  pen.font = `600 ${LABEL_PX}px ${font}`;
  return pen.measureText(text).width;
}
