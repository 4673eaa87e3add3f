// Where photos come in: dropped, pasted, chosen, or taken with the camera.

import { el, fresh } from "./dom.js";
import { icon } from "./icons.js";
import { hasCamera, takePhoto } from "./camera.js";

const TYPES = "image/jpeg,image/png,image/webp";

const photosOf = (list) => [...(list ?? [])].filter((file) => file.type.startsWith("image/") || file.type === "");

/**
 * A place for photos. `take(files)` is called with one or more. With `signal` the whole page
 * takes pasted photos too, until it is aborted.
 */
export function intake({ title, hint, take, many = false, tall = false, signal = null, mark = "photo" }) {
  const chosen = (files) => {
    if (files.length) take(many ? files : files.slice(0, 1));
  };
  const name = fresh("photos");
  const input = el("input", {
    type: "file", accept: TYPES, multiple: many, class: "unseen", tabindex: "-1", id: name, "aria-label": title,
    onchange: () => { chosen([...input.files]); input.value = ""; },
  });
  const place = el(
    "section",
    { class: `drop${tall ? " tall" : ""}`, "aria-label": title },
    el("div", { class: "glyph" }, icon(mark, 26)),
    el("div", {}, el("h2", {}, title), hint ? el("p", { class: "small" }, hint) : null),
    el("div", { class: "row" }, chooseButton(input, many), cameraButton(chosen)),
    input,
  );
  let depth = 0;
  place.addEventListener("dragenter", () => { depth += 1; place.classList.add("over"); });
  place.addEventListener("dragleave", () => { depth -= 1; if (depth <= 0) place.classList.remove("over"); });
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    place.classList.remove("over");
    chosen(photosOf(event.dataTransfer.files));
  });
  if (signal) listen(chosen, signal);
  return place;
}

/** Small buttons for another photo, where a place would take too much room. */
export function another({ take, many = false, text = "Another photo" }) {
  const input = el("input", { type: "file", accept: TYPES, multiple: many, class: "unseen", tabindex: "-1", "aria-label": text, onchange: () => { if (input.files.length) take([...input.files]); input.value = ""; } });
  return el("div", { class: "row" }, el("button", { class: "button", type: "button", onclick: () => input.click() }, icon("photo", 18), text), cameraButton(take), input);
}

/** Take pasted photos, and photos dropped anywhere, until `signal` is aborted. */
export function listen(take, signal) {
  document.addEventListener("paste", (event) => {
    const files = photosOf(event.clipboardData?.files);
    if (files.length) {
      event.preventDefault();
      take(files);
    }
  }, { signal });
}

function chooseButton(input, many) {
  return el("button", { class: "button main", type: "button", onclick: () => input.click() }, icon("photo", 18), many ? "Choose photos" : "Choose a photo");
}

function cameraButton(take) {
  if (!hasCamera()) return null;
  return el("button", { class: "button", type: "button", onclick: async () => { const file = await takePhoto(); if (file) take([file]); } }, icon("camera", 18), "Camera");
}
