// A picture with what was seen in it: boxes that can be chosen, landmarks, names.

import { el, svg, replace } from "./dom.js";

const LANDMARKS = ["left_eye", "right_eye", "nose", "mouth_left", "mouth_right"];

export class Picture {
  /** `file` is a Blob. `ready` resolves once its size is known, false where it cannot be shown. */
  constructor(file, { alt, small = false }) {
    this.url = URL.createObjectURL(file);
    this.image = el("img", { alt, decoding: "async" });
    this.element = el("div", { class: `picture${small ? " small" : ""}` }, this.image);
    this.ready = new Promise((resolve) => {
      this.image.addEventListener("load", () => resolve(true), { once: true });
      this.image.addEventListener("error", () => resolve(false), { once: true });
    });
    this.image.src = this.url;
  }

  set busy(on) {
    this.element.classList.toggle("busy", on);
  }

  /**
   * Draw `faces`: each {face, tone, tag, label}, where `face` is as the API has it. With `pick`
   * each box is a button that calls it with its number; else it is a drawing.
   */
  draw(faces, pick = null) {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    const dots = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    this.boxes = faces.map(({ face, tone = "", tag = null, label }, index) => {
      const box = face.bounding_box;
      const size = Math.max(box.width / 42, (1.6 * width) / Math.max(1, this.image.clientWidth));
      for (const name of LANDMARKS) {
        const [x, y] = face.landmarks[name];
        dots.append(svg("circle", { class: "dot", cx: x, cy: y, r: size, "stroke-width": size / 2.2 }));
      }
      const low = (box.y + box.height) / height > 0.9 ? "up" : "";
      const side = box.x / width < 0.08 ? "left" : (box.x + box.width) / width > 0.92 ? "right" : "";
      const at = { left: share(box.x, width), top: share(box.y, height), width: share(box.width, width), height: share(box.height, height) };
      const kind = `box ${tone} ${low} ${side}`;
      const inside = tag === null ? null : el("span", { class: "tag" }, tag);
      return pick === null
        ? el("div", { class: kind, at }, inside)
        : el("button", { class: kind, at, type: "button", "aria-label": label, onclick: () => pick(index) }, inside);
    });
    replace(this.element, this.image, dots, this.boxes);
  }

  /** The face as a small square drawing of its own. */
  thumb(face, { big = false, label = "" } = {}) {
    const side = big ? 208 : 96;
    const canvas = el("canvas", { class: `thumb${big ? " big" : ""}`, width: side, height: side, role: label ? "img" : null, "aria-label": label || null, "aria-hidden": label ? null : "true" });
    const { x, y, width, height } = square(face.bounding_box, 0.28);
    canvas.getContext("2d").drawImage(this.image, x, y, width, height, 0, 0, side, side);
    return canvas;
  }

  /** A picture of this face and `margin` of its size around it: {file, x, y}, a JPEG. */
  async cut(face, margin) {
    const { naturalWidth, naturalHeight } = this.image;
    const wanted = square(face.bounding_box, margin);
    const x = Math.max(0, Math.floor(wanted.x));
    const y = Math.max(0, Math.floor(wanted.y));
    const width = Math.min(naturalWidth, Math.ceil(wanted.x + wanted.width)) - x;
    const height = Math.min(naturalHeight, Math.ceil(wanted.y + wanted.height)) - y;
    const canvas = el("canvas", { width, height });
    canvas.getContext("2d").drawImage(this.image, x, y, width, height, 0, 0, width, height);
    const file = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
    return { file, x, y };
  }

  release() {
    URL.revokeObjectURL(this.url);
  }
}

function share(part, whole) {
  return `${(100 * part) / whole}%`;
}

function square(box, margin) {
  const side = Math.max(box.width, box.height) * (1 + 2 * margin);
  return { x: box.x + box.width / 2 - side / 2, y: box.y + box.height / 2 - side / 2, width: side, height: side };
}
