// @ts-check
/** A batch with live progress, by server-sent events. */
import { pageData } from "./server.js";

const root = /** @type {HTMLElement} */ (document.getElementById("batch"));
const texts = pageData("texts");
if (root.dataset.live === "yes") {
  const events = new EventSource(`/batches/${root.dataset.batch}/events`);
  events.addEventListener("message", (event) => {
    const state = JSON.parse(event.data);
    if (state.status !== root.dataset.status) {
      events.close();
      location.reload(); // the page says why a batch stopped
      return;
    }
    for (const field of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-field]"))) {
      const value = state[/** @type {string} */ (field.dataset.field)];
      field.textContent = field.dataset.field === "status" ? texts[value] : String(value);
      field.dataset.value = String(value);
    }
    const bar = /** @type {HTMLProgressElement} */ (root.querySelector("progress"));
    bar.max = state.tasks;
    bar.value = state.done + state.failed + state.skipped + state.cancelled;
  });
  events.addEventListener("end", () => {
    events.close();
    location.reload();
  });
}
