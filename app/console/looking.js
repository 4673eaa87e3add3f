// A look at a photo before it is enrolled: its faces, and who in the collection looks like them.

import { Problem, patiently } from "./api.js";
import { pool } from "./pool.js";
import { session } from "./session.js";

const looks = pool(3);

/** Whether this key may look at all before it saves. */
export const mayLook = () => session.can("identify");

/**
 * The faces of `file`, each with the persons of `collection` whom enrolling would call
 * duplicates. Raises Problem.
 */
export function lookAt(file, collection, waiting) {
  return looks(async () => {
    try {
      const answer = await patiently("POST", "/identify", { form: { image: file, collection, max_faces: 0, top_k: 3 } }, waiting);
      return answer.faces;
    } catch (problem) {
      if (!(problem instanceof Problem) || problem.code !== "collection_not_found") throw problem;
      const answer = await patiently("POST", "/detect", { form: { image: file } }, waiting);
      if (!answer.faces.length) throw new Problem(422, { code: "face_not_found", detail: "No face was found." });
      return answer.faces.map((face) => ({ ...face, candidates: [] }));
    }
  });
}

/** A photo of one face out of many: {file, face, largest}, cut so that the face meant is the largest. */
export async function lookAtOne(picture, meant, collection) {
  let found = null;
  for (const margin of [0.7, 0.35, 0.15]) {
    const cut = await picture.cut(meant, margin);
    const faces = await lookAt(cut.file, collection);
    const box = faces[0].bounding_box;
    const x = cut.x + box.x + box.width / 2 - meant.bounding_box.x;
    const y = cut.y + box.y + box.height / 2 - meant.bounding_box.y;
    const inside = x > 0 && y > 0 && x < meant.bounding_box.width && y < meant.bounding_box.height;
    if (inside) found = { file: cut.file, face: faces[0], largest: faces.length > 1 };
    if (found && !found.largest) return found;
  }
  if (found) return found;
  throw new Problem(422, { code: "face_not_found", detail: "No face was found." });
}
