// The reference of the API, drawn from /openapi.json: what is there, which fields it takes, what it
// answers, and how to ask with curl.

import { el, replace } from "./dom.js";

const main = document.getElementById("main");
const contents = document.getElementById("contents");
const ORDER = ["faces", "persons", "collections", "service", "access"];

let schemas = {};

function resolved(schema) {
  const name = schema?.$ref?.split("/").at(-1);
  return name ? (schemas[name] ?? {}) : (schema ?? {});
}

/** A type in a few words. */
function kind(schema) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === "array") return schema.prefixItems ? `[${schema.prefixItems.map(kind).join(", ")}]` : `list of ${kind(schema.items ?? {})}`;
  if (schema.format === "binary") return "file";
  return [schema.type ?? "anything", schema.format ? `(${schema.format})` : ""].join(" ").trim();
}

function limits(schema) {
  const said = [];
  if (schema.default !== undefined && schema.default !== null && schema.default !== "") said.push(`default ${JSON.stringify(schema.default)}`);
  for (const [key, text] of [["minimum", "from"], ["exclusiveMinimum", "above"], ["maximum", "to"], ["exclusiveMaximum", "below"], ["maxLength", "characters up to"], ["maxItems", "entries up to"]]) {
    if (schema[key] !== undefined) said.push(`${text} ${schema[key]}`);
  }
  return said.join(", ");
}

function fields(schema) {
  const whole = resolved(schema);
  const needed = new Set(whole.required ?? []);
  const rows = Object.entries(whole.properties ?? {}).map(([name, field]) =>
    el("tr", {}, el("td", {}, el("code", {}, name), needed.has(name) ? el("span", { class: "need" }, " required") : null), el("td", {}, kind(field)), el("td", {}, [field.description, limits(field)].filter(Boolean).join("; "))));
  return table(["field", "type", "meaning"], rows);
}

function table(heads, rows) {
  if (!rows.length) return null;
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": heads.join(", ") }, el("table", {}, el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, rows)));
}

/** Text with `code` in it, in paragraphs. */
function prose(text) {
  return text.split(/\n\s*\n/).map((paragraph) => el("p", {}, paragraph.split(/(`[^`]+`)/).map((piece) => (/^`.+`$/.test(piece) ? el("code", {}, piece.slice(1, -1)) : piece))));
}

function example(method, path, operation) {
  const content = operation.requestBody?.content ?? {};
  const parts = ["curl"];
  if (method !== "get" && !(method === "post")) parts.push(`-X ${method.toUpperCase()}`);
  if (operation.security?.length) parts.push('-H "Authorization: Bearer $KEY"');
  const form = resolved(content["multipart/form-data"]?.schema);
  const files = Object.entries(form.properties ?? {}).filter(([, field]) => kind(field).includes("file"));
  if (files.length) {
    for (const [name] of files.filter(([name]) => form.required?.includes(name) || ["source", "target"].includes(name))) parts.push(`-F ${name}=@photo.jpg`);
  } else if (content["application/json"]) {
    parts.push("-H 'Content-Type: application/json'", `-d '${JSON.stringify(sample(content["application/json"].schema))}'`);
  }
  const query = (operation.parameters ?? []).filter((each) => each.in === "query" && each.required).map((each) => `${each.name}=…`).join("&");
  return `${parts.join(" ")} ${location.origin}${path}${query ? `?${query}` : ""}`;
}

function sample(schema) {
  const whole = resolved(schema);
  return Object.fromEntries(Object.entries(whole.properties ?? {}).filter(([name]) => whole.required?.includes(name)).map(([name, field]) => [name, field.type === "array" ? ["…"] : field.type === "integer" ? 1 : "…"]));
}

const idOf = (method, path) => `${method}-${path.replace(/[^a-z0-9]+/gi, "-").replace(/^-|-$/g, "")}`;

function article(method, path, operation) {
  const form = operation.requestBody?.content?.["multipart/form-data"]?.schema;
  const success = Object.entries(operation.responses).find(([status]) => status.startsWith("2"));
  const answer = success?.[1].content?.["application/json"]?.schema;
  const parameters = (operation.parameters ?? []).map((each) =>
    el("tr", {}, el("td", {}, el("code", {}, each.name), each.required ? el("span", { class: "need" }, " required") : null), el("td", {}, `${each.in}, ${kind(each.schema ?? {})}`), el("td", {}, [each.description ?? each.schema?.description, limits(each.schema ?? {})].filter(Boolean).join("; "))));
  const scopes = (operation.security ?? []).flatMap((each) => Object.values(each).flat());
  return el(
    "article",
    { id: idOf(method, path) },
    el("header", {}, el("span", { class: `verb ${method}` }, method.toUpperCase()), el("h3", {}, path), el("span", { class: "scope" }, scopes.length ? `scope ${scopes.join(", ")}` : operation.security?.length ? "any key" : "no key")),
    el("p", {}, el("b", {}, operation.summary ?? "")),
    operation.description ? prose(operation.description) : null,
    table(["parameter", "where", "meaning"], parameters),
    form ? [el("h4", {}, "Body"), fields(form)] : null,
    el("pre", { tabindex: "0" }, example(method, path, operation)),
    el("details", {}, el("summary", {}, "Answers"),
      answer ? [el("h4", {}, `${success[0]}`), fields(answer)] : el("p", {}, `${success?.[0] ?? ""} ${Object.keys(success?.[1].content ?? {}).join(", ")}`),
      el("p", {}, `Errors are problem details with a stable code: ${Object.keys(operation.responses).filter((status) => Number(status) >= 400).join(", ")}.`)),
  );
}

function draw(document_) {
  schemas = document_.components?.schemas ?? {};
  const groups = new Map();
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.at(-1) ?? "service";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push({ method, path, operation });
    }
  }
  const rank = (tag) => (ORDER.includes(tag) ? ORDER.indexOf(tag) : ORDER.length);
  const sorted = [...groups].sort(([a], [b]) => rank(a) - rank(b));
  replace(main, el("h1", {}, "The API"), prose(document_.info.description), el("p", {}, "The document itself: ", el("a", { href: "/openapi.json" }, "/openapi.json"), "."),
    sorted.map(([tag, list]) => [el("h2", { id: `tag-${tag}` }, tag), list.map(({ method, path, operation }) => article(method, path, operation))]));
  const lists = el("div");
  const filter = el("input", { type: "search", placeholder: "Find an operation", "aria-label": "Find an operation", oninput: () => list(filter.value.trim().toLowerCase()) });
  const list = (wanted) => replace(lists, sorted.map(([tag, all]) => {
    const some = all.filter(({ method, path, operation }) => `${method} ${path} ${operation.summary}`.toLowerCase().includes(wanted));
    return some.length ? [el("h2", {}, tag), el("ul", {}, some.map(({ method, path }) => el("li", {}, el("a", { href: `#${idOf(method, path)}` }, el("span", { class: `verb ${method}` }, method.toUpperCase()), el("span", {}, path)))))] : null;
  }));
  list("");
  replace(contents, el("a", { class: "brand", href: "/" }, el("img", { src: "/console/mark.svg", alt: "", width: 28, height: 28 }), "Rollcall"), filter, lists);
  if (location.hash.length > 1) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

fetch("/openapi.json", { credentials: "omit" })
  .then((response) => {
    if (!response.ok) throw new Error(`${response.status}`);
    return response.json();
  })
  .then(draw)
  .catch(() => replace(main, el("p", { class: "wrong", role: "alert" }, "The description of the API cannot be read. Is the service still running? Load the page again.")));
