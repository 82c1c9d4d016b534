// @ts-check
/**
 * A scan and its derivative, compared: side by side, by a slider, by blinking, as a difference, under the change map.
 * OpenSeadragon shows the tiles of the server's IIIF services.
 */
import { fill, onKey, pageData, request } from "./server.js";

/** @type {any} */
const OpenSeadragon = /** @type {any} */ (window).OpenSeadragon;
const POLL_MS = 400;
const OPTIONS = {
  drawer: "canvas",
  showNavigationControl: false,
  animationTime: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 0.4,
  springStiffness: 10,
  maxZoomPixelRatio: 8,
  visibilityRatio: 0.3,
  imageSmoothingEnabled: true,
  gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
  crossOriginPolicy: false,
  keyboardNavEnabled: true,
};

/**
 * @typedef {{x: number, y: number, width: number, height: number, text?: string}} Place
 * @typedef {{before: string, after: string, difference: string | null, changes: string | null, derivative: number,
 *   width: number, height: number, comments: Place[]}} PictureData
 */

export class PictureViewer {
  constructor() {
    this.root = /** @type {HTMLElement} */ (document.getElementById("viewer"));
    this.texts = pageData("texts");
    this.main = OpenSeadragon({ ...OPTIONS, element: this.root.querySelector(".after .canvas") });
    this.second = OpenSeadragon({ ...OPTIONS, element: this.root.querySelector(".before .canvas") });
    this.slider = /** @type {HTMLInputElement} */ (this.root.querySelector(".slider-control input"));
    this.divider = /** @type {HTMLElement} */ (this.root.querySelector(".divider"));
    /** @type {Map<string, Promise<any>>} by viewer and identifier */
    this.images = new Map();
    /** @type {PictureData | null} */
    this.picture = null;
    this.mode = "slider";
    this.showsScan = false;
    this.showsChanges = false;
    /** @type {Record<string, number>} */
    this.visited = {};
    /** @type {Promise<any> | null} */
    this.changes = null;
    this.label();
    this.synchronise();
    this.listen();
  }

  label() {
    for (const [viewer, name] of [[this.main, this.texts.result], [this.second, this.texts.scan]]) {
      viewer.canvas.setAttribute("role", "application");
      viewer.canvas.setAttribute("aria-label", `${name}. ${this.texts.viewer}`);
    }
  }

  /**
   * Shows a picture; what was fetched ahead of it is used.
   * @param {PictureData} picture
   */
  async show(picture) {
    delete this.root.dataset.shown;
    this.picture = picture;
    this.changes = null;
    this.visited = {};
    this.clearPlaces();
    const wanted = [picture.before, picture.after];
    await Promise.all(wanted.map((identifier) => this.waitForView(identifier, picture)));
    if (this.picture !== picture) {
      return;
    }
    await Promise.all([...wanted.map((id) => this.image(this.main, id, picture)), this.image(this.second, picture.before, picture)]);
    this.forgetAllBut([picture.before, picture.after]);
    this.whole(true);
    await this.update();
    this.root.dataset.shown = String(picture.derivative);
  }

  /**
   * Fetches what a picture will need, without showing it.
   * @param {PictureData} picture
   */
  async fetchAhead(picture) {
    for (const identifier of [picture.before, picture.after]) {
      const state = await request(`/views/${identifier}`);
      if (state.ready) {
        await this.image(this.main, identifier, picture);
      }
    }
  }

