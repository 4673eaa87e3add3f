// What a similarity means, in sentences that nobody can take for more than they say.

import { el } from "./dom.js";
import { icon } from "./icons.js";
import { oneIn, score } from "./format.js";

/** How often strangers score as high as these two. `rate` null: more often than was counted. */
function amongStrangers(rate, calibration) {
  const { fmr } = calibration;
  if (rate === null) return `More than ${oneIn(fmr[0].fmr)} pairs of strangers score this high: that is nothing special.`;
  if (rate <= fmr.at(-1).fmr * 1.0001) return `Fewer than ${oneIn(fmr.at(-1).fmr)} pairs of strangers score this high.`;
  return `${capital(oneIn(rate))} pairs of strangers scores this high or higher.`;
}

function amongTheSame(similarity, { mated }) {
  const row = mated.fnmr.findLast((each) => each.threshold <= similarity);
  const lower = row?.fnmr ?? 0;
  if (lower < 1 / mated.pairs) return `Of ${mated.pairs} pairs of photos of one person, none scored lower.`;
  if (lower > 0.995) return "Nearly all pairs of photos of one person score lower than this.";
  const share = lower * 100;
  return `Of 100 pairs of photos of one person, about ${share < 1 ? "1 scores" : `${Math.round(share)} score${Math.round(share) === 1 ? "s" : ""}`} lower than this.`;
}

function capital(text) {
  return text.startsWith("1 in") ? `One${text.slice(1)}` : text;
}

/** `fmr` is the rate at `threshold`, null where none is known; `whom` the enrolled person, if any. */
export function verdict(answer, { yes, threshold, fmr, calibration, whom }) {
  const same = whom ? [" as ", whom] : [" as the same person"];
  return el(
    "section",
    { class: `verdict ${yes ? "yes" : "no"}`, "aria-label": "Verdict" },
    el("h2", {}, icon(yes ? "check" : "close", 24), el("span", {}, yes ? "Counts" : "Does not count", same)),
    el("p", {}, "Similarity ", el("b", { class: "figures" }, score(answer.similarity)), yes ? ", at or above the threshold " : ", below the threshold ", el("b", { class: "figures" }, score(threshold)), ".", fmr === null ? "" : ` At this setting ${oneIn(fmr)} pairs of strangers would be taken for one person.`),
    calibration ? [
      el("p", {}, el("b", {}, amongStrangers(answer.similarity_fmr, calibration)), " ", amongTheSame(answer.similarity, calibration)),
      el("p", { class: "small quiet" }, "This says how rare such a score is among strangers. It does not say how likely these two are one person: that hangs also on whom you compare. Relatives and look-alikes score higher than strangers do, and a poor photo scores lower than a good one."),
    ] : el("p", { class: "small quiet" }, "How often strangers score this high is not known here, so take the number as an order and no more."),
  );
}
