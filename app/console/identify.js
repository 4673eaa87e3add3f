// Identify: a photo, who is on it, and how the threshold decides.

import { el, replace, theirs } from "./dom.js";
import { icon } from "./icons.js";
import { call, get, part, Problem } from "./api.js";
import { announce } from "./live.js";
import { bars, nameOf } from "./bars.js";
import { collectionField, slider } from "./choose.js";
import { count, oneIn, percent, plural, score } from "./format.js";
import { another, intake, listen } from "./intake.js";
import { measures } from "./quality.js";
import { Picture } from "./picture.js";
import { sentence, trouble } from "./sentences.js";
import { session } from "./session.js";

// Everybody who is at all alike is asked for once; the slider then decides without asking again.
const FLOOR = 0;
const SHOWN = 6;

export function identify(root, { signal }) {
  const state = { file: null, picture: null, answer: null, choice: null, run: 0 };
  const stage = el("div", { class: "stack" });
  const side = el("div", { class: "stack" });
  const collection = el("div");

  const field = () => replace(collection, collectionField({ signal, changed: () => { if (state.file) look(state.file); else welcome(); } }));

  function take(files) {
    look(files[0]);
  }

  function welcome() {
    replace(stage, intake({ title: "Who is on this photo?", hint: "Drop it here, paste it, choose it, or take one. Nothing of it is kept.", take, tall: true, mark: "identify" }));
    replace(side, explain());
  }

  async function look(file) {
    state.run += 1;
    const run = state.run;
    state.picture?.release();
    state.file = file;
    state.picture = new Picture(file, { alt: "The photo that was searched for faces" });
    replace(stage, el("div", { class: "stage" }, state.picture.element), another({ take }));
    replace(side, el("div", { class: "card pad row quiet" }, el("span", { class: "spinner" }), "Looking…"));
    announce("Looking at the photo");
    state.picture.busy = true;
    const name = session.collection;
    try {
      const [answer, choice, shown] = await Promise.all([
        call("POST", "/identify", { form: { image: file, collection: name, max_faces: 0, top_k: SHOWN, threshold: FLOOR }, signal }),
        get(`/collections/${part(name)}/thresholds`, { signal }),
        state.picture.ready,
      ]);
      if (run !== state.run) return;
      state.picture.busy = false;
      if (!shown) return unseen(answer);
      show(answer, choice);
    } catch (problem) {
      if (problem.name === "AbortError" || run !== state.run) return;
      state.picture.busy = false;
      await failed(problem, file, run);
    }
  }

  /** Nobody to search among still leaves faces to be seen. */
  async function failed(problem, file, run) {
    if (problem instanceof Problem && problem.code === "collection_not_found") {
      replace(side, nobodyYet());
      announce(`Nobody is enrolled in ${session.collection} yet.`);
      try {
        const seen = await call("POST", "/detect", { form: { image: file }, signal });
        if (run === state.run && (await state.picture.ready)) state.picture.draw(seen.faces.map((face, index) => ({ face, tone: "quiet", label: `Face ${index + 1}` })));
      } catch {
        // The note says what matters.
      }
      return;
    }
    replace(side, trouble(problem, () => look(file)));
    announce(sentence(problem));
  }

  function show(answer, choice) {
    const faces = answer.faces.map((face, index) => ({ face, index, lines: bars(face.candidates) }));
    const threshold = { value: choice.default.threshold };
    const rows = faces.map((each) => row(each, state.picture));
    const pick = (index) => {
      rows.forEach((one, at) => { one.element.open = at === index; });
      rows[index].summary.focus();
      rows[index].element.scrollIntoView({ block: "nearest", behavior: "smooth" });
    };
    const summary = el("p", { class: "quiet small" });

    const decide = (value) => {
      threshold.value = value;
      const named = rows.map((one) => one.decide(value));
      state.picture.draw(
        faces.map(({ face, index }) => ({
          face,
          tone: named[index] ? "match" : "quiet",
          tag: named[index] ? theirs(nameOf(named[index].person)) : faces.length > 1 ? String(index + 1) : "nobody",
          label: `Face ${index + 1}: ${named[index] ? nameOf(named[index].person) : "nobody"}. Show candidates`,
        })),
        pick,
      );
      state.picture.boxes.forEach((box, at) => box.setAttribute("aria-expanded", String(rows[at].element.open)));
      const known = named.filter(Boolean).length;
      summary.textContent = `${known} of ${plural(faces.length, "face")} ${known === 1 ? "is" : "are"} offered a name.`;
      announce(`Threshold ${score(value)}. ${summary.textContent}`);
    };
    rows.forEach((one, at) => one.element.addEventListener("toggle", () => state.picture.boxes?.[at]?.setAttribute("aria-expanded", String(one.element.open))));

    replace(side, thresholdCard(choice, decide, summary), el("ul", { class: "card list faces" }, rows.map((one) => el("li", {}, one.element))), answer.details ? null : el("p", { class: "note warn" }, icon("warn"), "The database is away, so names cannot be read just now."));
    decide(threshold.value);
    if (faces.length === 1) rows[0].element.open = true;
  }

  /** A picture that the service reads and this browser does not. */
  function unseen(answer) {
    replace(side, el("p", { class: "note warn" }, icon("warn"), `This browser cannot show the picture. The service found ${plural(answer.faces.length, "face")} in it.`));
  }

  replace(
    root,
    el("div", { class: "head" }, el("div", {}, el("h1", {}, "Identify"), el("p", {}, "Who is this, among the people who are enrolled? Nobody is an answer too.")), collection),
    el("div", { class: "split" }, stage, side),
  );
  field();
  welcome();
  listen(take, signal);
  for (const kind of ["drop"]) stage.addEventListener(kind, (event) => { const files = [...event.dataTransfer.files]; if (files.length && state.file) take(files); });
  signal.addEventListener("abort", () => state.picture?.release());
}