  /**
   * @param {string} identifier
   * @param {PictureData} picture
   */
  async waitForView(identifier, picture) {
    const note = /** @type {HTMLElement} */ (this.root.querySelector(".preparing"));
    try {
      for (;;) {
        const state = await request(`/views/${identifier}`);
        if (state.ready || this.picture !== picture) {
          break;
        }
        note.hidden = false;
        note.textContent = `${this.texts.preparing} (${Math.round(state.share * 100)} %)`;
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
      note.hidden = true;
    } catch (error) {
      note.hidden = false;
      note.textContent = `${this.texts.failed} ${/** @type {Error} */ (error).message}`;
      throw error;
    }
  }

  /**
   * The tiled image of an identifier in a viewer, hidden at first.
   * @param {any} viewer
   * @param {string} identifier
   * @param {PictureData} picture
   * @returns {Promise<any>}
   */
  image(viewer, identifier, picture) {
    const key = `${viewer === this.main ? "main" : "second"} ${identifier}`;
    const known = this.images.get(key);
    if (known !== undefined) {
      return known;
    }
    const added = new Promise((resolve, reject) => {
      viewer.addTiledImage({
        tileSource: `/iiif/3/${identifier}/info.json`,
        x: 0, y: 0, width: 1,
        opacity: 0,
        preload: true,
        success: (/** @type {any} */ event) => resolve(event.item),
        error: reject,
      });
    });
    this.images.set(key, added);
    added.catch(() => this.images.delete(key));
    void picture;
    return added;
  }

  /** @param {string[]} identifiers */
  forgetAllBut(identifiers) {
    for (const [key, image] of this.images) {
      const [where, identifier] = key.split(" ");
      if (!identifiers.includes(identifier)) {
        this.images.delete(key);
        const viewer = where === "main" ? this.main : this.second;
        image.then((item) => viewer.world.removeItem(item)).catch(() => undefined);
      }
    }
  }

  /** Opacities and clips of all images, by mode. */
  async update() {
    const picture = this.picture;
    if (picture === null) {
      return;
    }
    const [before, after, left] = await Promise.all([
      this.image(this.main, picture.before, picture),
      this.image(this.main, picture.after, picture),
      this.image(this.second, picture.before, picture),
    ]);
    this.root.dataset.mode = this.mode;
    this.root.classList.toggle("shows-scan", this.showsScan);
    left.setOpacity(1);
    const isDifference = this.mode === "difference" && picture.difference !== null && !this.showsScan;
    before.setOpacity(this.showsScan || this.mode === "slider" ? 1 : 0);
    after.setOpacity(this.showsScan || isDifference ? 0 : 1);
    this.main.world.setItemIndex(after, this.main.world.getItemCount() - 1);
    if (isDifference) {
      await this.waitForView(/** @type {string} */ (picture.difference), picture);
      const difference = await this.image(this.main, /** @type {string} */ (picture.difference), picture);
      difference.setOpacity(1);
    } else if (picture.difference !== null) {
      const known = this.images.get(`main ${picture.difference}`);
      (await known)?.setOpacity(0);
    }
    this.clip();
    await this.overlayChanges();
    for (const button of this.root.querySelectorAll("button[data-mode]")) {
      button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.mode === this.mode));
    }
  }

  /** In slider mode the result is shown right of the slider. */
  async clip() {
    const picture = this.picture;
    if (picture === null) {
      return;
    }
    const after = await this.image(this.main, picture.after, picture);
    const slides = this.mode === "slider" && !this.showsScan;
    this.divider.hidden = !slides;
    if (!slides) {
      after.setClip(null);
      return;
    }
    const share = Number(this.slider.value) / 1000;
    const x = share * this.main.container.clientWidth;
    this.divider.style.left = `${x - 1}px`;
    const point = this.main.viewport.pointFromPixel(new OpenSeadragon.Point(x, 0), true);
    const column = Math.min(Math.max(point.x * picture.width, 0), picture.width);
    after.setClip(new OpenSeadragon.Rect(column, 0, picture.width - column, picture.height));
    after.setOpacity(column >= picture.width ? 0 : 1);
  }

  async overlayChanges() {
    const picture = this.picture;
    const legend = /** @type {HTMLElement} */ (this.root.querySelector(".legend"));
    legend.hidden = !this.showsChanges;
    this.root.querySelector("[data-action=changes]")?.setAttribute("aria-pressed", String(this.showsChanges));
    const known = this.images.get("main changes");
    if (!this.showsChanges || picture === null || picture.changes === null) {
      (await known)?.setOpacity(0);
      return;
    }
    const found = await this.findChanges();
    if (known === undefined) {
      this.images.set("main changes", new Promise((resolve, reject) => {
        this.main.addTiledImage({
          tileSource: { type: "image", url: found.overlay, buildPyramid: false },
          x: 0, y: 0, width: 1,
          success: (/** @type {any} */ event) => resolve(event.item),
          error: reject,
        });
      }));
    }
    const overlay = await this.images.get("main changes");
    overlay.setOpacity(1);
    this.main.world.setItemIndex(overlay, this.main.world.getItemCount() - 1);
  }

  /** The change map and its places, asked for once a picture. @returns {Promise<any>} */
  findChanges() {
    if (this.changes === null) {
      this.changes = request(/** @type {string} */ (this.picture?.changes));
    }
    return this.changes;
  }

  /** @param {string} mode */
  setMode(mode) {
    this.mode = mode;
    this.root.dataset.mode = mode;
    this.main.viewport && this.main.forceResize();
    this.second.forceResize();
    return this.update();
  }

  /** @param {boolean} isShown */
  showScan(isShown) {
    if (this.showsScan !== isShown) {
      this.showsScan = isShown;
      this.update();
    }
  }

  /** @param {boolean} [immediately] */
  whole(immediately) {
    const picture = /** @type {PictureData} */ (this.picture);
    const bounds = new OpenSeadragon.Rect(0, 0, 1, picture.height / picture.width);
    this.main.viewport.fitBounds(bounds, immediately);
  }

  actualSize() {
    const picture = /** @type {PictureData} */ (this.picture);
    const container = this.main.container.clientWidth * devicePixelRatio;
    this.main.viewport.zoomTo(picture.width / container);
  }

  /**
   * Zooms to a place.
   * @param {Place} place
   */
  goTo(place) {
    const picture = /** @type {PictureData} */ (this.picture);
    const margin = 0.5 * Math.max(place.width, place.height);
    const scale = 1 / picture.width;
    this.main.viewport.fitBounds(new OpenSeadragon.Rect(
      (place.x - margin) * scale, (place.y - margin) * scale,
      (place.width + 2 * margin) * scale, (place.height + 2 * margin) * scale,
    ));
    this.clearPlaces();
    this.mark(place, "place");
  }

  /** @param {string} kind "filled", "smoothed" or "changed" */
  async nextPlace(kind) {
    if (this.picture === null || this.picture.changes === null) {
      return;
    }
    const places = (await this.findChanges()).places[kind];
    if (places.length === 0) {
      this.say(this.texts.no_places);
      return;
    }
    const number = (this.visited[kind] ?? -1) + 1 >= places.length ? 0 : (this.visited[kind] ?? -1) + 1;
    this.visited[kind] = number;
    this.goTo(places[number]);
    this.say(fill(this.texts.place_of, { number: number + 1, total: places.length }));
  }

  /**
   * @param {Place} place
   * @param {string} className
   */
  mark(place, className) {
    const scale = 1 / /** @type {PictureData} */ (this.picture).width;
    const element = document.createElement("div");
    element.className = className;
    if (place.text) {
      element.title = place.text;
    }
    this.main.addOverlay({
      element,
      location: new OpenSeadragon.Rect(place.x * scale, place.y * scale, place.width * scale, place.height * scale),
    });
  }

  clearPlaces() {
    this.main.clearOverlays();
  }

  /** @param {string} text */
  say(text) {
    /** @type {HTMLElement} */ (this.root.querySelector(".announce")).textContent = text;
  }

  /** Both viewers show the same part. */
  synchronise() {
    let follows = false;
    /** @param {any} leader @param {any} follower */
    const follow = (leader, follower) => {
      leader.addHandler("viewport-change", () => {
        if (follows || follower.world.getItemCount() === 0 || this.mode !== "side_by_side") {
          return;
        }
        follows = true;
        follower.viewport.zoomTo(leader.viewport.getZoom(true), null, true);
        follower.viewport.panTo(leader.viewport.getCenter(true), true);
        follows = false;
      });
    };
    follow(this.main, this.second);
    follow(this.second, this.main);
    for (const name of ["viewport-change", "resize", "animation"]) {
      this.main.addHandler(name, () => this.clip());
    }
  }

  listen() {
    this.slider.addEventListener("input", () => this.clip());
    for (const button of this.root.querySelectorAll("button")) {
      button.addEventListener("click", () => {
        button.dataset.mode ? this.setMode(button.dataset.mode) : this.act(/** @type {string} */ (button.dataset.action));
      });
    }
    /** @type {Record<string, () => void>} */
    const keys = {
      v: () => this.setMode("side_by_side"),
      x: () => this.setMode("slider"),
      d: () => this.setMode(this.mode === "difference" ? "slider" : "difference"),
      c: () => this.act("changes"),
      f: () => this.act("next_filled"),
      g: () => this.act("next_changed"),
      h: () => this.act("next_smoothed"),
      m: () => this.act("comment"),
      0: () => this.act("whole"),
      1: () => this.act("actual_size"),
    };
    onKey((key, event) => {
      if (document.querySelector("#reasons:not([hidden])") !== null || this.picture === null) {
        return false;
      }
      if (key === "b") {
        if (!event.repeat) {
          this.showScan(true);
        }
        return true;
      }
      keys[key]?.();
      return key in keys;
    });
    document.addEventListener("keyup", (event) => {
      if (event.key.toLowerCase() === "b") {
        this.showScan(false);
      }
    });
    addEventListener("blur", () => this.showScan(false));
  }

  /** @param {string} action */
  act(action) {
    if (this.picture === null) {
      return;
    }
    switch (action) {
      case "changes":
        this.showsChanges = !this.showsChanges;
        this.update();
        break;
      case "next_filled":
        this.nextPlace("filled");
        break;
      case "next_smoothed":
        this.nextPlace("smoothed");
        break;
      case "next_changed":
        this.nextPlace("changed");
        break;
      case "actual_size":
        this.actualSize();
        break;
      case "whole":
        this.clearPlaces();
        this.whole();
        break;
      case "zoom_in":
        this.main.viewport.zoomBy(1.5);
        break;
      case "zoom_out":
        this.main.viewport.zoomBy(1 / 1.5);
        break;
      case "comment":
        this.root.dispatchEvent(new CustomEvent("comment"));
        break;
    }
  }
}
