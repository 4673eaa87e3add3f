// Candidates as bars against the threshold, which moves without anything being asked again.

import { el, theirs } from "./dom.js";
import { part } from "./api.js";
import { session } from "./session.js";
import { score } from "./format.js";

/** What to call a candidate or a person: a name, else an external id, else the id's beginning. */
export function nameOf(person) {
  return person.name ?? person.external_id ?? `Person ${person.id.slice(0, 8)}`;
}

/** Bars for `candidates` as the API has them. `cut(threshold)` moves the line. */
export function bars(candidates) {
  const rows = candidates.map((candidate) => {
    const width = `${Math.max(0, candidate.similarity) * 100}%`;
    const cut = el("span", { class: "cut" });
    const why = el("span", { class: "why" });
    const who = theirs(nameOf(candidate.person), { class: "clip" });
    const row = el(
      "li",
      { class: "bar" },
      el("span", { class: "who" }, session.can("read") ? el("a", { href: `#/people/${part(candidate.collection)}/${candidate.person.id}` }, who) : who),
      el("span", { class: "much" }, score(candidate.similarity)),
      el("span", { class: "track", "aria-hidden": "true" }, el("span", { class: "fill", at: { width } }), cut),
      why,
    );
    return { candidate, row, cut, why };
  });
  const element = el("ol", { class: "bars" }, rows.map((each) => each.row));
  return {
    element,
    cut(threshold) {
      for (const { candidate, row, cut, why } of rows) {
        const below = candidate.similarity < threshold;
        row.classList.toggle("below", below);
        cut.style.left = `${Math.min(1, Math.max(0, threshold)) * 100}%`;
        why.textContent = below ? `below the threshold by ${score(threshold - candidate.similarity)}: not offered` : `above the threshold by ${score(candidate.similarity - threshold)}`;
      }
    },
  };
}
