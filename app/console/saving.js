// Photos become persons: bounded, patient with a busy service, and never twice.

import { newOnce, patiently, Problem } from "./api.js";
import { pool } from "./pool.js";
import { sentence } from "./sentences.js";
import { session } from "./session.js";

/** One enrolment. The same wish again has the same Idempotency-Key, so it happens once. */
async function enroll(wish, memory, waiting) {
  const { images, ...words } = wish;
  const told = JSON.stringify([words, images.map((file) => [file.size, file.lastModified ?? 0])]);
  if (memory.told !== told) Object.assign(memory, { told, once: newOnce() });
  return patiently("POST", "/enroll", { form: { ...words, images }, once: memory.once }, waiting);
}

const fieldsOf = (values) => ({
  ...values,
  metadata: values.metadata && Object.keys(values.metadata).length ? JSON.stringify(values.metadata) : null,
});

/** Each photo a person of its own. `step()` is called after each. */
export async function saveEach(photos, collection, shared, step) {
  const saves = pool(3);
  await Promise.all(photos.map((photo) => saves(async () => {
    photo.become("saving");
    const known = photo.decision && photo.decision !== "new" ? photo.decision : null;
    const wish = {
      images: [photo.file],
      references: [photo.reference],
      collection,
      face: photo.largest ? "largest" : "only",
      // Two photos of one newcomer are noticed too: the second is refused, and asked about.
      on_duplicate: photo.decision === null ? "reject" : "allow",
      ...(known ? { person_id: known } : fieldsOf({ ...shared, name: photo.name.value.trim() || null })),
    };
    try {
      photo.memory ??= {};
      photo.result = { ...(await enroll(wish, photo.memory, () => {})), collection };
      photo.become("saved");
    } catch (problem) {
      await notSaved(photo, problem, collection);
    }
    step();
  })));
}

async function notSaved(photo, problem, collection) {
  if (problem instanceof Problem && problem.code === "duplicate_person") {
    photo.collection = () => collection;
    await photo.look(); // it is now that somebody like this is enrolled
    if (photo.candidates.length) return;
  }
  const why = problem instanceof Problem && problem.body.rejected ? problem.body.rejected.map((each) => each.detail) : [sentence(problem)];
  photo.reasons = why;
  photo.become("failed");
}

/**
 * All photos one person: {values} of a new one, or {person_id}. More photos than one request
 * takes follow in further ones. Raises Problem; what was saved until then is marked so.
 */
export async function saveTogether(photos, collection, whom, step) {
  let personId = whom.person_id ?? null;
  const most = session.limits.max_images;
  const anyLargest = photos.some((photo) => photo.largest);
  for (let from = 0; from < photos.length; from += most) {
    const some = photos.slice(from, from + most);
    some.forEach((photo) => photo.become("saving"));
    const wish = {
      images: some.map((photo) => photo.file),
      references: some.map((photo) => photo.reference),
      collection,
      face: anyLargest ? "largest" : "only",
      on_duplicate: personId || whom.sure ? "allow" : "reject",
      ...(personId ? { person_id: personId } : fieldsOf(whom.values)),
    };
    try {
      some[0].memory ??= {};
      const answer = await enroll(wish, some[0].memory, () => {});
      personId = answer.person.id;
      const refused = new Map(answer.rejected.map((each) => [each.image_index, each.detail]));
      some.forEach((photo, index) => {
        photo.result = { ...answer, collection };
        if (refused.has(index)) photo.refuse(refused.get(index));
        else photo.become("saved");
      });
    } catch (problem) {
      const rejected = new Map((problem.body?.rejected ?? []).map((each) => [each.image_index, each.detail]));
      some.forEach((photo, index) => { photo.reasons = [rejected.get(index) ?? sentence(problem)]; photo.become("failed"); });
      throw problem;
    } finally {
      step(some.length);
    }
  }
  return personId;
}
