// What is said aloud to those who do not see the page, and small messages for those who do.

import { el } from "./dom.js";

let pending;

/** Say it once, a moment after the last change. */
export function announce(text) {
  clearTimeout(pending);
  pending = setTimeout(() => {
    document.getElementById("live").textContent = text;
  }, 150);
}

export function toast(text) {
  const shown = el("div", { class: "toast" }, text);
  document.getElementById("toasts").append(shown);
  announce(text);
  setTimeout(() => shown.remove(), 6000);
}
