// One person in a list.

import { el, theirs } from "./dom.js";
import { get } from "./api.js";
import { nameOf } from "./bars.js";
import { enrolledThumb } from "./crops.js";
import { fromNow, plural } from "./format.js";
import { pool } from "./pool.js";
import { session } from "./session.js";

const asking = pool(3);

// Faces are asked for when a row comes into sight: a page has fifty of them.
const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    sight.unobserve(target);
    target.dispatchEvent(new Event("seen"));
  }
}, { rootMargin: "200px" });

/** A thumbnail of a person: the first kept crop, or letters. */
export function personThumb(person, { big = false } = {}) {
  const letters = enrolledThumb(null, nameOf(person), { big });
  if (!session.limits.keep_crops || !person.face_count) return letters;
  letters.addEventListener("seen", async () => {
    try {
      const { faces } = await asking(() => get(`/persons/${person.id}/faces`));
      if (faces.length) letters.replaceWith(enrolledThumb(faces[0].id, nameOf(person), { big }));
    } catch {
      // The letters stay.
    }
  });
  sight.observe(letters);
  return letters;
}

/** With `href` a link to the person, with `pick` a button that calls it. */
export function personRow(person, { href = null, pick = null }) {
  const inside = [
    personThumb(person),
    el("span", {}, theirs(nameOf(person), { class: `clip name${person.name ? "" : " quiet"}` }),
      el("span", { class: "meta" },
        person.external_id && person.name ? theirs(person.external_id) : null,
        person.expires_at ? el("span", {}, `forgotten ${fromNow(person.expires_at)}`) : null,
        person.consent ? el("span", {}, "consent noted") : null)),
    el("span", { class: "chip figures" }, plural(person.face_count, "face")),
  ];
  return href ? el("a", { class: "person-row", href }, inside) : el("button", { class: "person-row as-button", type: "button", onclick: () => pick(person) }, inside);
}
