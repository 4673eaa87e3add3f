// Verify: two photos, and what their similarity means.

import { el, replace, theirs } from "./dom.js";
import { icon } from "./icons.js";
import { call, get } from "./api.js";
import { nameOf } from "./bars.js";
import { collectionField, segments, slider } from "./choose.js";
import { distributions } from "./distributions.js";
import { oneIn, score } from "./format.js";
import { another, intake, listen } from "./intake.js";
import { announce } from "./live.js";
import { choosePerson } from "./merge.js";
import { personRow } from "./person-row.js";
import { Picture } from "./picture.js";
import { sentence, trouble } from "./sentences.js";
import { session } from "./session.js";
import { verdict } from "./verdict.js";

export function verify(root, { signal }) {
  const state = { way: "photos", files: [null, null], pictures: [null, null], person: null, run: 0, models: null };
  const pair = el("div", { class: "pair" });
  const result = el("div", { class: "stack" });
  const ways = session.can("read") ? segments("What to compare", [["photos", "Two photos"], ["person", "A photo and an enrolled person"]], state.way, (way) => {
    state.way = way;
    draw();
    compare();
  }) : null;

  async function models() {
    if (!session.can("read")) return [];
    state.models ??= (await get("/models", { signal })).models;
    return state.models;
  }

  function take(index, files) {
    files.slice(0, 2 - index).forEach((file, offset) => set(index + offset, file));
    draw();
    compare();
  }

  function set(index, file) {
    state.pictures[index]?.release();
    state.files[index] = file;
    state.pictures[index] = new Picture(file, { alt: index ? "The second photo" : "The first photo", small: true });
  }

  function draw() {
    replace(pair, slot(0), state.way === "photos" ? slot(1) : whom());
  }

  function slot(index) {
    const title = state.way === "person" ? "The photo" : index ? "The second photo" : "The first photo";
    const picture = state.pictures[index];
    if (!picture) return el("div", { class: "slot" }, intake({ title, hint: "Drop it, choose it, or paste it.", take: (files) => take(index, files), many: index === 0 && state.way === "photos" }));
    return el("div", { class: "slot" }, el("h2", { class: "unseen" }, title), el("div", { class: "stage" }, picture.element), another({ take: (files) => take(index, files) }));
  }

  function whom() {
    const choose = async () => {
      const found = await choosePerson("Compare with whom?", session.collection, null);
      if (!found) return;
      state.person = { ...found, collection: session.collection };
      draw();
      compare();
    };
    return el(
      "div",
      { class: "slot card pad" },
      el("h2", {}, "The enrolled person"),
      collectionField({ signal, changed: () => { state.person = null; draw(); } }),
      state.person ? el("div", {}, personRow(state.person, { href: `#/people/${state.person.collection}/${state.person.id}` })) : el("p", { class: "quiet small" }, "Nobody is chosen yet."),
      el("div", { class: "row" }, el("button", { class: `button${state.person ? "" : " main"}`, type: "button", onclick: choose }, icon("people", 18), state.person ? "Somebody else" : "Choose a person")),
    );
  }

  async function compare() {
    state.run += 1;
    const run = state.run;
    const form = state.way === "photos"
      ? { source: state.files[0], target: state.files[1] }
      : { image: state.files[0], person_id: state.person?.id, collection: state.person?.collection };
    if (Object.values(form).some((value) => !value)) {
      replace(result);
      return;
    }
    replace(result, el("p", { class: "row quiet" }, el("span", { class: "spinner" }), "Comparing…"));
    state.pictures.forEach((picture) => { if (picture) picture.busy = true; });
    try {
      const [answer, known] = await Promise.all([call("POST", "/verify", { form, signal }), models()]);
      await Promise.all(state.pictures.map((picture) => picture?.ready));
      if (run === state.run) show(answer, known.find((model) => model.model === answer.model)?.calibration ?? null);
    } catch (problem) {
      if (problem.name === "AbortError" || run !== state.run) return;
      const which = { source: "The first photo: ", target: "The second photo: " }[problem.body?.image] ?? "";
      replace(result, which ? el("p", { class: "label" }, which) : null, trouble(problem, compare));
      announce(which + sentence(problem));
    } finally {
      state.pictures.forEach((picture) => { if (picture) picture.busy = false; });
    }
  }

  function show(answer, calibration) {
    const rows = calibration?.fmr ?? [];
    const chart = el("div");
    const told = el("div");
    const decide = (threshold, fmr) => {
      const yes = answer.similarity >= threshold;
      [answer.source_face, answer.target_face].forEach((face, index) => {
        if (face) state.pictures[index].draw([{ face, tone: yes ? "match" : "quiet", label: "The face that was compared" }]);
      });
      replace(told, verdict(answer, { yes, threshold, fmr, calibration, whom: state.way === "person" ? theirs(nameOf(state.person)) : null }));
      if (calibration) replace(chart, distributions(calibration, { similarity: answer.similarity, threshold, width: Math.min(900, Math.max(340, result.clientWidth - 40)) }));
      announce(`${yes ? "Counts" : "Does not count"} as the same person. Similarity ${score(answer.similarity)}, threshold ${score(threshold)}.`);
    };
    const start = rows.findIndex((row) => row.threshold >= answer.threshold - 1e-9);
    replace(
      result,
      told,
      rows.length ? el("div", { class: "card pad stack" },
        slider({ label: "Pairs of strangers who may be taken for one person", stops: rows, index: start < 0 ? rows.length - 1 : start, say: (row) => oneIn(row.fmr), ends: ["many", "few"], changed: (row) => decide(row.threshold, row.fmr) }),
        chart,
        el("p", { class: "legend" }, el("span", {}, el("i", { class: "others" }), "pairs of strangers"), el("span", {}, el("i"), "two photos of one person"), el("span", {}, "┆ threshold")),
        el("details", { class: "more" }, el("summary", {}, "What this was measured on"), el("p", { class: "small quiet" }, theirs(calibration.data), ` ${calibration.subjects} people, ${calibration.mated.pairs} pairs of photos of one person.`))) : null,
    );
    decide(answer.threshold, answer.fmr);
  }

  replace(
    root,
    el("div", { class: "head" }, el("div", {}, el("h1", {}, "Verify"), el("p", {}, "Is this the same person? The largest face of each photo counts, and nothing is kept."))),
    el("div", { class: "stack" }, ways, pair, result),
  );
  draw();
  listen((files) => take(state.files[0] && state.way === "photos" && !state.files[1] ? 1 : 0, files), signal);
  signal.addEventListener("abort", () => state.pictures.forEach((picture) => picture?.release()));
}
