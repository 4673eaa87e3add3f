// One person: what is said of them, their faces, merging and erasing.

import { el, replace, theirs } from "./dom.js";
import { icon } from "./icons.js";
import { call, get, newOnce, part, patiently, Problem } from "./api.js";
import { nameOf } from "./bars.js";
import { enrolledThumb } from "./crops.js";
import { confirm } from "./dialog.js";
import { fromNow, plural, when } from "./format.js";
import { another } from "./intake.js";
import { announce, toast } from "./live.js";
import { mergeInto } from "./merge.js";
import { personForm } from "./person-form.js";
import { measures } from "./quality.js";
import { sentence, trouble } from "./sentences.js";
import { session } from "./session.js";

export function person(root, { collection, id, signal }) {
  const path = `/persons/${part(id)}`;
  const note = el("div");
  const facts = el("section", { class: "card pad stack", "aria-label": "What is said of this person" });
  const faces = el("section", { class: "stack", "aria-label": "Enrolled faces" });
  const title = el("h1", {}, "…");
  const under = el("p");
  const actions = el("div", { class: "row" });
  let known = null;

  replace(
    root,
    el("div", { class: "head" },
      el("div", {}, el("p", { class: "crumbs" }, el("a", { href: "#/people" }, "People"), " / ", el("a", { href: `#/people/${part(collection)}` }, theirs(collection))), title, under),
      actions),
    note,
    el("div", { class: "split" }, faces, facts),
  );
  load();

  async function load() {
    try {
      const [found, enrolled] = await Promise.all([get(path, { signal }), get(`${path}/faces`, { signal })]);
      known = found;
      drawHead();
      look();
      drawFaces(enrolled.faces);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      replace(title, "This person");
      replace(faces);
      facts.hidden = true;
      replace(note, trouble(problem, load));
    }
  }

  function drawHead() {
    replace(title, theirs(nameOf(known), { class: "clip-2" }));
    under.textContent = `${plural(known.face_count, "enrolled face")}${known.expires_at ? `, forgotten ${fromNow(known.expires_at)}` : ""}`;
    replace(
      actions,
      session.can("enroll", "delete") ? el("button", { class: "button", type: "button", onclick: merge }, icon("merge", 18), "Merge") : null,
      session.can("delete") ? el("button", { class: "button danger", type: "button", onclick: erase }, icon("bin", 18), "Erase") : null,
    );
  }

  function look() {
    const rows = Object.entries(known.metadata);
    replace(
      facts,
      el("div", { class: "row apart" }, el("h2", {}, "About"), session.can("enroll") ? el("button", { class: "button small", type: "button", onclick: edit }, "Edit") : null),
      el("dl", { class: "facts" },
        fact("Name", known.name && theirs(known.name)),
        fact("Your own id", known.external_id && theirs(known.external_id)),
        fact("Consent", known.consent && theirs(known.consent)),
        fact("Forget after", known.expires_at && `${when(known.expires_at)} (${fromNow(known.expires_at)})`),
        fact("Id", el("code", {}, known.id))),
      el("h3", {}, "Metadata"),
      rows.length ? el("table", { class: "metadata" }, el("tbody", {}, rows.map(([key, value]) => el("tr", {}, el("th", { scope: "row" }, theirs(key)), el("td", {}, theirs(typeof value === "string" ? value : JSON.stringify(value))))))) : el("p", { class: "small faint" }, "None."),
    );
  }

  function fact(name, value) {
    return [el("dt", {}, name), el("dd", {}, value || el("span", { class: "faint" }, "–"))];
  }

  function edit() {
    const form = personForm(known);
    const wrong = el("div");
    const save = async (event) => {
      event.preventDefault();
      const values = form.read();
      if (values === null) return;
      const changed = Object.fromEntries(Object.entries(values).filter(([name, value]) => differs(known[name], value)));
      if (!Object.keys(changed).length) return look();
      try {
        known = await call("PATCH", path, { json: changed });
        drawHead();
        look();
        toast("Saved.");
      } catch (problem) {
        replace(wrong, trouble(problem));
      }
    };
    replace(facts, el("h2", {}, "Edit"), el("form", { class: "stack", onsubmit: save }, form.element, wrong, el("div", { class: "row" }, el("button", { class: "button main", type: "submit" }, "Save"), el("button", { class: "button", type: "button", onclick: look }, "Cancel"))));
    facts.querySelector("input")?.focus();
  }

  function drawFaces(enrolled) {
    replace(
      faces,
      el("div", { class: "row apart" }, el("h2", {}, "Faces"), session.can("enroll") ? another({ take: add, many: true, text: "Add photos" }) : null),
      enrolled.length ? el("ul", { class: "enrolled" }, enrolled.map(face)) : el("div", { class: "card empty" }, "No face is enrolled, so this person is never found."),
      session.limits.keep_crops ? null : el("p", { class: "small faint" }, "This service keeps no pictures of faces, only templates."),
    );
  }

  function face(one, index) {
    return el(
      "li",
      { class: "card" },
      el("div", { class: "row apart" },
        el("div", { class: "row" }, enrolledThumb(one.id, nameOf(known), { big: true, label: `Enrolled face ${index + 1}` }), el("div", {}, el("h3", {}, `Face ${index + 1}`), one.reference ? el("p", { class: "small quiet" }, theirs(one.reference, { class: "clip-2" })) : null)),
        session.can("delete") ? el("button", { class: "icon-button", type: "button", "aria-label": `Erase face ${index + 1}`, title: "Erase this face", onclick: () => eraseFace(one, index) }, icon("bin", 18)) : null),
      el("details", { class: "more" }, el("summary", {}, "How good this face is"), measures(one.quality, session.limits.quality)),
    );
  }

  async function add(files) {
    announce(`Adding ${plural(files.length, "photo")}`);
    const most = session.limits.max_images;
    const refused = [];
    let kept = 0;
    try {
      for (let from = 0; from < files.length; from += most) {
        const some = files.slice(from, from + most);
        try {
          const answer = await patiently("POST", "/enroll", { form: { images: some, references: some.map((file) => (file.name || "photo").slice(0, 255)), collection, person_id: id }, once: newOnce() });
          kept += answer.faces.length;
          refused.push(...answer.rejected.map((each) => `${some[each.image_index].name}: ${each.detail}`));
        } catch (problem) {
          if (!(problem instanceof Problem) || !problem.body.rejected) throw problem;
          refused.push(...problem.body.rejected.map((each) => `${some[each.image_index].name}: ${each.detail}`));
        }
      }
      await load();
      if (kept) toast(`${plural(kept, "face")} added.`);
      replace(note, refused.length ? el("div", { class: "note bad", role: "alert" }, icon("warn"), el("ul", { class: "stack tight" }, refused.map((text) => el("li", {}, theirs(text))))) : null);
    } catch (problem) {
      replace(note, trouble(problem));
    }
  }

  async function eraseFace(one, index) {
    const last = known.face_count === 1;
    const sure = await confirm("Erase this face?", {
      danger: true,
      action: "Erase the face",
      body: [el("p", {}, `Face ${index + 1} of `, el("b", {}, theirs(nameOf(known))), ` goes, with its template${session.limits.keep_crops ? " and its kept picture" : ""}. The person stays${last ? ", but without any face nobody finds them" : ""}. There is no undo.`)],
    });
    if (!sure) return;
    try {
      await call("DELETE", `/faces/${one.id}`);
      toast("The face is erased.");
      load();
    } catch (problem) {
      replace(note, trouble(problem));
    }
  }

  async function erase() {
    const sure = await confirm("Erase this person?", {
      danger: true,
      action: "Erase the person",
      body: [
        el("p", {}, "This erases ", el("b", {}, theirs(nameOf(known))), ":"),
        el("ul", { class: "tells" },
          el("li", {}, `${plural(known.face_count, "enrolled face")} with templates${session.limits.keep_crops ? " and kept pictures" : ""}`),
          el("li", {}, "name, own id, consent reference and metadata"),
          el("li", {}, "stored answers that mention them")),
        el("p", {}, "The audit record that it was done stays, without the name. There is no undo."),
      ],
    });
    if (!sure) return;
    try {
      const erased = await call("DELETE", path);
      toast(`Erased, with ${plural(erased.faces, "face")}.`);
      location.hash = `#/people/${part(collection)}`;
    } catch (problem) {
      replace(note, trouble(problem));
    }
  }

  async function merge() {
    try {
      const moved = await mergeInto(known, collection);
      if (moved) {
        toast(moved);
        load();
      }
    } catch (problem) {
      replace(note, trouble(problem));
      announce(sentence(problem));
    }
  }
}

function differs(before, after) {
  if (before && after && typeof before === "string" && /^\d{4}-\d\d-\d\dT/.test(before)) return Math.abs(new Date(before) - new Date(after)) >= 60000;
  return JSON.stringify(before ?? null) !== JSON.stringify(after ?? null);
}
