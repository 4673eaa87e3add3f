// Questions that stand in the way until they are answered.

import { el, fresh } from "./dom.js";

/**
 * Open a dialog made by `fill(close)`, which gives its content; resolves with what `close` is
 * called with, or undefined where it was dismissed.
 */
export function ask(title, fill, { wide = false } = {}) {
  return new Promise((resolve) => {
    const name = fresh("dialog");
    let answer;
    const close = (value) => {
      answer = value;
      box.close();
    };
    const box = el(
      "dialog",
      { "aria-labelledby": name, class: wide ? "wide" : null },
      el("div", { class: "inside" }, el("h2", { id: name }, title), fill(close)),
    );
    box.addEventListener("close", () => {
      box.remove();
      resolve(answer);
    });
    document.body.append(box);
    box.showModal();
  });
}

/** A question with what will happen spelled out. Resolves true or false. */
export async function confirm(title, { body, action, danger = false, typed = null }) {
  const agreed = await ask(title, (close) => {
    const act = el("button", { class: `button main${danger ? " danger" : ""}`, type: "submit" }, action);
    const parts = [...body];
    if (typed !== null) {
      const field = fresh("typed");
      act.disabled = true;
      const input = el("input", { class: "input", id: field, autocomplete: "off", spellcheck: "false", oninput: () => { act.disabled = input.value !== typed; } });
      parts.push(el("div", { class: "field" }, el("label", { for: field }, "Type ", el("b", {}, typed), " to go on"), input));
    }
    const cancel = el("button", { class: "button", type: "button", onclick: () => close(false) }, "Cancel");
    if (typed === null) cancel.setAttribute("autofocus", "");
    return el(
      "form",
      { class: "stack", onsubmit: (event) => { event.preventDefault(); close(true); } },
      ...parts,
      el("div", { class: "ends" }, cancel, act),
    );
  });
  return agreed === true;
}
