// Two faces side by side, and what is to be done about them: before anything is saved.

import { el, fresh, theirs } from "./dom.js";
import { nameOf } from "./bars.js";
import { enrolledThumb } from "./crops.js";
import { score } from "./format.js";

/**
 * `thumb` is the new face; `candidates` are who it looks like. `decided(decision)` hears "new",
 * "leave" or the id of a person.
 */
export function twins(thumb, candidates, decision, decided, { leave = "Leave this photo out" } = {}) {
  const [best] = candidates;
  const name = fresh("twin");
  const way = (value, ...text) => el("label", {}, el("input", { type: "radio", name, checked: decision === value, onchange: () => decided(value) }), el("span", {}, ...text));
  return el(
    "div",
    { class: "twins" },
    el("div", { class: "stack tight" },
      el("h3", {}, "Somebody like this is enrolled already"),
      el("div", { class: "beside" },
        el("div", {}, thumb, "this photo"),
        el("div", {}, el("span", { class: "much" }, score(best.similarity)), el("span", { class: "small" }, "alike")),
        el("div", {}, enrolledThumb(best.face_id, nameOf(best.person), { big: true }), theirs(nameOf(best.person), { class: "clip-2" }))),
      el("fieldset", { class: "ways" },
        el("legend", { class: "unseen" }, "What to do with this photo"),
        candidates.map((each) => way(each.person.id, "It is ", el("b", {}, theirs(nameOf(each.person), { class: "clip-in" })), candidates.length > 1 ? ` (${score(each.similarity)})` : "", ": add it to them")),
        way("new", "It is somebody else: enrol them"),
        way("leave", leave))),
  );
}
