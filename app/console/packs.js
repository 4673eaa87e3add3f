// The packs at work: what they are, under which terms, and what was measured of them.

import { el, replace, theirs } from "./dom.js";
import { get } from "./api.js";
import { det } from "./det.js";
import { distributions } from "./distributions.js";
import { count, oneIn, percent, plural, score } from "./format.js";
import { markdown } from "./markdown.js";
import { trouble } from "./sentences.js";

export function packs({ models, arrangement }) {
  return [
    ...models.map(pack),
    el("p", { class: "small faint" }, `On this machine: ${plural(arrangement.vision_workers, "picture")} at a time, ${plural(arrangement.search_threads, "thread")} for a search, ${plural(arrangement.embed_batch, "request")} in a run of the recognizer.`),
  ];
}

function pack(model) {
  return el(
    "article",
    { class: "card pad stack" },
    el("div", { class: "row apart" }, el("h3", {}, theirs(model.pack), " ", el("span", { class: "quiet" }, theirs(model.version))), el("span", { class: "row" }, model.default ? el("span", { class: "chip accent" }, "default") : null, model.providers.map((each) => el("span", { class: "chip" }, each.replace("ExecutionProvider", ""))))),
    el("dl", { class: "facts" },
      fact("Model", el("code", {}, model.model), `, ${model.dimension} numbers a face`),
      fact("Licence", theirs(model.licence)),
      fact("Recognizer", theirs(model.recognizer_licence)),
      fact("Detector", theirs(model.detector), ": ", theirs(model.detector_licence)),
      fact("Runs on", model.providers.join(", "))),
    model.calibration ? calibrated(model.calibration) : el("p", { class: "note" }, el("span"), "This pack has no calibration: thresholds cannot be said as error rates."),
    card(model.model),
  );
}

const fact = (name, ...value) => [el("dt", {}, name), el("dd", {}, ...value)];

function calibrated(calibration) {
  return el(
    "div",
    { class: "stack" },
    el("div", { class: "halves" },
      el("figure", {}, el("figcaption", { class: "label" }, "How high pairs score"), distributions(calibration), el("p", { class: "legend" }, el("span", {}, el("i", { class: "others" }), "pairs of strangers"), el("span", {}, el("i"), "two photos of one person"))),
      el("figure", {}, el("figcaption", { class: "label" }, "One person missed, for each share of strangers taken for one"), det(calibration), el("p", { class: "small faint" }, "The band is the 95 % interval of the share of strangers."))),
    el("details", { class: "more" }, el("summary", {}, "The numbers"), el("div", { class: "stack tight" },
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Thresholds for false match rates" }, el("table", { class: "table" },
        el("thead", {}, el("tr", {}, ["FMR", "Threshold", "95 % interval", "Pairs of strangers"].map((text, index) => el("th", { scope: "col", class: index ? "number" : null }, text)))),
        el("tbody", {}, calibration.fmr.map((row) => el("tr", {}, el("td", {}, oneIn(row.fmr)), el("td", { class: "number" }, score(row.threshold)), el("td", { class: "number" }, `${percent(row.interval[0])} – ${percent(row.interval[1])}`), el("td", { class: "number" }, count(row.pairs))))))),
      el("p", { class: "small quiet" }, theirs(calibration.data), ` ${plural(calibration.subjects, "person", "people")}, ${plural(calibration.mated.pairs, "pair")} of photos of one person. Searches are supported for ${percent(calibration.min_fpir)} to ${percent(calibration.max_fpir)} of strangers, among up to ${count(calibration.max_gallery_size)} faces.`))),
  );
}

function card(model) {
  const place = el("div", {});
  let asked = false;
  const open = async () => {
    if (asked) return;
    asked = true;
    try {
      replace(place, el("div", { class: "prose", tabindex: "0", role: "region", "aria-label": "Model card" }, markdown(await get(`/models/${model}/card`, { as: "text" }))));
    } catch (problem) {
      asked = problem.status === 404;
      replace(place, asked ? el("p", { class: "small quiet" }, "This pack came without a card.") : trouble(problem, open));
    }
  };
  return el("details", { class: "more", ontoggle: open }, el("summary", {}, "Model card"), place);
}
