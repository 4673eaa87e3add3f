// What is said of a person: the same fields when they are enrolled and when they are edited.

import { el, fresh } from "./dom.js";

/** ISO time as a datetime-local field has it, in the time of this place. */
function local(text) {
  if (!text) return "";
  const moment = new Date(text);
  return new Date(moment - moment.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

/**
 * The fields named in `only`, filled from `person`. `read()` gives {name, external_id, metadata,
 * consent, expires_at}: null where empty; it returns null, and says so at the field, where
 * something cannot be taken.
 */
export function personForm(person = {}, { only = ["name", "external_id", "consent", "expires_at", "metadata"], needsConsent = false } = {}) {
  const make = {
    name: () => text("name", "Name", person.name, { placeholder: "Eileen Collins" }),
    external_id: () => text("external_id", "Your own id", person.external_id, { hint: "Unique in the collection: a staff number, say." }),
    consent: () => text("consent", needsConsent ? "Consent (needed here)" : "Consent", person.consent, { hint: "Where you keep the person's consent.", required: needsConsent }),
    expires_at: () => text("expires_at", "Forget after", local(person.expires_at), { type: "datetime-local", hint: "The person is erased then. Empty: not by itself." }),
    metadata: () => metadata(person.metadata ?? {}),
  };
  const fields = Object.fromEntries(only.map((name) => [name, make[name]()]));
  const wide = only.filter((name) => name === "metadata");
  return {
    element: el("div", { class: "stack" }, el("div", { class: "grid-2" }, only.filter((name) => name !== "metadata").map((name) => fields[name].element)), wide.map((name) => fields[name].element)),
    read() {
      const values = {};
      for (const [name, field] of Object.entries(fields)) {
        const value = field.read();
        if (value === undefined) {
          field.input.focus();
          return null;
        }
        values[name] = value;
      }
      return values;
    },
  };
}

function shell(input, id, label, hint) {
  const wrong = el("p", { class: "wrong", id: `${id}-wrong`, role: "alert" });
  const under = hint ? el("p", { class: "hint", id: `${id}-hint` }, hint) : null;
  input.setAttribute("aria-describedby", `${hint ? `${id}-hint ` : ""}${id}-wrong`);
  return {
    input,
    element: el("div", { class: "field" }, el("label", { for: id }, label), input, under, wrong),
    refuse(sentence) {
      wrong.textContent = sentence;
      input.setAttribute("aria-invalid", "true");
      return undefined;
    },
    accept(value) {
      wrong.textContent = "";
      input.removeAttribute("aria-invalid");
      return value;
    },
  };
}

function text(name, label, value, { type = "text", hint = null, placeholder = null, required = false } = {}) {
  const id = fresh(name);
  const input = el("input", { class: "input", id, type, value: value ?? "", maxlength: type === "text" ? 500 : null, placeholder, autocomplete: "off", dir: type === "text" ? "auto" : null });
  const field = shell(input, id, label, hint);
  field.read = () => {
    const given = input.value.trim();
    if (!given) return required ? field.refuse("This is needed before anybody is enrolled here.") : field.accept(null);
    if (type !== "datetime-local") return field.accept(given);
    const moment = new Date(given);
    if (!(moment > new Date())) return field.refuse("Choose a time in the future.");
    return field.accept(moment.toISOString());
  };
  return field;
}

function metadata(value) {
  const id = fresh("metadata");
  const shown = Object.keys(value).length ? JSON.stringify(value, null, 2) : "";
  const input = el("textarea", { class: "input", id, spellcheck: "false", rows: 4, placeholder: '{"team": "STS-93"}' });
  input.value = shown;
  const field = shell(input, id, "Metadata", "A JSON object with whatever you like to keep with the person.");
  field.read = () => {
    if (!input.value.trim()) return field.accept({});
    try {
      const parsed = JSON.parse(input.value);
      if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) return field.refuse('This must be a JSON object: {"key": "value"}.');
      return field.accept(parsed);
    } catch (error) {
      return field.refuse(`This is not JSON: ${error.message}.`);
    }
  };
  return field;
}
