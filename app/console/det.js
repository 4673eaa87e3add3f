// Detection error trade-off: what each kind of error costs in the other (ISO/IEC 19795-1).

import { svg } from "./dom.js";
import { oneIn, percent } from "./format.js";
import { drawing, line, linear, logarithmic, path, words } from "./scales.js";

const WIDTH = 460;
const HEIGHT = 300;

/** FNMR at a threshold: linear between measured rows, as a reader's eye would have it. */
function missedAt(threshold, rows) {
  const after = rows.findIndex((row) => row.threshold >= threshold);
  if (after <= 0) return rows[after === 0 ? 0 : rows.length - 1].fnmr;
  const [a, b] = [rows[after - 1], rows[after]];
  return a.fnmr + ((b.fnmr - a.fnmr) * (threshold - a.threshold)) / (b.threshold - a.threshold);
}

export function det(calibration) {
  const points = calibration.fmr.map((row) => ({ ...row, fnmr: missedAt(row.threshold, calibration.mated.fnmr) }));
  const most = Math.max(0.05, ...points.map((point) => point.fnmr)) * 1.12;
  const x = logarithmic(points.at(-1).fmr / 1.6, points[0].fmr * 1.3, 46, WIDTH - 12);
  const y = linear(0, most, HEIGHT - 46, 14);
  const step = [0.01, 0.02, 0.05, 0.1, 0.2].find((each) => most / each <= 6) ?? 0.25;
  const lines = Array.from({ length: Math.floor(most / step) + 1 }, (_, index) => index * step);
  const decades = points.filter((point) => Math.abs(Math.log10(point.fmr) - Math.round(Math.log10(point.fmr))) < 0.02);
  const label = `Detection error trade-off. ${decades.map((point) => `At one false match in ${Math.round(1 / point.fmr)}, ${percent(point.fnmr)} of true pairs are missed`).join(". ")}.`;
  const band = [...points.map((point) => [x(Math.max(point.interval[0], points.at(-1).fmr / 1.6)), y(point.fnmr)]), ...[...points].reverse().map((point) => [x(Math.min(point.interval[1], points[0].fmr * 1.3)), y(point.fnmr)])];
  return drawing(
    WIDTH, HEIGHT, label,
    lines.map((value) => [line(46, y(value), WIDTH - 12, y(value), "grid"), words(40, y(value) + 4, percent(value), { kind: "faint-text", anchor: "end" })]),
    decades.map((point) => [line(x(point.fmr), 14, x(point.fmr), HEIGHT - 46, "grid"), words(x(point.fmr), HEIGHT - 28, oneIn(point.fmr), { kind: "faint-text" })]),
    line(46, HEIGHT - 46, WIDTH - 12, HEIGHT - 46, "axis"),
    svg("path", { class: "band", d: `${path(band)}Z` }),
    svg("path", { class: "curve", d: path(points.map((point) => [x(point.fmr), y(point.fnmr)])) }),
    points.map((point) => svg("circle", { class: "point", cx: x(point.fmr), cy: y(point.fnmr), r: 3.5 })),
    words(WIDTH / 2, HEIGHT - 8, "strangers taken for one person (FMR)"),
  );
}
