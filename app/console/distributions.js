// How high strangers score, and how high two photos of one person do: as the calibration
// measured it. Of strangers it knows the upper tail in steps; what lies below is drawn as one block.

import { svg } from "./dom.js";
import { oneIn, percent, score } from "./format.js";
import { drawing, line, linear, path, words } from "./scales.js";

const HEIGHT = 348;
const EDGE = 14;
const TOP = 80;
const BASE = HEIGHT - 40;

/** Shares a unit of similarity: [[from, to, density], …]. */
function sameDensity(mated) {
  // Every other row: finer steps would show the chance of a few hundred pairs.
  const rows = mated.fnmr.filter((_, index) => index % 2 === 0 || index === mated.fnmr.length - 1);
  return rows.slice(1).map((row, index) => {
    const before = rows[index];
    return [before.threshold, row.threshold, (row.fnmr - before.fnmr) / (row.threshold - before.threshold)];
  });
}

function strangerDensity(fmr) {
  return fmr.slice(1).map((row, index) => {
    const before = fmr[index];
    return [before.threshold, row.threshold, (before.fmr - row.fmr) / (row.threshold - before.threshold)];
  });
}

function steps(bins, x, y) {
  if (!bins.length) return "";
  const points = [[x(bins[0][0]), BASE]];
  for (const [from, to, density] of bins) points.push([x(from), y(density)], [x(to), y(density)]);
  points.push([x(bins.at(-1)[1]), BASE]);
  return path(points);
}

/** `similarity` and `threshold` may be null: then nothing of them is drawn. `width` in pixels. */
export function distributions(calibration, { similarity = null, threshold = null, width = 460 } = {}) {
  const same = sameDensity(calibration.mated);
  const others = strangerDensity(calibration.fmr);
  const first = calibration.fmr[0];
  const block = (1 - first.fmr) / Math.max(first.threshold, 0.01);
  const most = Math.max(block, ...same.map((bin) => bin[2]), ...others.map((bin) => bin[2]));
  const x = linear(0, 1, EDGE, width - EDGE);
  const y = linear(0, most * 1.04, BASE, TOP);
  const inside = (value) => x(Math.min(1, Math.max(0, value)));
  const label = `Scores of pairs of strangers and of pairs of photos of one person, from 0 to 1. ${percent(1 - first.fmr)} of strangers score below ${score(first.threshold)}.${similarity === null ? "" : ` These two: ${score(similarity)}.`}${threshold === null ? "" : ` Threshold: ${score(threshold)}.`}`;
  return drawing(
    width, HEIGHT, label,
    svg("rect", { class: "unknown", x: x(0), y: y(block), width: x(first.threshold) - x(0), height: BASE - y(block), rx: 4 }),
    [percent(1 - first.fmr), "of strangers", "score here"].map((text, index) => words((x(0) + x(first.threshold)) / 2, (y(block) + BASE) / 2 + (index - 1) * 16, text, { kind: "faint-text" })),
    svg("path", { class: "others", d: steps(others, x, y) }),
    svg("path", { class: "same", d: steps(same, x, y) }),
    rarity(calibration.fmr, x, width < 420 ? 3 : 2),
    line(EDGE, BASE, width - EDGE, BASE, "axis"),
    [0, 0.2, 0.4, 0.6, 0.8, 1].map((tick) => words(x(tick), BASE + 18, tick.toFixed(1), { kind: "faint-text", anchor: tick === 0 ? "start" : tick === 1 ? "end" : "middle" })),
    threshold === null ? null : [line(inside(threshold), TOP - 12, inside(threshold), BASE, "cutline")],
    similarity === null ? null : mark(inside(similarity), similarity, width),
  );
}

/** Above: how rare a score is among strangers, where a power of ten was measured. */
function rarity(rows, x, levels) {
  const round = rows.filter((row) => Math.abs(Math.log10(row.fmr) - Math.round(Math.log10(row.fmr))) < 0.02);
  if (!round.length) return null;
  return [
    words(EDGE, 16, "strangers who score this high or higher:", { kind: "faint-text", anchor: "start" }),
    round.map((row, index) => {
      const up = 36 + (index % levels) * 16;
      return [line(x(row.threshold), up + 4, x(row.threshold), BASE, "grid"), words(x(row.threshold), up, oneIn(row.fmr))];
    }),
  ];
}

function mark(at, similarity, width) {
  const anchor = at > width - 90 ? "end" : at < 90 ? "start" : "middle";
  return [
    line(at, TOP + 6, at, BASE, "mark"),
    svg("circle", { class: "markdot", cx: at, cy: BASE, r: 6 }),
    words(at, BASE + 36, `these two ${score(similarity)}`, { kind: "strong-text", anchor }),
  ];
}
