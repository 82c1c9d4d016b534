// @ts-check
/** Comments on a place: drag a rectangle on the picture, write a note; the keyboard comments on what is in view. */
import { request } from "./server.js";

/** @type {any} */
const OpenSeadragon = /** @type {any} */ (window).OpenSeadragon;

/**
 * @param {import("./picture_viewer.js").PictureViewer} viewer
 * @param {(comments: any[]) => void} changed receives all comments of the picture after one was saved
 */
export function enableComments(viewer, changed) {
  const form = /** @type {HTMLFormElement | null} */ (document.getElementById("comment-form"));
  if (form === null) {
    return;
  }
  const text = /** @type {HTMLTextAreaElement} */ (form.querySelector("textarea"));
  const selection = /** @type {HTMLElement} */ (viewer.root.querySelector(".selection"));
  const button = /** @type {HTMLElement} */ (viewer.root.querySelector("[data-action=comment]"));
  /** @type {{x: number, y: number, width: number, height: number} | null} */
  let place = null;
  /** @type {any} */
  let start = null;

  /** @param {boolean} isOpen */
  const open = (isOpen) => {
    form.hidden = !isOpen;
    selection.hidden = true;
    button.setAttribute("aria-pressed", String(isOpen));
    viewer.main.setMouseNavEnabled(!isOpen);
    place = isOpen ? visiblePart() : null;
    isOpen ? text.focus() : button.focus();
  };
  const visiblePart = () => {
    const bounds = viewer.main.viewport.getBounds(true);
    return toPicture(new OpenSeadragon.Point(bounds.x, bounds.y), new OpenSeadragon.Point(bounds.x + bounds.width, bounds.y + bounds.height));
  };
  /** @param {any} one @param {any} other two corners in the viewer's coordinates */
  const toPicture = (one, other) => {
    const { width, height } = /** @type {any} */ (viewer.picture);
    /** @param {number} value @param {number} most */
    const clamp = (value, most) => Math.round(Math.min(Math.max(value * width, 0), most));
    const [left, right] = [clamp(Math.min(one.x, other.x), width - 1), clamp(Math.max(one.x, other.x), width)];
    const [top, bottom] = [clamp(Math.min(one.y, other.y), height - 1), clamp(Math.max(one.y, other.y), height)];
    return { x: left, y: top, width: Math.max(1, right - left), height: Math.max(1, bottom - top) };
  };
  const tracker = new OpenSeadragon.MouseTracker({
    element: viewer.main.canvas,
    pressHandler: (/** @type {any} */ event) => {
      start = form.hidden ? null : event.position;
    },
    dragHandler: (/** @type {any} */ event) => {
      if (start !== null) {
        selection.hidden = false;
        selection.style.left = `${Math.min(start.x, event.position.x)}px`;
        selection.style.top = `${Math.min(start.y, event.position.y)}px`;
        selection.style.width = `${Math.abs(start.x - event.position.x)}px`;
        selection.style.height = `${Math.abs(start.y - event.position.y)}px`;
      }
    },
    dragEndHandler: (/** @type {any} */ event) => {
      if (start !== null) {
        const port = viewer.main.viewport;
        place = toPicture(port.pointFromPixel(start), port.pointFromPixel(event.position));
        start = null;
        text.focus();
      }
    },
  });
  tracker.setTracking(true);
  viewer.root.addEventListener("comment", () => open(form.hidden === true));
  form.querySelector("[data-action=cancel]")?.addEventListener("click", () => open(false));
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      open(false);
    }
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (place === null || text.value.trim() === "") {
      return;
    }
    const fields = { ...Object.fromEntries(Object.entries(place).map(([name, value]) => [name, String(value)])), text: text.value };
    const answer = await request(`/derivatives/${viewer.picture?.derivative}/comments`, fields);
    text.value = "";
    open(false);
    changed(answer.comments);
  });
}

/**
 * Lists comments; each leads to its place.
 * @param {import("./picture_viewer.js").PictureViewer} viewer
 * @param {any[]} comments
 * @param {string} none what to say where there are none
 */
export function listComments(viewer, comments, none) {
  const list = /** @type {HTMLElement} */ (document.getElementById("comments"));
  list.replaceChildren(...comments.map((comment) => {
    const line = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "link";
    button.textContent = comment.text;
    button.addEventListener("click", () => viewer.goTo(comment));
    const author = document.createElement("span");
    author.className = "quiet";
    author.textContent = ` ${comment.author}`;
    line.append(button, author);
    return line;
  }));
  if (comments.length === 0) {
    const line = document.createElement("li");
    line.className = "quiet";
    line.textContent = none;
    list.append(line);
  }
}
