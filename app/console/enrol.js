// Enrol: many photos at once, each looked at before anything is saved.

import { el, replace, theirs } from "./dom.js";
import { icon } from "./icons.js";
import { part } from "./api.js";
import { announce, toast } from "./live.js";
import { collectionField, segments } from "./choose.js";
import { plural } from "./format.js";
import { intake, listen } from "./intake.js";
import { personForm } from "./person-form.js";
import { Photo } from "./photo.js";
import { saveEach, saveTogether } from "./saving.js";
import { sentence } from "./sentences.js";
import { session } from "./session.js";
import { twins } from "./twins.js";

export function enrol(root, { signal }) {
  const state = { photos: [], way: "each", saving: false, decision: null, done: 0, of: 0 };
  const needsConsent = session.limits.require_consent;
  const photos = el("ul", { class: "photos" });
  const about = el("div", { class: "stack" });
  const place = el("div");
  const bar = el("div", { class: "savebar-place" });
  let form = null;

  const alone = () => state.way === "each";

  function ask() {
    const together = !alone();
    form = together ? personForm({}, { needsConsent }) : personForm({}, { only: ["consent", "expires_at"], needsConsent });
    const twin = el("div", { id: "twin" });
    replace(about, together
      ? el("section", { class: "card pad stack", "aria-label": "The person" }, el("h2", {}, "Who is it?"), form.element, twin)
      : el("details", { class: "more", open: needsConsent }, el("summary", {}, "Consent and expiry, for all of them"), el("div", { class: "card pad" }, form.element)));
    drawTwin();
  }

  /** In one person's photos: the look-alikes of all of them, asked about once. */
  function drawTwin() {
    const twin = document.getElementById("twin");
    if (!twin) return;
    const best = new Map();
    for (const photo of state.photos) for (const each of photo.candidates) if (!(best.get(each.person.id)?.similarity >= each.similarity)) best.set(each.person.id, each);
    const candidates = [...best.values()].sort((a, b) => b.similarity - a.similarity).slice(0, 3);
    const shown = state.photos.find((photo) => photo.candidates.some((each) => each.person.id === candidates[0]?.person.id));
    const wasOn = twin.contains(document.activeElement);
    replace(twin, candidates.length && !state.photos.every((photo) => photo.state === "saved")
      ? twins(shown.picture.thumb(shown.seen[shown.chosen ?? 0], { big: true }), candidates, state.decision, (decision) => { state.decision = decision; drawBar(); }, { leave: "Leave it: enrol nothing" })
      : null);
    if (wasOn) twin.querySelector("input:checked")?.focus();
    state.doubtful = candidates.length > 0;
  }

  function add(files) {
    const made = files.map((file) => new Photo(file, { collection: () => session.collection, changed, remove, split, alone }));
    state.photos.push(...made);
    photos.append(...made.map((photo) => photo.element));
    made.forEach((photo) => photo.look());
    changed();
    announce(`${plural(files.length, "photo")} added`);
  }

  function remove(photo) {
    state.photos = state.photos.filter((each) => each !== photo);
    photo.element.remove();
    changed();
  }

  function split(photo, files) {
    remove(photo);
    add(files);
  }

  let drawing = false;
  function changed() {
    if (drawing) return;
    drawing = true;
    queueMicrotask(() => {
      drawing = false;
      if (!alone()) drawTwin();
      drawBar();
    });
  }

  function drawBar() {
    const of = (...states) => state.photos.filter((photo) => states.includes(photo.state)).length;
    const ready = of("ready", "failed");
    const blocked = !alone() && state.doubtful && (state.decision === null || state.decision === "leave");
    const words = [
      [of("looking"), "being looked at"], [of("decide", "choose"), "waiting for you"], [of("refused"), "refused"], [of("left"), "left out"], [of("saved"), "enrolled"],
    ].filter(([number]) => number).map(([number, text]) => `${number} ${text}`);
    place.firstElementChild.classList.toggle("slim", state.photos.length > 0);
    if (!state.photos.length) return replace(bar);
    const text = !ready ? "Enrol" : alone() ? `Enrol ${ready === 1 ? "1 person" : `${ready} people`}` : `Enrol ${plural(ready, "photo")} of one person`;
    const save = el("button", { class: "button main", type: "button", disabled: state.saving || !ready || blocked || of("looking") > 0, onclick: saveAll }, icon("check", 18), state.saving ? "Saving…" : text);
    const finished = !ready && of("saved") && !of("looking", "decide", "choose", "saving");
    replace(
      bar,
      el("div", { class: "card savebar" },
        el("div", {},
          el("p", {}, blocked && ready ? "Say above who this is, then it can be saved." : words.length ? words.join(" · ") : `${plural(ready, "photo")} ready`),
          state.saving ? el("progress", { max: state.of, value: state.done, "aria-label": "Saved so far" }) : null),
        finished ? el("div", { class: "row" }, el("button", { class: "button", type: "button", onclick: again }, "Enrol more"), session.can("identify") ? el("a", { class: "button main", href: "#/identify" }, "Identify somebody") : null) : save),
    );
    return undefined;
  }

  function again() {
    state.photos.forEach((photo) => photo.picture.release());
    state.photos = [];
    state.decision = null;
    replace(photos);
    ask();
    drawBar();
    root.querySelector("button.main")?.focus();
  }

  async function saveAll() {
    const values = form.read();
    if (values === null) {
      about.querySelector("details")?.setAttribute("open", "");
      return;
    }
    const wanted = state.photos.filter((photo) => photo.wanted);
    Object.assign(state, { saving: true, done: 0, of: wanted.length });
    const step = (many = 1) => { state.done += many; drawBar(); };
    drawBar();
    const collection = session.collection;
    try {
      if (alone()) await saveEach(wanted, collection, values, step);
      else {
        const known = state.decision && state.decision !== "new" ? state.decision : null;
        await saveTogether(wanted, collection, known ? { person_id: known } : { values, sure: state.decision === "new" }, step);
      }
    } catch (problem) {
      announce(sentence(problem)); // it stands at the photos
      if (problem.code === "duplicate_person") await Promise.all(wanted.map((photo) => photo.look()));
    }
    state.saving = false;
    const saved = wanted.filter((photo) => photo.state === "saved").length;
    if (saved) toast(`${plural(saved, "photo")} enrolled in ${collection}.`);
    changed();
  }

  const relook = () => state.photos.filter((photo) => !["saved", "saving"].includes(photo.state)).forEach((photo) => { photo.decision = null; photo.chosen = undefined; photo.file = photo.original; photo.face = null; photo.look(); });

  replace(
    root,
    el("div", { class: "head" }, el("div", {}, el("h1", {}, "Enrol"), el("p", {}, "Show the service who somebody is. Every photo is looked at first, and nothing is saved until you say so. Ask people before you enrol them.")), collectionField({ signal, makes: true, changed: relook })),
    el("div", { class: "stack" },
      segments("What the photos show", [["each", "One person per photo"], ["together", "All photos show one person"]], state.way, (way) => {
        state.way = way;
        state.photos.forEach((photo) => { if (photo.state === "decide") photo.state = "ready"; else if (photo.state === "ready" && way === "each" && photo.candidates.length && photo.decision === null) photo.state = "decide"; photo.draw(); });
        ask();
        drawBar();
      }),
      place, about, photos),
    bar,
  );
  replace(place, intake({ title: "Whom do you want to enrol?", hint: "Drop photos here, as many as you like, or paste them. A face wants to be upright, lit and sharp.", take: add, many: true, mark: "enrol" }));
  ask();
  drawBar();
  listen(add, signal);
  signal.addEventListener("abort", () => state.photos.forEach((photo) => photo.picture.release()));
}
