// Enrol a person and ask who is in a picture, with types from Rollcall's OpenAPI document.
import createClient from "openapi-fetch";
import type { components, paths } from "./rollcall";

type Candidate = components["schemas"]["Candidate"];
type Problem = components["schemas"]["Problem"];

/** A refusal of the service; `problem.code` is stable. Text comes from the HTTP parser alone. */
export class RollcallError extends Error {
  constructor(readonly problem: Problem | string) {
    super(typeof problem === "string" ? problem : `${problem.code}: ${problem.detail}`);
  }
}

export function connect(url: string, key?: string) {
  const headers = key === undefined ? {} : { Authorization: `Bearer ${key}` };
  return createClient<paths>({ baseUrl: url, headers, redirect: "error" });
}

type Rollcall = ReturnType<typeof connect>;

/** The id of the person who is enrolled now; sent again with the same `once`, it stays one. */
export async function enroll(
  rollcall: Rollcall,
  collection: string,
  name: string,
  photos: Blob[],
  once: string = crypto.randomUUID(),
): Promise<string> {
  const images = await Promise.all(photos.map(base64));
  const { data, error } = await rollcall.POST("/enroll", {
    params: { header: { "idempotency-key": once } },
    body: { images, collection, name },
  });
  if (data === undefined) throw new RollcallError(error);
  return data.person.id;
}

/** For each face of the picture, largest first, whom it may show, most similar first. */
export async function identify(
  rollcall: Rollcall,
  collection: string,
  picture: Blob,
): Promise<Candidate[][]> {
  const { data, error } = await rollcall.POST("/identify", {
    body: { image: await base64(picture), collection, max_faces: 0 },
  });
  if (data === undefined) throw new RollcallError(error);
  return data.faces.map((face) => face.candidates);
}

async function base64(file: Blob): Promise<string> {
  let text = "";
  for (const byte of new Uint8Array(await file.arrayBuffer())) text += String.fromCharCode(byte);
  return btoa(text);
}
