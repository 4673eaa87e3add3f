// Two records of one person become one: whom, and what will happen, are asked before.

import { el, fresh, replace, theirs } from "./dom.js";
import { call, get, part } from "./api.js";
import { nameOf } from "./bars.js";
import { ask, confirm } from "./dialog.js";
import { plural } from "./format.js";
import { personRow, personThumb } from "./person-row.js";
import { trouble } from "./sentences.js";

/** Choose another person of `collection`: resolves with them, or undefined. */
export function choosePerson(title, collection, except) {
  return ask(title, (close) => {
    const id = fresh("find");
    const list = el("ul", { class: "card persons list picks" });
    let turn = 0;
    const find = async () => {
      turn += 1;
      const mine = turn;
      try {
        const page = await get(`/collections/${part(collection)}/persons`, { query: { limit: 20, name: input.value.trim() } });
        if (mine !== turn) return;
        const others = page.persons.filter((each) => each.id !== except);
        replace(list, others.length ? others.map((each) => el("li", {}, personRow(each, { pick: close }))) : el("li", { class: "empty" }, "Nobody else here has such a name."));
      } catch (problem) {
        replace(list, el("li", {}, trouble(problem, find)));
      }
    };
    let typing;
    const input = el("input", { class: "input", id, type: "search", autocomplete: "off", placeholder: "A part of the name", oninput: () => { clearTimeout(typing); typing = setTimeout(find, 250); } });
    find();
    return [el("div", { class: "field" }, el("label", { for: id }, "Search"), input), list, el("div", { class: "ends" }, el("button", { class: "button", type: "button", onclick: () => close() }, "Cancel"))];
  });
}

/** Says what was done, or nothing where it was not. Raises Problem. */
export async function mergeInto(kept, collection) {
  const other = await choosePerson("Who is the same person?", collection, kept.id);
  if (!other) return undefined;
  const sure = await confirm("Make these two one person?", {
    action: "Merge them",
    danger: true,
    body: [
      el("div", { class: "beside" },
        el("div", {}, personThumb(other, { big: true }), theirs(nameOf(other), { class: "clip-2" })),
        el("div", { "aria-hidden": "true" }, "→"),
        el("div", {}, personThumb(kept, { big: true }), theirs(nameOf(kept), { class: "clip-2" }))),
      el("ul", { class: "tells" },
        el("li", {}, `${plural(other.face_count, "face")} of `, el("b", {}, theirs(nameOf(other))), " go to ", el("b", {}, theirs(nameOf(kept)))),
        el("li", {}, "name, own id, consent, expiry and metadata of the first are erased; those of the second stay as they are")),
      el("p", {}, "There is no undo."),
    ],
  });
  if (!sure) return undefined;
  await call("POST", `/persons/${kept.id}/merge`, { json: { person_ids: [other.id] } });
  return `Merged: ${plural(kept.face_count + other.face_count, "face")} of one person.`;
}