/** One face: its thumbnail, who it is at a threshold, and its candidates below. */
function row({ face, index, lines }, picture) {
  const name = el("span", { class: "clip face-name" });
  const chip = el("span", { class: "chip figures" });
  const best = face.candidates[0] ?? null;
  const summary = el("summary", { class: "face-row" }, picture.thumb(face), el("span", { class: "face-who" }, name, el("span", { class: "small faint" }, `Face ${index + 1}`)), chip);
  const element = el(
    "details",
    {},
    summary,
    el("div", { class: "face-more stack" },
      best ? lines.element : el("p", { class: "quiet" }, "Nobody who is enrolled looks at all like this face."),
      el("details", { class: "more" }, el("summary", {}, "How good this face is"), measures(face.quality, session.limits.quality))),
  );
  return {
    element,
    summary,
    /** The candidate that is offered at `threshold`, or null. */
    decide(threshold) {
      lines.cut(threshold);
      const offered = best && best.similarity >= threshold ? best : null;
      replace(name, offered ? theirs(nameOf(offered.person)) : el("span", { class: "quiet" }, "Nobody"));
      chip.className = `chip figures${offered ? " match" : ""}`;
      chip.textContent = best ? (offered ? score(best.similarity) : `best ${score(best.similarity)}`) : "no one alike";
      return offered;
    },
  };
}

function thresholdCard(choice, decide, summary) {
  const value = el("b", { class: "figures" });
  const of = el("span", { class: "small faint" }, ` for ${plural(choice.gallery_size, "enrolled face")}`);
  const tell = (threshold) => {
    value.textContent = score(threshold);
    decide(threshold);
  };
  value.textContent = score(choice.default.threshold);
  return el(
    "section",
    { class: "card pad stack tight", "aria-label": "Threshold" },
    control(choice, tell),
    el("p", { class: "row apart" }, el("span", {}, "Threshold ", value, of)),
    summary,
  );
}

function control(choice, tell) {
  const rates = choice.targets.map((each) => each.target_fpir);
  if (rates.length) {
    const start = Math.max(0, rates.indexOf(choice.default.target_fpir));
    return slider({
      label: "Strangers who are offered a name",
      stops: choice.targets,
      index: start,
      say: (stop) => `${oneIn(stop.target_fpir)} (${percent(stop.target_fpir)})`,
      ends: ["few, and more people missed", "many, and fewer missed"],
      changed: (stop) => tell(stop.threshold),
    });
  }
  const stops = Array.from({ length: 101 }, (_, step) => step / 100);
  const start = Math.round(choice.default.threshold * 100);
  return [
    slider({ label: "Least similarity that counts", stops, index: start, say: score, ends: ["0", "1"], changed: tell }),
    el("p", { class: "small faint" }, choice.default.target_fpir === null ? "This pack has no calibration, so a threshold cannot be said as an error rate." : `The calibration does not reach ${count(choice.gallery_size)} faces, so a threshold cannot be said as an error rate.`),
  ];
}

function explain() {
  const points = [
    ["A name is an offer.", "It means: of all who are enrolled this one is the most alike, and alike enough. Look before you act on it."],
    ["You choose how careful it is.", "With the photo comes a slider: how many strangers may be offered a name. The fewer, the more of your own people are missed."],
    ["Nothing is kept.", "The photo is searched and forgotten. That somebody searched is written down."],
  ];
  return el("div", { class: "card pad stack" }, el("h2", {}, "What you will see"), points.map(([head, text]) => el("div", {}, el("h3", {}, head), el("p", { class: "quiet small" }, text))));
}

function nobodyYet() {
  return el("div", { class: "card empty" }, el("h2", {}, "Nobody is enrolled here yet"), el("p", {}, "The collection ", el("b", {}, theirs(session.collection)), " is made when the first person is enrolled in it."), session.can("enroll") ? el("div", { class: "row" }, el("a", { class: "button main", href: "#/enrol" }, "Enrol somebody")) : null);
}
