// @ts-check
/**
 * A scan and its derivative, compared: side by side, by a slider, by blinking, as a difference, with the change map.
 * OpenSeadragon shows the tiles of the server's IIIF services.
 */
import { fill, pageData, request } from "./server.js";
import { synchronisePanes } from "./synchronised_panes.js";
import { enableControls } from "./viewer_controls.js";

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
    this.previousMode = "slider";
    this.showsScan = false;
    this.showsChanges = false;
    /** @type {Record<string, number>} the number of the last visited place of each kind */
    this.visited = {};
    /** @type {{picture: PictureData, state: Promise<any>} | null} */
    this.changes = null;
    this.updates = 0;
    /** @type {any} the derivative's image, once it is shown */
    this.after = null;
    this.label();
    synchronisePanes(this);
    enableControls(this);
  }

  label() {
    for (const [viewer, name] of [[this.main, this.texts.result], [this.second, this.texts.scan]]) {
      viewer.canvas.setAttribute("role", "application");
      viewer.canvas.setAttribute("aria-label", `${name}. ${this.texts.viewer}`);
    }
  }

  /**
   * Shows a picture; images that were fetched ahead are used.
   * @param {PictureData} picture
   */
  async show(picture) {
    delete this.root.dataset.shown;
    this.picture = picture;
    this.after = null;
    this.visited = {};
    this.clearPlaces();
    this.note("");
    try {
      await Promise.all([picture.before, picture.after].map((identifier) => this.ready(`/views/${identifier}`, picture)));
      await this.baseImages(picture);
    } catch (error) {
      if (this.picture === picture) {
        this.fail(error);
      }
      throw error;
    }
    if (this.picture !== picture) {
      return;
    }
    this.forgetAllBut([picture.before, picture.after]);
    this.whole(true);
    await this.update();
    this.root.dataset.shown = String(picture.derivative);
  }

  /**
   * Fetches the images of a picture without showing them.
   * @param {PictureData} picture
   */
  async fetchAhead(picture) {
    for (const identifier of [picture.before, picture.after]) {
      const state = await request(`/views/${identifier}`);
      if (state.ready) {
        await this.image(this.main, identifier);
      }
    }
  }

  /**
   * Waits until the server has made something for a picture, and says how far it is.
   * @param {string} path answers with `ready` and `share`
   * @param {PictureData} picture
   * @returns {Promise<any>} the answer; it is not ready if another picture is shown meanwhile
   */
  async ready(path, picture) {
    for (;;) {
      const state = await request(path);
      if (state.ready || this.picture !== picture) {
        if (this.picture === picture) {
          this.note("");
        }
        return state;
      }
      this.note(`${this.texts.preparing} (${Math.round(state.share * 100)} %)`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** @param {string} text shown on the picture; an empty one hides the note */
  note(text) {
    const note = /** @type {HTMLElement} */ (this.root.querySelector(".preparing"));
    note.textContent = text;
    note.hidden = text === "";
  }

  /** @param {unknown} error */
  fail(error) {
    this.note(`${this.texts.failed} ${error instanceof Error ? error.message : ""}`);
  }

  /**
   * Does something, and shows its failure on the picture.
   * @param {() => Promise<void>} action
   */
  attempt(action) {
    action().catch((error) => this.fail(error));
  }

  /** @param {PictureData} picture */
  baseImages(picture) {
    return Promise.all([
      this.image(this.main, picture.before),
      this.image(this.main, picture.after),
      this.image(this.second, picture.before),
    ]);
  }

  /**
   * The tiled image of an identifier in a viewer, invisible at first.
   * @param {any} viewer
   * @param {string} identifier
   * @param {any} [tileSource] its IIIF service by default
   * @returns {Promise<any>}
   */
  image(viewer, identifier, tileSource = `/iiif/3/${identifier}/info.json`) {
    const key = `${viewer === this.main ? "main" : "second"} ${identifier}`;
    const known = this.images.get(key);
    if (known !== undefined) {
      return known;
    }
    const added = new Promise((resolve, reject) => {
      viewer.addTiledImage({
        tileSource,
        x: 0, y: 0, width: 1,
        opacity: 0,
        preload: true,
        success: (/** @type {any} */ event) => resolve(event.item),
        error: (/** @type {any} */ event) => reject(new Error(event.message)),
      });
    });
    this.images.set(key, added);
    added.catch(() => this.images.delete(key));
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

  /** Shows the images that the mode needs; a later call overtakes an earlier one that still waits for an image. */
  async update() {
    const picture = this.picture;
    if (picture === null) {
      return;
    }
    const update = ++this.updates;
    this.root.dataset.mode = this.mode;
    this.root.classList.toggle("shows-scan", this.showsScan);
    for (const button of /** @type {NodeListOf<HTMLElement>} */ (this.root.querySelectorAll("button[data-mode]"))) {
      button.setAttribute("aria-pressed", String(button.dataset.mode === this.mode));
    }
    this.root.querySelector("[data-action=changes]")?.setAttribute("aria-pressed", String(this.showsChanges));
    this.showLegends();
    const [before, after, left] = await this.baseImages(picture);
    if (update !== this.updates) {
      return;
    }
    this.after = after;
    left.setOpacity(1);
    const shown = this.showsScan ? [before] : this.mode === "slider" ? [before, after] : [after];
    this.showOnly(shown);
    this.clip();
    if (this.mode === "difference" && picture.difference !== null && !this.showsScan) {
      const state = await this.ready(`/views/${picture.difference}`, picture);
      const difference = state.ready ? await this.image(this.main, picture.difference) : null;
      if (update !== this.updates) {
        return;
      }
      shown.splice(0, shown.length, difference);
      this.showOnly(shown);
    }
    if (this.showsChanges && picture.changes !== null) {
      const found = await this.findChanges(picture);
      const source = { type: "image", url: found.overlay, buildPyramid: false };
      const overlay = found.ready ? await this.image(this.main, `changes-${picture.derivative}`, source) : null;
      if (update === this.updates) {
        this.showOnly([...shown, overlay]);
      }
    }
  }

  /** @param {any[]} items images of the main viewer, the topmost last */
  showOnly(items) {
    const world = this.main.world;
    for (let number = 0; number < world.getItemCount(); number++) {
      const item = world.getItemAt(number);
      item.setOpacity(items.includes(item) ? 1 : 0);
    }
    for (const item of items) {
      world.setItemIndex(item, world.getItemCount() - 1);
    }
  }

  /** In slider mode, shows the derivative right of the divider only. */
  clip() {
    const slides = this.mode === "slider" && !this.showsScan;
    this.divider.hidden = !slides;
    if (this.picture === null || this.after === null) {
      return;
    }
    if (!slides) {
      this.after.setClip(null);
      return;
    }
    const { width, height } = this.picture;
    const x = (Number(this.slider.value) / 1000) * this.main.container.clientWidth;
    this.divider.style.left = `${x}px`;
    const point = this.main.viewport.pointFromPixel(new OpenSeadragon.Point(x, 0), true);
    const column = Math.min(Math.max(point.x * width, 0), width);
    if (this.after.getClip()?.x !== column) {  // each new clip is drawn, and what is drawn leads here again
      this.after.setClip(new OpenSeadragon.Rect(column, 0, width - column, height));
    }
    this.after.setOpacity(column >= width ? 0 : 1);
  }

  /**
   * The change map and its places, requested once per picture, and again after a failure.
   * @param {PictureData} picture
   * @returns {Promise<any>}
   */
  findChanges(picture) {
    if (this.changes === null || this.changes.picture !== picture) {
      const changes = { picture, state: this.ready(/** @type {string} */ (picture.changes), picture) };
      changes.state.catch(() => {
        if (this.changes === changes) {
          this.changes = null;
        }
      });
      this.changes = changes;
    }
    return this.changes.state;
  }

  showLegends() {
    const isDifference = this.mode === "difference" && Boolean(this.picture?.difference);
    /** @type {HTMLElement} */ (this.root.querySelector(".legend.changes")).hidden = !this.showsChanges;
    /** @type {HTMLElement} */ (this.root.querySelector(".legend.difference")).hidden = !isDifference;
  }

  /** @param {string} mode */
  setMode(mode) {
    const { viewport } = this.main;
    const isWhole = Math.abs(viewport.getZoom() / viewport.getHomeZoom() - 1) < 0.01;
    if (mode !== this.mode) {
      this.previousMode = this.mode;
    }
    this.mode = mode;
    this.root.dataset.mode = mode;
    this.showLegends();
    this.main.forceResize();
    this.second.forceResize();
    if (isWhole && this.picture !== null) {
      this.whole(true);
    }
    this.attempt(() => this.update());
  }

  /** @param {boolean} isShown */
  showScan(isShown) {
    if (this.showsScan !== isShown) {
      this.showsScan = isShown;
      this.attempt(() => this.update());
    }
  }

  toggleChanges() {
    this.showsChanges = !this.showsChanges;
    this.attempt(() => this.update());
  }

  /** @param {boolean} [immediately] */
  whole(immediately) {
    const picture = /** @type {PictureData} */ (this.picture);
    this.clearPlaces();
    this.main.viewport.fitBounds(new OpenSeadragon.Rect(0, 0, 1, picture.height / picture.width), immediately);
  }

  /** The zoom at which one pixel of the picture is one pixel of the screen. */
  actualZoom() {
    return /** @type {PictureData} */ (this.picture).width / (this.main.container.clientWidth * devicePixelRatio);
  }

  actualSize() {
    this.main.viewport.zoomTo(this.actualZoom());
  }

  /**
   * Zooms to a place and marks it.
   * @param {Place} place
   * @param {number} [leastZoom] of a large place, only its middle is shown, at this zoom
   */
  goTo(place, leastZoom = 0) {
    const margin = 0.5 * Math.max(place.width, place.height);
    const scale = 1 / /** @type {PictureData} */ (this.picture).width;
    const location = new OpenSeadragon.Rect(place.x * scale, place.y * scale, place.width * scale, place.height * scale);
    this.main.viewport.fitBounds(new OpenSeadragon.Rect(
      location.x - margin * scale, location.y - margin * scale,
      location.width + 2 * margin * scale, location.height + 2 * margin * scale,
    ));
    if (this.main.viewport.getZoom() < leastZoom) {
      this.main.viewport.zoomTo(leastZoom);
    }
    this.clearPlaces();
    const element = document.createElement("div");
    element.className = "place";
    element.title = place.text ?? "";
    this.main.addOverlay({ element, location });
  }

  clearPlaces() {
    this.main.clearOverlays();
  }

  /** @param {string} kind "filled", "smoothed" or "changed" */
  async nextPlace(kind) {
    const picture = this.picture;
    if (picture === null || picture.changes === null) {
      return;
    }
    const found = await this.findChanges(picture);
    if (!found.ready || this.picture !== picture) {
      return;
    }
    const places = found.places[kind];
    if (places.length === 0) {
      this.say(this.texts.no_places);
      return;
    }
    const number = ((this.visited[kind] ?? -1) + 1) % places.length;
    this.visited[kind] = number;
    if (kind === "smoothed" && this.mode === "difference") {
      this.setMode(this.previousMode); // a difference does not show texture
    }
    this.goTo(places[number], this.actualZoom());
    this.say(fill(this.texts.place_of, { number: number + 1, total: places.length }));
  }

  /** @param {string} text */
  say(text) {
    /** @type {HTMLElement} */ (this.root.querySelector(".announce")).textContent = text;
  }
}
