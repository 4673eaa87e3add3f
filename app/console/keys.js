// Asking for the key, and learning what it may do.

import { el, fresh } from "./dom.js";
import { ask } from "./dialog.js";
import { call, Problem } from "./api.js";
import { session } from "./session.js";
import { sentence } from "./sentences.js";

let open = null;

/** Ask for a key; says whether one was given. Two questions at once are one. */
export function askForKey(problem) {
  open ??= question(problem).finally(() => {
    open = null;
  });
  return open;
}

async function question(problem) {
  const wrong = session.key !== null && problem !== undefined;
  const given = await ask("This service asks for a key", (close) => {
    const field = fresh("key");
    const input = el("input", { class: "input mono", id: field, type: "password", name: "rollcall-key", autocomplete: "off", spellcheck: "false", autocapitalize: "off", placeholder: "rc_…", required: true });
    return el(
      "form",
      { class: "stack", onsubmit: (event) => { event.preventDefault(); close(input.value.trim()); } },
      wrong ? el("p", { class: "note bad", role: "alert" }, el("span"), sentence(problem)) : null,
      el("div", { class: "field" }, el("label", { for: field }, "API key"), input,
        el("p", { class: "hint" }, "It stays in this tab and is forgotten when you close it. Whoever runs the service makes one with ", el("code", {}, "rollcall keys create"), ".")),
      el("div", { class: "ends" }, el("button", { class: "button", type: "button", onclick: () => close() }, "Not now"), el("button", { class: "button main", type: "submit" }, "Use this key")),
    );
  });
  if (!given) return false;
  session.key = given;
  return true;
}

/** Learn what may be done. Raises Problem where the service cannot say. */
export async function introduce() {
  session.self = null;
  session.self = await call("GET", "/keys/self");
  session.limits = await call("GET", "/limits");
}

export function forget() {
  session.key = null;
  session.self = null;
}

export const isKeyWanted = (problem) => problem instanceof Problem && problem.status === 401;
