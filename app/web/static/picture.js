// The picture that an answer points into, with its boxes and points and their labels.

import { el } from "./dom.js";
import { word } from "./words.js";

const COLOURS = ["#e11d48", "#0369a1", "#15803d", "#9333ea", "#b45309", "#0f766e"];
const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

// places: {kind: "box", left, top, right, bottom, label} or {kind: "point", x, y, label}, in pixels of the picture.
export function markedPicture(url, places) {
  const image = el("img", { src: url, alt: word("picture with boxes", { count: places.length }) });
  const figure = el("figure", { class: "marked" }, image);
  image.onload = () => {
    const width = image.naturalWidth;
    const height = image.naturalHeight;
    const unit = width / image.clientWidth; // of the picture's pixels in one on the screen
    const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    places.forEach((place, index) => drawing.append(...mark(place, COLOURS[index % COLOURS.length], unit, width)));
    figure.append(drawing);
  };
  const labels = places.map((place) => place.label).filter(Boolean);
  if (labels.length) figure.append(el("figcaption", {}, labels.join(", ")));
  return figure;
}

function mark(place, colour, unit, width) {
  const drawn = [];
  let x = place.x;
  let y = place.y;
  if (place.kind === "box") {
    x = place.left;
    y = place.top;
    const size = { x, y, width: place.right - place.left, height: place.bottom - place.top };
    drawn.push(shape("rect", { ...size, fill: "none", stroke: colour, "stroke-width": 2.5 * unit }));
  } else {
    drawn.push(shape("circle", { cx: x, cy: y, r: 5 * unit, fill: colour, stroke: "#fff", "stroke-width": 1.5 * unit }));
  }
  if (place.label) {
    const size = 13 * unit;
    const long = Math.min(width, place.label.length * size * 0.62 + size * 0.6);
    const left = Math.max(0, Math.min(x, width - long));
    const top = y - size * 1.4 >= 0 ? y - size * 1.4 : y;
    drawn.push(shape("rect", { x: left, y: top, width: long, height: size * 1.4, fill: colour }));
    const text = shape("text", { x: left + size * 0.3, y: top + size * 1.05, "font-size": size, fill: "#fff" });
    text.textContent = place.label;
    drawn.push(text);
  }
  return drawn;
}
