// One photo on its way to be enrolled: what was seen on it, and why it is refused.

import { el, fresh, replace, theirs } from "./dom.js";
import { icon } from "./icons.js";
import { part } from "./api.js";
import { announce } from "./live.js";
import { duration, plural } from "./format.js";
import { lookAt, lookAtOne, mayLook } from "./looking.js";
import { measures, refusals, shortReason } from "./quality.js";
import { Picture } from "./picture.js";
import { sentence } from "./sentences.js";
import { session } from "./session.js";
import { twins } from "./twins.js";

const CHIPS = { looking: ["", "Looking…"], ready: ["match", "Good"], decide: ["warn", "Decide"], choose: ["warn", "Which face?"], refused: ["bad", "Refused"], saving: ["accent", "Saving…"], saved: ["match", "Enrolled"], failed: ["bad", "Not saved"], left: ["", "Left out"] };

// What cameras and phones call their photos says nothing of who is on them.
const NAMELESS = /^(img|dsc|pxl|image|photo|picture|screenshot|camera|scan|whatsapp|signal|[\d_\- .]*$|[0-9a-f-]{16,})/i;

export function nameFrom(file) {
  const stem = (file.name ?? "").replace(/\.[a-z0-9]+$/i, "");
  if (!stem || NAMELESS.test(stem)) return "";
  return stem.replace(/[_\-.]+/g, " ").replace(/\s\d+$/, "").trim();
}

export class Photo {
  /** `changed()` hears of every change; `split(files)` is asked to make a photo of each; `alone`: whether each photo is a person of its own. */
  constructor(file, { collection, changed, remove, split, alone }) {
    this.original = file;
    this.file = file;
    this.largest = false;
    this.collection = collection;
    this.alone = alone;
    this.state = "looking";
    this.face = null;
    this.candidates = [];
    this.decision = null;
    this.result = null;
    this.changed = changed;
    this.split = split;
    this.picture = new Picture(file, { alt: `Photo ${file.name ?? ""}`, small: true });
    this.body = el("div", { class: "stack tight" });
    this.chip = el("span", { class: "chip" });
    const id = fresh("name");
    this.name = el("input", { class: "input", id, value: nameFrom(file), maxlength: 500, placeholder: "Name", autocomplete: "off", dir: "auto" });
    this.nameField = el("div", { class: "field" }, el("label", { for: id }, "Name"), this.name);
    const away = el("button", { class: "icon-button", type: "button", title: "Take this photo away", "aria-label": `Take away ${file.name ?? "this photo"}`, onclick: () => { this.picture.release(); remove(this); } }, icon("close", 18));
    this.element = el("li", { class: "card photo" },
      el("div", { class: "stage" }, this.picture.element),
      el("div", { class: "about" }, el("div", { class: "title" }, theirs(file.name ?? "photo", { class: "clip small quiet" }), el("span", { class: "row" }, this.chip, away)), this.nameField, this.body));
    this.draw();
  }

  /** What the enrolled face will say that it came from. */
  get reference() {
    return (this.original.name || "photo").slice(0, 255);
  }

  /** Whether saving would take it. */
  get wanted() {
    return this.state === "ready" || this.state === "failed";
  }

  async look() {
    this.state = "looking";
    this.draw();
    this.picture.busy = true;
    try {
      const visible = await this.picture.ready;
      if (!mayLook()) return this.become("ready");
      const faces = await lookAt(this.file, this.collection(), (seconds) => this.say(`The service is busy; looking again in ${duration(seconds)}.`));
      this.seen = visible ? faces : [];
      if (faces.length > 1) return visible ? this.become("choose") : this.refuse("This photo shows more than one face.");
      return this.judge(faces[0]);
    } catch (problem) {
      if (this.picture.boxes === undefined) this.seen = [];
      return this.refuse(sentence(problem));
    } finally {
      this.picture.busy = false;
    }
  }

  judge(face) {
    this.face = face;
    this.candidates = face.candidates;
    const reasons = refusals(face.quality, session.limits.quality);
    if (reasons.length) return this.refuse(...reasons.map((each) => each.text));
    return this.become(this.alone() && this.candidates.length && this.decision === null ? "decide" : "ready");
  }

