// Small choosers: a collection, one of a few ways, a place on a scale.

import { el, fresh, replace } from "./dom.js";
import { get } from "./api.js";
import { session } from "./session.js";

const NEW = " new"; // no name of a collection begins so

/** Every collection that the key may know of, as GET /collections has them. */
export async function allCollections(signal) {
  const found = [];
  let cursor = "";
  do {
    const page = await get("/collections", { query: { limit: 500, cursor }, signal });
    found.push(...page.collections);
    cursor = page.next_cursor;
  } while (cursor);
  return found;
}

/**
 * A field for the collection that is worked in; `changed(name)` hears of another. With `fresh`
 * a name that is not there yet can be written.
 */
export function collectionField({ changed = () => {}, signal, label = "Collection", makes = false }) {
  const id = fresh("collection");
  const holder = el("div", { class: "field within" }, el("label", { for: id }, label));
  const use = (name) => {
    session.collection = name;
    changed(name);
  };
  const select = el("select", { class: "input", id, onchange: () => (select.value === NEW ? write("") : use(select.value)) });
  // The select itself stays: whoever has come to it with the keyboard stays with it.
  const offer = (names) => {
    const listed = names.includes(session.collection) ? names : [session.collection, ...names];
    replace(select, listed.map((name) => el("option", { value: name }, name)), makes ? el("option", { value: NEW }, "A new collection…") : null);
    select.value = session.collection;
    if (!holder.querySelector(".input")) holder.append(select);
  };
  const write = (name) => {
    const input = el("input", { class: "input", id, value: name, placeholder: "Name of the collection", spellcheck: "false", maxlength: 64, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}", onchange: () => { if (input.value && input.checkValidity()) use(input.value); else input.reportValidity(); } });
    replace(holder, holder.firstElementChild, input);
    if (!name) input.focus();
  };
  if (session.can("read")) {
    offer([session.collection]);
    allCollections(signal).then((found) => offer(found.map((each) => each.name))).catch(() => {});
  } else if (session.self.collections) {
    offer(session.self.collections);
  } else {
    write(session.collection);
  }
  return holder;
}

/** Two or three ways, one of them chosen. `ways` is [[value, text], …]. */
export function segments(legend, ways, chosen, changed) {
  const name = fresh("way");
  return el(
    "fieldset",
    { class: "segments" },
    el("legend", { class: "unseen" }, legend),
    ways.map(([value, text]) => el("label", {}, el("input", { type: "radio", name, value, checked: value === chosen, onchange: () => changed(value) }), el("span", {}, text))),
  );
}

/**
 * A slider over `stops`; `say(stop)` gives the words for one. `changed(stop, index)` is called at
 * once while it moves.
 */
export function slider({ label, stops, index, say, ends, changed }) {
  const id = fresh("slider");
  const output = el("output", { for: id });
  const input = el("input", { type: "range", id, min: 0, max: stops.length - 1, step: 1, value: index });
  const settle = () => {
    const at = Number(input.value);
    output.textContent = say(stops[at]);
    input.setAttribute("aria-valuetext", say(stops[at]));
    input.style.setProperty("--done", `${(100 * at) / Math.max(1, stops.length - 1)}%`);
    return at;
  };
  input.addEventListener("input", () => {
    const at = settle();
    changed(stops[at], at);
  });
  settle();
  return el("div", { class: "slide" }, el("div", { class: "row apart" }, el("label", { class: "label", for: id }, label), output), input, el("div", { class: "ends", "aria-hidden": "true" }, ends.map((text) => el("span", {}, text))));
}
