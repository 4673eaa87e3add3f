// The little Markdown that model cards are written in, as elements. What it does not know stays
// text; nothing becomes a link, and nothing becomes HTML.

import { el } from "./dom.js";

const INLINE = /(\*\*[^*]+\*\*|`[^`]+`)/;

function inline(text) {
  return text.split(INLINE).map((piece) => {
    if (piece.startsWith("**") && piece.endsWith("**") && piece.length > 4) return el("b", {}, piece.slice(2, -2));
    if (piece.startsWith("`") && piece.endsWith("`") && piece.length > 2) return el("code", {}, piece.slice(1, -1));
    return piece;
  });
}

const cells = (row) => row.replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());

/** Elements for `text`. Headings begin at h3, since they stand within a page. */
export function markdown(text) {
  const lines = text.split("\n");
  const made = [];
  for (let at = 0; at < lines.length; at += 1) {
    const row = lines[at];
    const while_ = (test) => {
      const taken = [];
      while (at < lines.length && test(lines[at])) taken.push(lines[at++]);
      at -= 1;
      return taken;
    };
    if (row.startsWith("```")) {
      at += 1;
      const code = while_((each) => !each.startsWith("```"));
      at += 1;
      made.push(el("pre", { tabindex: "0" }, code.join("\n")));
    } else if (/^#{1,6} /.test(row)) {
      made.push(el(row.startsWith("# ") ? "h3" : "h4", {}, inline(row.replace(/^#+ /, ""))));
    } else if (/^[-*] /.test(row)) {
      made.push(el("ul", {}, while_((each) => /^[-*] /.test(each)).map((each) => el("li", {}, inline(each.slice(2))))));
    } else if (row.startsWith("|")) {
      made.push(table(while_((each) => each.startsWith("|"))));
    } else if (row.trim()) {
      made.push(el("p", {}, inline(while_((each) => each.trim() && !/^([-*] |#|\||```)/.test(each)).join(" "))));
    }
  }
  return made;
}

function table(rows) {
  const [head, ...body] = rows.filter((row) => !/^\|[\s|:-]+\|$/.test(row) || row === rows[0]).map(cells);
  const headed = head.some(Boolean);
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" }, el("table", { class: "table" },
    headed ? el("thead", {}, el("tr", {}, head.map((cell) => el("th", { scope: "col" }, inline(cell))))) : null,
    el("tbody", {}, body.map((row) => el("tr", {}, row.map((cell) => el("td", {}, inline(cell))))))));
}
