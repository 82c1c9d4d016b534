// @ts-check
/** The buttons, keys and the slider of the picture viewer. */
import { onKey } from "./server.js";

/** @type {Record<string, string>} */
const KEYS = {
  c: "changes",
  f: "next_filled",
  g: "next_changed",
  h: "next_smoothed",
  m: "comment",
  0: "whole",
  1: "actual_size",
};
/** @type {Record<string, string>} */
const MODES = { v: "side_by_side", x: "slider", d: "difference" };

/** @param {import("./picture_viewer.js").PictureViewer} viewer */
export function enableControls(viewer) {
  /** @type {Record<string, () => void>} */
  const actions = {
    changes: () => viewer.toggleChanges(),
    next_filled: () => viewer.attempt(() => viewer.nextPlace("filled")),
    next_smoothed: () => viewer.attempt(() => viewer.nextPlace("smoothed")),
    next_changed: () => viewer.attempt(() => viewer.nextPlace("changed")),
    actual_size: () => viewer.actualSize(),
    whole: () => viewer.whole(),
    zoom_in: () => viewer.main.viewport.zoomBy(1.5),
    zoom_out: () => viewer.main.viewport.zoomBy(1 / 1.5),
    comment: () => viewer.root.dispatchEvent(new CustomEvent("comment")),
  };
  for (const button of viewer.root.querySelectorAll("button")) {
    const { mode, action } = button.dataset;
    if (mode !== undefined) {
      button.addEventListener("click", () => viewer.setMode(mode));
    } else if (action !== undefined) {
      button.addEventListener("click", () => viewer.picture && actions[action]());
    }
  }
  onKey((key, event) => {
    if (document.querySelector("#reasons:not([hidden])") !== null || viewer.picture === null) {
      return false;
    }
    if (key === "b") {
      viewer.showScan(true);
    } else if (key in MODES && !event.repeat) {
      viewer.setMode(key === "d" && viewer.mode === "difference" ? viewer.previousMode : MODES[key]);
    } else if (key in KEYS) {
      actions[KEYS[key]]();
    } else {
      return false;
    }
    return true;
  });
  enableBlinking(viewer);
  enableSlider(viewer);
}

/**
 * Shows the scan while B, or the button, is held.
 * @param {import("./picture_viewer.js").PictureViewer} viewer
 */
function enableBlinking(viewer) {
  document.addEventListener("keyup", (event) => {
    if (event.key.toLowerCase() === "b") {
      viewer.showScan(false);
    }
  });
  addEventListener("blur", () => viewer.showScan(false));
  const button = /** @type {HTMLElement} */ (viewer.root.querySelector("[data-mode=result]"));
  button.addEventListener("pointerdown", () => viewer.showScan(true));
  for (const name of ["pointerup", "pointerleave", "pointercancel"]) {
    button.addEventListener(name, () => viewer.showScan(false));
  }
}

/**
 * Moves the divider by its handle, or by the range input.
 * @param {import("./picture_viewer.js").PictureViewer} viewer
 */
function enableSlider(viewer) {
  const { slider, divider } = viewer;
  slider.addEventListener("input", () => viewer.clip());
  divider.addEventListener("pointerdown", (event) => divider.setPointerCapture(event.pointerId));
  divider.addEventListener("pointermove", (event) => {
    if (divider.hasPointerCapture(event.pointerId)) {
      const { left, width } = viewer.main.container.getBoundingClientRect();
      slider.value = String(Math.round(((event.clientX - left) / width) * 1000));
      viewer.clip();
    }
  });
}
