// The kept picture of an enrolled face, where crops are kept; else the beginnings of a name.

import { el } from "./dom.js";
import { get } from "./api.js";
import { pool } from "./pool.js";
import { session } from "./session.js";

const fetching = pool(4);

function initials(name) {
  const letters = [...name.matchAll(/(?<![\p{L}\p{N}])[\p{L}\p{N}]/gu)].map((found) => found[0].toUpperCase());
  return letters.length > 1 ? letters[0] + letters.at(-1) : (letters[0] ?? "?");
}

/** A thumbnail for `faceId` (null: none is known) of somebody called `name`. */
export function enrolledThumb(faceId, name, { big = false, label = "" } = {}) {
  const holder = el("span", { class: `thumb mono${big ? " big" : ""}`, role: label ? "img" : null, "aria-label": label || null, "aria-hidden": label ? null : "true" }, initials(name));
  if (faceId && session.limits.keep_crops && session.can("read")) {
    fetching(() => get(`/faces/${faceId}/crop`, { as: "blob" })).then(
      (blob) => {
        const url = URL.createObjectURL(blob);
        const image = el("img", { class: holder.className.replace("mono", ""), alt: label });
        image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
        image.src = url;
        holder.replaceWith(image);
      },
      () => {}, // enrolled before crops were kept: the letters stay
    );
  }
  return holder;
}
