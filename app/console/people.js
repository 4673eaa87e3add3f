// Collections, the persons of one, and one person: which of them the address says.

import { el, fresh, replace, theirs } from "./dom.js";
import { icon } from "./icons.js";
import { call, get, part } from "./api.js";
import { allCollections } from "./choose.js";
import { ask, confirm } from "./dialog.js";
import { announce, toast } from "./live.js";
import { plural, when } from "./format.js";
import { person } from "./person.js";
import { personRow } from "./person-row.js";
import { sentence, trouble } from "./sentences.js";
import { session } from "./session.js";

const NAME = "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}";

export function people(root, { parts, signal }) {
  if (parts.length >= 2) return person(root, { collection: parts[0], id: parts[1], signal });
  if (parts.length === 1 && parts[0]) return persons(root, { collection: parts[0], signal });
  return shelf(root, { signal });
}

function shelf(root, { signal }) {
  const place = el("div", {}, el("p", { class: "row quiet" }, el("span", { class: "spinner" }), "Reading…"));
  replace(
    root,
    el("div", { class: "head" },
      el("div", {}, el("h1", {}, "People"), el("p", {}, "Each collection is a gallery of its own: a search looks at one, or at those you name.")),
      session.can("enroll") ? el("button", { class: "button", type: "button", onclick: make }, icon("plus", 18), "New collection") : null),
    place,
  );
  draw();

  async function draw() {
    try {
      const found = await allCollections(signal);
      announce(plural(found.length, "collection"));
      replace(place, found.length ? el("ul", { class: "shelf" }, found.map(card)) : nothing());
    } catch (problem) {
      if (problem.name !== "AbortError") replace(place, trouble(problem, draw));
    }
  }

  function card(collection) {
    return el(
      "li",
      { class: "card" },
      el("h2", {}, el("a", { href: `#/people/${part(collection.name)}` }, theirs(collection.name, { class: "clip" }))),
      el("p", { class: "figures" }, plural(collection.person_count, "person", "people"), " · ", plural(collection.face_count, "face")),
      el("p", { class: "small faint" }, `Revision ${collection.revision}, made ${when(collection.created_at)}`),
    );
  }

  function nothing() {
    return el("div", { class: "card empty" }, el("h2", {}, "No collection yet"), el("p", {}, "One is made when the first person is enrolled in it."), session.can("enroll") ? el("div", { class: "row" }, el("a", { class: "button main", href: "#/enrol" }, "Enrol somebody")) : null);
  }

  async function make() {
    const name = await ask("A new collection", (close) => {
      const id = fresh("collection");
      const input = el("input", { class: "input", id, required: true, maxlength: 64, pattern: NAME, spellcheck: "false", autocomplete: "off", placeholder: "staff" });
      return el("form", { class: "stack", onsubmit: (event) => { event.preventDefault(); close(input.value); } },
        el("div", { class: "field" }, el("label", { for: id }, "Name"), input, el("p", { class: "hint" }, "Letters, digits, dots, dashes and underlines, at most 64.")),
        el("div", { class: "ends" }, el("button", { class: "button", type: "button", onclick: () => close() }, "Cancel"), el("button", { class: "button main", type: "submit" }, "Make it")));
    });
    if (!name) return;
    try {
      await call("POST", "/collections", { json: { name } });
      toast(`The collection ${name} is there.`);
      draw();
    } catch (problem) {
      toast(sentence(problem));
    }
  }
}

