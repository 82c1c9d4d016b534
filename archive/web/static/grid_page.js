// @ts-check
/** The grid: only undecided pictures that were loaded and on the screen can be accepted together, after a question. */
import { fill } from "./server.js";

const form = document.getElementById("accept-shown");
const cards = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("#grid .card[data-open]")]);
/** @type {Set<string>} */
const shown = new Set();

/** @param {string} id @param {Record<string, unknown>} values */
function fillText(id, values) {
  const element = /** @type {HTMLElement} */ (document.getElementById(id));
  const { text, one } = element.dataset;
  element.textContent = fill(/** @type {string} */ (values.count === 1 && one !== undefined ? one : text), values);
}

function update() {
  if (form !== null) {
    /** @type {HTMLInputElement} */ (form.querySelector("[name=shown]")).value = [...shown].join(",");
    /** @type {HTMLButtonElement} */ (form.querySelector("#ask-accept")).disabled = shown.size === 0;
    fillText("shown-count", { shown: shown.size, total: cards.length });
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
if (form !== null) {
  const question = /** @type {HTMLDialogElement} */ (document.getElementById("accept-question"));
  form.querySelector("#ask-accept")?.addEventListener("click", () => {
    fillText("accept-text", { count: shown.size });
    question.showModal();
  });
  question.querySelector("[data-action=cancel]")?.addEventListener("click", () => question.close());
}
update();
