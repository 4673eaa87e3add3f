// The frame: navigation, key, theme, and which screen is shown.

import { el, replace } from "./dom.js";
import { icon } from "./icons.js";
import { onKeyWanted } from "./api.js";
import { session } from "./session.js";
import { askForKey, forget, introduce, isKeyWanted } from "./keys.js";
import { trouble } from "./sentences.js";
import { enrol } from "./enrol.js";
import { identify } from "./identify.js";
import { people } from "./people.js";
import { system } from "./system.js";
import { verify } from "./verify.js";

// `may` says which scopes make a screen worth offering: one of them.
const SCREENS = {
  identify: { title: "Identify", show: identify, may: ["identify"] },
  enrol: { title: "Enrol", show: enrol, may: ["enroll"] },
  verify: { title: "Verify", show: verify, may: ["verify"] },
  people: { title: "People", show: people, may: ["read"] },
  system: { title: "System", show: system, may: ["read", "metrics", "admin"] },
};

const main = document.getElementById("main");
let leave = null;

const offered = () => Object.entries(SCREENS).filter(([, screen]) => screen.may.some((scope) => session.can(scope)));

function place() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const parts = [];
  for (const each of rest) {
    try {
      parts.push(decodeURIComponent(each));
    } catch {
      return [name, []];
    }
  }
  return [name, parts];
}

function show({ first = false } = {}) {
  const screens = offered();
  if (!screens.length) return showNothing();
  const [asked, parts] = place();
  const name = screens.some(([each]) => each === asked) ? asked : screens[0][0];
  const controller = new AbortController();
  leave?.abort();
  leave = controller;
  drawNavigation(name);
  document.title = `${SCREENS[name].title} · Rollcall`;
  replace(main);
  SCREENS[name].show(main, { parts: name === asked ? parts : [], signal: controller.signal });
  window.scrollTo(0, 0);
  if (!first) main.focus({ preventScroll: true });
  return undefined;
}

function drawNavigation(current) {
  replace(
    document.getElementById("nav"),
    offered().map(([name, screen]) =>
      el("a", { href: `#/${name}`, "aria-current": name === current ? "page" : null }, el("span", { class: "icon" }, icon(name)), screen.title),
    ),
    el("p", { class: "aside small" }, el("a", { href: "/docs" }, "API reference")),
  );
}

function showNothing() {
  const locked = session.self === null;
  replace(document.getElementById("nav"));
  replace(
    main,
    el("div", { class: "card empty" },
      el("h1", {}, locked ? "A key is needed" : "This key opens no screen"),
      el("p", {}, locked ? "This service asks everybody for an API key before it shows anything." : "Its scopes are for programs. Ask whoever runs the service for a key that may identify, enrol, verify or read."),
      el("div", { class: "row" }, el("button", { class: "button main", type: "button", onclick: changeKey }, icon("key"), locked ? "Enter a key" : "Use another key"))),
  );
}

async function changeKey() {
  if (await askForKey()) await begin();
}

function drawTools() {
  const dark = () => (document.documentElement.style.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const theme = el("button", { class: "icon-button", type: "button" });
  const label = () => {
    const text = dark() ? "Light colours" : "Dark colours";
    theme.title = text;
    theme.setAttribute("aria-label", text);
    replace(theme, icon(dark() ? "sun" : "moon"));
  };
  theme.addEventListener("click", () => {
    document.documentElement.style.colorScheme = dark() ? "light" : "dark";
    sessionStorage.setItem("rollcall.theme", document.documentElement.style.colorScheme);
    label();
  });
  label();
  const key = session.key
    ? el("button", { class: "icon-button", type: "button", title: "Forget the key", "aria-label": "Forget the key", onclick: () => { forget(); location.reload(); } }, icon("key"))
    : null;
  replace(document.getElementById("tools"), key, theme);
}

async function begin() {
  replace(main, el("p", { class: "row quiet" }, el("span", { class: "spinner" }), "Asking the service…"));
  try {
    await introduce();
  } catch (problem) {
    drawTools();
    if (isKeyWanted(problem)) return showNothing();
    return replace(main, trouble(problem, begin));
  }
  drawTools();
  return show({ first: true });
}

document.documentElement.style.colorScheme = sessionStorage.getItem("rollcall.theme") ?? "";
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", () => { if (session.self) show(); });
// A photo that misses its place must not replace the page.
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());
onKeyWanted(askForKey);
drawTools();
begin();
