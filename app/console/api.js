// The public HTTP API, and nothing else. Everything that goes wrong is a Problem with a sentence.

import { session } from "./session.js";

export class Problem extends Error {
  /** `body` is the problem document (RFC 9457), or {} where there was none. */
  constructor(status, body, retryAfter) {
    super(body.detail ?? `The service answered ${status} without saying why.`);
    this.status = status;
    this.code = body.code ?? (status === 0 ? "unreachable" : "unknown");
    this.body = body;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may fare better in a while. */
  get passes() {
    return this.status === 429 || this.status === 503 || this.status === 0;
  }
}

let keyAsker = async () => false;

/** `ask(problem)` is called when the service wants a key; it says whether there is one now. */
export function onKeyWanted(ask) {
  keyAsker = ask;
}

/**
 * One request. `form` is an object of fields (a list comes again for each entry), `json` a value.
 * The answer is what JSON says, or with `as` "text" or "blob". Raises Problem.
 */
export async function call(method, path, asked = {}) {
  for (;;) {
    const shown = session.key;
    const response = await send(method, path, asked);
    if (response.ok) return read(response, asked.as ?? "json");
    const problem = await problemOf(response);
    if (problem.status !== 401) throw problem;
    // Somebody may have given another key while this one was on its way.
    if (session.key === shown && !(await keyAsker(problem))) throw problem;
  }
}

/** `call`, again and again while the service is busy: for long work. `waiting(seconds, problem)`. */
export async function patiently(method, path, asked, waiting = () => {}) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call(method, path, asked);
    } catch (problem) {
      if (!(problem instanceof Problem) || !problem.passes || attempt === 8) throw problem;
      const seconds = Math.min(problem.retryAfter ?? 2 ** (attempt - 1), 60);
      waiting(seconds, problem);
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    }
  }
}

export const get = (path, asked) => call("GET", path, asked);
export const part = encodeURIComponent;

async function send(method, path, asked) {
  const headers = new Headers({ Accept: "application/json" });
  if (session.key) headers.set("Authorization", `Bearer ${session.key}`);
  if (asked.once) headers.set("Idempotency-Key", asked.once);
  let body;
  if (asked.form) body = formOf(asked.form);
  if (asked.json !== undefined) {
    body = JSON.stringify(asked.json);
    headers.set("Content-Type", "application/json");
  }
  const query = new URLSearchParams(Object.entries(asked.query ?? {}).filter(([, value]) => value !== undefined && value !== ""));
  const url = query.size ? `${path}?${query}` : path;
  try {
    return await fetch(url, { method, headers, body, signal: asked.signal, credentials: "omit", cache: "no-store", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "The service cannot be reached. It may have stopped, or the network is gone." });
  }
}

function formOf(fields) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each === undefined || each === null || each === "") continue;
      if (each instanceof Blob) form.append(name, each, "photo");
      else form.append(name, String(each));
    }
  }
  return form;
}

async function read(response, as) {
  if (as === "text") return response.text();
  if (as === "blob") return response.blob();
  return response.json();
}

async function problemOf(response) {
  const after = Number.parseFloat(response.headers.get("retry-after"));
  let body = {};
  try {
    body = await response.json();
  } catch {
    // Something on the way answered, not the service.
  }
  return new Problem(response.status, body, Number.isFinite(after) ? after : undefined);
}

/** A word for Idempotency-Key that nobody used before; also where there is no secure context. */
export function newOnce() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