  async choose(index) {
    this.chosen = index;
    this.picture.busy = true;
    this.become("looking");
    try {
      const one = await lookAtOne(this.picture, this.seen[index], this.collection());
      this.file = one.file;
      this.largest = one.largest;
      this.judge(one.face);
    } catch (problem) {
      this.refuse(sentence(problem));
    } finally {
      this.picture.busy = false;
    }
  }

  refuse(...reasons) {
    this.reasons = reasons;
    this.become("refused");
  }

  decide(decision) {
    this.decision = decision;
    this.become(decision === "leave" ? "left" : "ready");
  }

  become(state) {
    this.state = state;
    this.draw();
    this.changed();
  }

  say(text) {
    replace(this.body, el("p", { class: "small quiet" }, text));
  }

  draw() {
    const [tone, word] = CHIPS[this.state];
    this.chip.className = `chip ${tone}`;
    this.chip.textContent = word;
    this.element.classList.toggle("done", this.state === "saved");
    this.nameField.hidden = !this.alone() || ["saved", "refused", "choose", "left", "decide"].includes(this.state) || (this.decision !== null && this.decision !== "new");
    this.mark();
    replace(this.body, this.told());
  }

  /** The boxes on the picture. */
  mark() {
    if (!this.seen?.length) return;
    const choosing = this.state === "choose";
    const reason = this.face ? shortReason(this.face.quality, session.limits.quality) : null;
    const drawn = this.seen.map((face, index) => {
      const meant = this.seen.length === 1 || index === this.chosen;
      const tone = choosing ? "warn" : !meant ? "quiet" : this.state === "refused" ? "bad" : this.state === "decide" ? "warn" : "match";
      return { face, tone, tag: meant && this.state === "refused" ? reason : null, label: `Enrol face ${index + 1} of ${this.seen.length}` };
    });
    this.picture.draw(drawn, choosing ? (index) => this.choose(index) : null);
  }

  told() {
    if (this.state === "looking") return el("p", { class: "row small quiet" }, el("span", { class: "spinner" }), "Looking at it…");
    if (this.state === "choose") return this.which();
    if (this.state === "saved") return this.enrolled();
    const thumb = this.face && this.seen?.length ? this.picture.thumb(this.seen[this.chosen ?? 0], { big: true }) : el("span", { class: "thumb big" });
    return [
      this.state === "refused" || this.state === "failed" ? el("div", { class: "note bad" }, icon("warn", 18), el("div", { class: "stack tight" }, (this.reasons ?? []).map((text) => el("p", {}, text)))) : null,
      this.alone() && this.candidates.length && this.state !== "refused" ? twins(thumb, this.candidates, this.decision, (decision) => this.decide(decision)) : null,
      this.face ? el("details", { class: "more" }, el("summary", {}, "How good this face is"), measures(this.face.quality, session.limits.quality)) : null,
      this.state === "ready" && !this.face ? el("p", { class: "small quiet" }, "This key may not look at photos beforehand; the service judges this one when it is saved.") : null,
    ];
  }

  which() {
    announce(`${this.seen.length} faces on ${this.original.name}. Choose which one is meant.`);
    return [
      el("p", {}, `There are ${plural(this.seen.length, "face")} on this photo. Click the one that is meant.`),
      this.alone() ? el("div", { class: "row" }, el("button", { class: "button small", type: "button", onclick: () => this.each() }, "Make a card of each face")) : null,
    ];
  }

  async each() {
    this.say("Cutting the faces out…");
    const files = [];
    for (const [index, face] of this.seen.entries()) {
      const { file } = await lookAtOne(this.picture, face, this.collection()).catch(() => this.picture.cut(face, 0.5));
      files.push(new File([file], `face ${index + 1} of ${this.original.name ?? "photo"}`, { type: file.type }));
    }
    this.split(this, files);
  }

  enrolled() {
    const person = this.result.person;
    const link = `#/people/${part(this.result.collection)}/${person.id}`;
    return el("p", { class: "row" }, icon("check", 18), session.can("read") ? el("a", { href: link }, theirs(person.name ?? "Somebody without a name", { class: "clip-2" })) : theirs(person.name ?? "Enrolled"), el("span", { class: "small faint" }, plural(person.face_count, "face")));
  }
}
