// A photo from the camera, where the browser lets a page have it (https, or this machine).

import { el, replace } from "./dom.js";
import { icon } from "./icons.js";
import { ask } from "./dialog.js";

export const hasCamera = () => Boolean(window.isSecureContext && navigator.mediaDevices?.getUserMedia);

/** Resolves with a JPEG file, or undefined where none was taken. */
export async function takePhoto() {
  let stream = null;
  const stop = () => stream?.getTracks().forEach((track) => track.stop());
  try {
    return await ask("Take a photo", (close) => {
      const video = el("video", { class: "viewfinder", autoplay: true, playsinline: true, muted: true, "aria-label": "What the camera sees" });
      const shoot = el("button", { class: "button main", type: "button", disabled: true, onclick: () => snap(video).then(close) }, icon("camera"), "Take it");
      const place = el("div", { class: "stack" }, video);
      navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1920 } }, audio: false }).then(
        (granted) => {
          stream = granted;
          if (!video.isConnected) return stop();
          video.srcObject = granted;
          video.muted = true;
          video.addEventListener("loadeddata", () => { shoot.disabled = false; shoot.focus(); }, { once: true });
          return video.play().catch(() => {});
        },
        () => replace(place, el("p", { class: "note warn", role: "alert" }, icon("warn"), "The camera could not be opened. Allow it for this page in the browser, or choose a file instead.")),
      );
      return [place, el("div", { class: "ends" }, el("button", { class: "button", type: "button", onclick: () => close() }, "Cancel"), shoot)];
    }, { wide: true });
  } finally {
    stop();
  }
}

async function snap(video) {
  const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
  return new File([blob], "camera.jpg", { type: "image/jpeg" });
}
