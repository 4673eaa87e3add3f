// What was measured of a face, by name, against what an enrolment asks for.

import { el } from "./dom.js";

// `span` is how far a gauge reaches; `read` says a value in its unit.
const MEASURES = [
  { key: "face_size", name: "Face size", least: "min_face_size", span: 160, read: (v) => `${Math.round(v)} px`, code: "face_too_small", why: (q, l) => `The face is too small: ${Math.round(q.face_size)} pixels wide where ${l.min_face_size} are needed. Come closer, or send the photo in its full size.` },
  { key: "sharpness", name: "Sharpness", least: "min_sharpness", span: 400, log: true, read: (v) => `${Math.round(v)}`, code: "too_blurred", why: () => "The face is too blurred. Hold still, focus, or use more light." },
  { key: "brightness", name: "Brightness", least: "min_brightness", most: "max_brightness", span: 1, read: (v) => `${Math.round(v * 100)} %`, code: ["too_dark", "too_bright"], why: (q, l) => (q.brightness < l.min_brightness ? "The face is too dark. Let light fall on it from the front." : "The face is too bright. Use less light, or turn away from the lamp.") },
  { key: "yaw", name: "Turned sideways", most: "max_yaw", span: 90, turn: true, read: degrees, code: "turned_yaw", why: (q, l) => `The face is turned too far to the side: ${degrees(q.yaw)} where up to ${l.max_yaw}° are taken. Look towards the camera.` },
  { key: "pitch", name: "Up or down", most: "max_pitch", span: 90, turn: true, read: degrees, code: "turned_pitch", why: (q, l) => `The face looks too far up or down: ${degrees(q.pitch)} where up to ${l.max_pitch}° are taken.` },
  { key: "roll", name: "Tilted", most: "max_roll", span: 90, turn: true, read: degrees, code: "turned_roll", why: (q, l) => `The head is tilted too far: ${degrees(q.roll)} where up to ${l.max_roll}° are taken.` },
  { key: "detection_score", name: "Clearly a face", least: "min_detection_score", span: 1, read: (v) => `${Math.round(v * 100)} %`, code: "low_detection_score", why: () => "It is not clear enough that this is a face. Use a photo in which it is whole and uncovered." },
];

function degrees(value) {
  return `${Math.round(Math.abs(value))}°`;
}

const fails = (measure, quality, limits) => {
  const value = measure.turn ? Math.abs(quality[measure.key]) : quality[measure.key];
  return (measure.least !== undefined && value < limits[measure.least]) || (measure.most !== undefined && value > limits[measure.most]);
};

/** Why a face would be refused, as sentences; none where it is good. The service has the last word. */
export function refusals(quality, limits) {
  return MEASURES.filter((measure) => fails(measure, quality, limits)).map((measure) => ({
    short: measure.name,
    text: measure.why(quality, limits),
  }));
}

/** One word for the box on the picture. */
export function shortReason(quality, limits) {
  const words = { face_size: "too small", sharpness: "too blurred", brightness: quality.brightness < 0.5 ? "too dark" : "too bright", yaw: "too turned", pitch: "too turned", roll: "too tilted", detection_score: "unclear" };
  const first = MEASURES.find((measure) => fails(measure, quality, limits));
  return first ? words[first.key] : null;
}

/** The measures as a list of gauges, each with a line where its limit is. */
export function measures(quality, limits) {
  return el("dl", { class: "measures" }, MEASURES.map((measure) => gauge(measure, quality, limits)));
}

function gauge(measure, quality, limits) {
  const value = measure.turn ? Math.abs(quality[measure.key]) : quality[measure.key];
  const along = (v) => `${Math.min(100, Math.max(0, 100 * (measure.log ? Math.log1p(v) / Math.log1p(measure.span) : v / measure.span)))}%`;
  const marks = [measure.least, measure.most].filter((name) => name !== undefined).map((name) => el("u", { at: { left: along(limits[name]) } }));
  const bad = fails(measure, quality, limits);
  return el(
    "div",
    { class: `measure${bad ? " bad" : ""}` },
    el("dt", {}, measure.name, el("b", {}, measure.read(value), bad ? el("span", { class: "unseen" }, " (not good enough)") : null)),
    el("dd", { class: "gauge", "aria-hidden": "true" }, el("i", { at: { width: along(value) } }), marks),
  );
}
