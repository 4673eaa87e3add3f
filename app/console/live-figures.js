// Queues, latencies, revisions: read from GET /metrics every two seconds while they are looked at.

import { el, replace, svg, theirs } from "./dom.js";
import { get } from "./api.js";
import { count, duration, plural, quick } from "./format.js";
import { buckets, named, parse, quantile, since } from "./prometheus.js";
import { path } from "./scales.js";
import { sentence } from "./sentences.js";

const EVERY = 2000;
const KEPT = 60;
// What asks for itself would drown what is asked for by people and programs.
const WORK = ({ route }) => /^\/(identify|verify|enroll|detect|embeddings)$/.test(route);

export function liveFigures(signal) {
  const tiles = el("dl", { class: "tiles" });
  const galleries = el("div");
  const routes = el("div");
  const state = el("p", { class: "row small quiet one-line" }, el("span", { class: "spinner" }), "Reading…");
  const readings = [];

  async function tick() {
    if (signal.aborted) return;
    if (!document.hidden) {
      try {
        readings.push({ at: performance.now(), samples: parse(await get("/metrics", { as: "text", signal })) });
        if (readings.length > KEPT) readings.shift();
        draw();
        replace(state, el("span", { class: "live-dot" }), el("span", {}, "Live, every two seconds"));
      } catch (problem) {
        if (problem.name === "AbortError") return;
        replace(state, el("span", { class: "live-dot off" }), sentence(problem));
      }
    }
    setTimeout(tick, EVERY);
  }

  function draw() {
    const now = readings.at(-1);
    const first = readings[0];
    const seconds = (now.at - first.at) / 1000;
    const of = (reading, wanted = WORK) => buckets(reading.samples, "rollcall_request_seconds", wanted);
    const lately = since(of(now), of(first));
    const busy = readings.length > 1 && total(lately) > 0;
    const recent = busy ? lately : of(now);
    const span = busy ? `in the last ${duration(seconds)}` : "since the start";
    const rates = readings.slice(1).map((reading, index) => (total(of(reading)) - total(of(readings[index]))) / ((reading.at - readings[index].at) / 1000));
    const depth = (reading) => named(reading.samples, "rollcall_queue_depth").reduce((sum, each) => sum + each.value, 0);
    const lag = Math.max(0, ...named(now.samples, "rollcall_gallery_lag").map((each) => each.value));
    const memory = named(now.samples, "process_resident_memory_bytes")[0]?.value;
    replace(
      tiles,
      tile("Requests a second", rates.length ? Math.max(0, rates.at(-1)).toFixed(1) : "–", `${count(total(recent))} ${span}`, rates),
      tile("Half take up to", quick(quantile(recent, 0.5)), total(recent) ? `19 of 20 up to ${quick(quantile(recent, 0.95))}, 99 of 100 up to ${quick(quantile(recent, 0.99))}, ${span}` : "nothing was asked yet"),
      tile("Waiting in queues", count(depth(now)), named(now.samples, "rollcall_queue_depth").map((each) => `${each.labels.queue} ${each.value}`).join(", "), readings.map(depth)),
      tile("Index behind by", plural(lag, "revision"), `PostgreSQL answered ${quick(named(now.samples, "rollcall_sync_contact_seconds")[0]?.value ?? NaN)} ago`),
      memory ? tile("Memory", `${count(Math.round(memory / 2 ** 20))} MiB`, "of this process") : null,
    );
    drawGalleries(now.samples);
    drawRoutes(now.samples);
  }

  function drawRoutes(samples) {
    const asked = new Map();
    for (const { labels, value } of named(samples, "rollcall_request_seconds_count")) {
      if (!WORK(labels)) continue;
      const known = asked.get(labels.route) ?? { all: 0, refused: 0 };
      known.all += value;
      if (Number(labels.status) >= 400) known.refused += value;
      asked.set(labels.route, known);
    }
    const rows = [...asked].sort(([, a], [, b]) => b.all - a.all).map(([route, known]) => {
      const counts = buckets(samples, "rollcall_request_seconds", (labels) => labels.route === route);
      return el("tr", {}, el("th", { scope: "row" }, el("code", {}, route)), [count(known.all), count(known.refused), ...[0.5, 0.95, 0.99].map((share) => quick(quantile(counts, share)))].map((text) => el("td", { class: "number" }, text)));
    });
    replace(routes, rows.length ? tableCard("What was asked since the start", ["Asked", "Times", "Refused", "Half in", "95 % in", "99 % in"], rows) : null);
  }

  function drawGalleries(samples) {
    const rows = named(samples, "rollcall_gallery_templates").map((each) => {
      const of = (name) => named(samples, name).find((other) => other.labels.collection === each.labels.collection)?.value ?? 0;
      return el("tr", {}, el("th", { scope: "row" }, theirs(each.labels.collection, { class: "clip" })), el("td", { class: "number" }, count(each.value)), el("td", { class: "number" }, count(of("rollcall_gallery_revision"))), el("td", { class: "number" }, count(of("rollcall_gallery_lag"))));
    });
    replace(galleries, rows.length ? tableCard("Index of each collection", ["Collection", "Templates", "Revision", "Behind"], rows) : null);
  }

  tick();
  return el("div", { class: "stack" }, state, tiles, el("div", { class: "halves" }, galleries, routes));
}

const total = (counts) => counts.get(Infinity) ?? 0;

function tableCard(label, heads, rows) {
  return el("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": label }, el("table", { class: "table" }, el("thead", {}, el("tr", {}, heads.map((text, index) => el("th", { scope: "col", class: index ? "number" : null }, text)))), el("tbody", {}, rows)));
}

function tile(name, value, under, line = null) {
  return el("div", { class: "card tile" }, el("dt", {}, name), el("dd", {}, value), under ? el("dd", { class: "small" }, under) : null, line && line.length > 1 ? el("dd", { "aria-hidden": "true" }, spark(line)) : null);
}

function spark(values) {
  const most = Math.max(1, ...values);
  const points = values.map((value, index) => [(100 * index) / (values.length - 1), 30 - (28 * Math.max(0, value)) / most]);
  return svg("svg", { class: "spark", viewBox: "0 0 100 32", preserveAspectRatio: "none" }, svg("path", { class: "area", d: `${path([[0, 32], ...points, [100, 32]])}Z` }), svg("path", { class: "line", d: path(points) }));
}
