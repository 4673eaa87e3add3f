// System: what works here, how it fares just now, and what was done.

import { el, replace } from "./dom.js";
import { get } from "./api.js";
import { liveFigures } from "./live-figures.js";
import { packs } from "./packs.js";
import { records } from "./records.js";
import { trouble } from "./sentences.js";
import { session } from "./session.js";

export function system(root, { signal }) {
  const place = el("div", { class: "stack" });
  async function models() {
    try {
      replace(place, packs(await get("/models", { signal })));
    } catch (problem) {
      if (problem.name !== "AbortError") replace(place, trouble(problem, models));
    }
  }
  const section = (title, ...content) => el("section", { class: "stack" }, el("h2", {}, title), ...content);
  replace(
    root,
    el("div", { class: "head" }, el("div", {}, el("h1", {}, "System"), el("p", {}, "What works here, how it fares just now, and what was done."))),
    el("div", { class: "stack wide-gaps" },
      session.can("metrics") ? section("Just now", liveFigures(signal)) : null,
      session.can("read") ? section("Packs", place) : null,
      session.can("admin") ? section("Audit record", records(signal)) : null),
  );
  if (session.can("read")) models();
}
