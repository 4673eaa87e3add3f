// What went wrong, for a person: what happened, and what to do now.

import { el } from "./dom.js";
import { icon } from "./icons.js";
import { Problem } from "./api.js";
import { duration } from "./format.js";

const HELP = {
  face_not_found: "There is no face in this photo that can be seen well enough. Use an upright, well-lit photo in which the face is at least 40 pixels wide.",
  several_faces: "There is more than one face in this photo. Choose the one that is meant.",
  image_type_unsupported: "This file is no JPEG, PNG or WebP picture. Save it as JPEG and try again; a screenshot of it does as well.",
  image_broken: "This picture is damaged or was cut off on its way. Save it anew, or choose another.",
  image_animated: "This picture moves. Choose one that stands still.",
  image_empty: "This file is empty. Choose another.",
  scope_missing: "The key of this tab may not do that. Ask whoever runs the service for one that may.",
  external_id_taken: "Another person of this collection has that external id already. Each can be used once.",
  duplicate_person: "Somebody in this collection already looks like this.",
  person_without_faces: "This person has no enrolled face any more, so there is nothing to compare with. Enrol a photo first.",
  person_not_found: "This person is not there any more. Perhaps somebody erased them meanwhile.",
  collection_exists: "There is a collection of that name already. Choose another name.",
  consent_missing: "This service enrols nobody without a consent reference. Say where the person's consent is kept.",
  model_not_loaded: "This collection was made with a model that the service does not have loaded, so it cannot be searched now. Whoever runs the service can add its pack.",
  cross_site: "The service answers only to its own page here. Open it by the address that it printed at its start.",
};

/** One or two sentences about what was thrown. */
export function sentence(problem) {
  if (!(problem instanceof Problem)) return "Something in this page went wrong. Load it again; nothing that was saved is lost.";
  const said = HELP[problem.code] ?? problem.message;
  if (problem.status === 429) return `${said} Wait ${duration(problem.retryAfter ?? 1)} and try again.`;
  if (problem.status === 503) return `The service cannot do this right now. ${said} Try again in ${duration(problem.retryAfter ?? 2)}.`;
  if (problem.status === 0) return `${said} Check that it runs and try again; nothing was saved.`;
  if (problem.status >= 500) return `The service failed at this. ${said} Its number for the log is ${problem.body.request_id ?? "not known"}.`;
  return said;
}

/** A note with the sentence, and a button to try again where that may help. */
export function trouble(problem, again) {
  const temporary = problem instanceof Problem && (problem.passes || problem.status >= 500);
  return el(
    "div",
    { class: temporary ? "note warn" : "note bad", role: "alert" },
    icon("warn"),
    el("div", {}, el("p", {}, sentence(problem)), again && temporary ? el("button", { class: "button small", type: "button", onclick: again }, "Try again") : null),
  );
}
