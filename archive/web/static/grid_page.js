// @ts-check
/** The grid: only pictures that were loaded and on the screen count as shown, and can be accepted together. */
import { fill } from "./server.js";

const form = document.getElementById("accept-shown");
const cards = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("#grid .card")]);
/** @type {Set<string>} */
const shown = new Set();

function update() {
  if (form !== null) {
    const count = /** @type {HTMLElement} */ (document.getElementById("shown-count"));
    /** @type {HTMLInputElement} */ (form.querySelector("[name=shown]")).value = [...shown].join(",");
    /** @type {HTMLButtonElement} */ (form.querySelector("button")).disabled = shown.size === 0;
    count.textContent = fill(/** @type {string} */ (count.dataset.text), { shown: shown.size, total: cards.length });
  }
}

const observer = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((each) => each.isIntersecting)) {
    const card = /** @type {HTMLElement} */ (entry.target);
    const images = [...card.querySelectorAll("img")];
    Promise.all(images.map((image) => image.decode())).then(() => {
      shown.add(/** @type {string} */ (card.dataset.position));
      update();
    }).catch(() => undefined);
    observer.unobserve(card);
  }
}, { threshold: 0.6 });
cards.forEach((card) => observer.observe(card));
update();
