// From numbers to places in a drawing.

import { svg } from "./dom.js";

export const linear = (from, to, low, high) => (value) => low + ((value - from) / (to - from)) * (high - low);
export const logarithmic = (from, to, low, high) => {
  const inner = linear(Math.log10(from), Math.log10(to), low, high);
  return (value) => inner(Math.log10(value));
};

export const line = (x1, y1, x2, y2, kind) => svg("line", { x1, y1, x2, y2, class: kind });
export const words = (x, y, text, { kind = "", anchor = "middle" } = {}) => svg("text", { x, y, class: kind, "text-anchor": anchor }, text);

/** A path through `points`, [[x, y], …]. */
export const path = (points) => points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

export function drawing(width, height, label, ...children) {
  return svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, ...children);
}
