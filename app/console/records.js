// The newest lines of the audit record, for those who may see them.

import { el, replace, theirs } from "./dom.js";
import { get } from "./api.js";
import { when } from "./format.js";
import { announce } from "./live.js";
import { trouble } from "./sentences.js";

const OWN = new Set(["action", "at", "key", "collection", "collections", "request_id", "id"]);

export function records(signal) {
  const body = el("tbody");
  const more = el("div", { class: "row" });
  const note = el("div");
  const table = el("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": "Audit record" }, el("table", { class: "table" }, el("thead", {}, el("tr", {}, ["When", "What", "Where", "By", "Details"].map((text) => el("th", { scope: "col" }, text)))), body));

  async function load(cursor = "") {
    try {
      const page = await get("/audit", { query: { limit: 12, cursor }, signal });
      const rows = page.records.map(row);
      if (cursor) body.append(...rows);
      else replace(body, rows);
      replace(note);
      replace(more, el("button", { class: "button small", type: "button", onclick: () => load() }, "Refresh"), page.next_cursor ? el("button", { class: "button small", type: "button", onclick: () => load(page.next_cursor) }, "Older") : null);
      if (cursor) announce(`${rows.length} more records`);
    } catch (problem) {
      if (problem.name !== "AbortError") replace(note, trouble(problem, () => load(cursor)));
    }
  }

  load();
  return el("div", { class: "stack" }, note, table, more);
}

// Ids are told by their beginnings; the whole record is at GET /audit.
function spoken(value) {
  if (Array.isArray(value)) return value.length ? value.map(spoken).join(" ") : "none";
  if (typeof value === "object") return JSON.stringify(value);
  return /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(value) ? String(value).slice(0, 8) : String(value);
}

function row({ record }) {
  const details = Object.entries(record).filter(([name, value]) => !OWN.has(name) && value !== null).map(([name, value]) => `${name.replaceAll("_", " ")} ${spoken(value)}`).join(", ");
  return el(
    "tr",
    {},
    el("td", { class: "figures nowrap" }, el("time", { datetime: record.at }, when(record.at))),
    el("td", { class: "nowrap" }, theirs(record.action)),
    el("td", {}, theirs(record.collection ?? record.collections?.join(", ") ?? "–")),
    el("td", {}, record.key ? el("code", {}, theirs(record.key)) : el("span", { class: "faint nowrap" }, "no key")),
    el("td", { class: "small quiet" }, theirs(details, { class: "clip-2" })),
  );
}
