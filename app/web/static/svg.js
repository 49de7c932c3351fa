// Elements of a drawing.

const SVG = "http://www.w3.org/2000/svg";

export function svg(name, attributes = {}, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// The outline of a sound, mirrored about the middle of a box. peaks: 0…1 each; x(i): where the i-th stands.
export function outline(peaks, x, top, height) {
  const middle = top + height / 2;
  const loudest = Math.max(0.05, ...peaks);
  const reach = peaks.map((peak) => Math.max(0.5, ((peak / loudest) * height) / 2));
  const upper = reach.map((far, index) => `${x(index).toFixed(1)},${(middle - far).toFixed(1)}`);
  const lower = reach.map((far, index) => `${x(index).toFixed(1)},${(middle + far).toFixed(1)}`).reverse();
  return svg("polygon", { points: [...upper, ...lower].join(" "), class: "outline" });
}