function persons(root, { collection, signal }) {
  const list = el("ul", { class: "persons list" });
  const below = el("div", { class: "row pad" });
  const told = el("p", { class: "small quiet" });
  const note = el("div");
  const count = el("p");
  let asked = 0;
  const id = fresh("search");
  let typing;
  const input = el("input", { class: "input", id, type: "search", placeholder: "Search by name or your own id", maxlength: 500, autocomplete: "off", oninput: () => { clearTimeout(typing); typing = setTimeout(() => search(), 250); } });

  replace(
    root,
    el("div", { class: "head" },
      el("div", {}, el("p", { class: "crumbs" }, el("a", { href: "#/people" }, "People")), el("h1", {}, theirs(collection)), count),
      el("div", { class: "row" },
        session.can("enroll") ? el("a", { class: "button main", href: "#/enrol", onclick: () => { session.collection = collection; } }, icon("enrol", 18), "Enrol") : null,
        session.can("delete") ? el("button", { class: "button danger", type: "button", onclick: erase }, icon("bin", 18), "Erase collection") : null)),
    el("div", { class: "stack" },
      el("div", { class: "row" }, el("div", { class: "search", role: "search" }, el("label", { class: "unseen", for: id }, "Search persons"), icon("search", 18), input), told),
      note,
      el("div", { class: "card" }, list, below)),
  );
  census();
  search();

  async function census() {
    try {
      const found = await get(`/collections/${part(collection)}`, { signal });
      count.textContent = `${plural(found.person_count, "person", "people")} with ${plural(found.face_count, "face")}, revision ${found.revision}${found.model ? `, model ${found.model}` : ""}`;
    } catch {
      // The list below says what is wrong.
    }
  }

  /** From the beginning: by a part of the name, and where nobody has it, by external id. */
  async function search() {
    asked += 1;
    const turn = asked;
    const wanted = input.value.trim();
    try {
      let query = wanted ? { name: wanted } : {};
      let page = await get(`/collections/${part(collection)}/persons`, { query: { limit: 50, ...query }, signal });
      if (wanted && !page.persons.length) {
        query = { external_id: wanted };
        page = await get(`/collections/${part(collection)}/persons`, { query: { limit: 50, ...query }, signal });
      }
      if (turn !== asked) return;
      replace(note);
      replace(list);
      show(page, query);
      told.textContent = wanted ? `${plural(page.persons.length, "person", "people")}${page.next_cursor ? " and more" : ""} found` : "";
      announce(told.textContent);
      if (!page.persons.length) replace(list, el("li", { class: "empty" }, wanted ? "Nobody here has a name or an id like that." : "Nobody is enrolled here yet."));
    } catch (problem) {
      if (problem.name !== "AbortError" && turn === asked) {
        replace(list);
        replace(note, trouble(problem, search));
      }
    }
  }

  function show(page, query) {
    list.append(...page.persons.map((each) => el("li", {}, personRow(each, { href: `#/people/${part(collection)}/${each.id}` }))));
    replace(below, page.next_cursor ? el("button", { class: "button", type: "button", onclick: () => more(page.next_cursor, query) }, "Show more") : null);
    below.hidden = !page.next_cursor;
  }

  async function more(cursor, query) {
    try {
      const page = await get(`/collections/${part(collection)}/persons`, { query: { limit: 50, cursor, ...query }, signal });
      const first = list.children.length;
      show(page, query);
      list.children[first]?.querySelector("a")?.focus();
      announce(`${page.persons.length} more`);
    } catch (problem) {
      if (problem.name !== "AbortError") replace(note, trouble(problem));
    }
  }

  async function erase() {
    try {
      const found = await get(`/collections/${part(collection)}`);
      const sure = await confirm("Erase the whole collection?", {
        danger: true,
        action: "Erase everything in it",
        typed: collection,
        body: [
          el("p", {}, "This erases ", el("b", {}, theirs(collection)), " and everybody in it:"),
          el("ul", { class: "tells" },
            el("li", {}, `${plural(found.person_count, "person", "people")} with names, metadata and consent references`),
            el("li", {}, `${plural(found.face_count, "enrolled face")} with templates${session.limits.keep_crops ? " and kept pictures" : ""}`),
            el("li", {}, "the collection's index, its snapshot and its key")),
          el("p", {}, "There is no undo."),
        ],
      });
      if (!sure) return;
      const erased = await call("DELETE", `/collections/${part(collection)}`);
      toast(`Erased: ${plural(erased.persons, "person", "people")} and ${plural(erased.faces, "face")}.`);
      location.hash = "#/people";
    } catch (problem) {
      replace(note, trouble(problem));
    }
  }
}
