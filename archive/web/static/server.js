// @ts-check
/** Requests to the server, with the CSRF token of the page. */

/** @returns {string} */
function csrfToken() {
  return /** @type {HTMLMetaElement} */ (document.querySelector('meta[name="csrf-token"]')).content;
}

/**
 * The JSON answer to a request; an error has the server's message.
 * @param {string} path
 * @param {Record<string, string>} [form] sent with POST if given
 * @returns {Promise<any>}
 */
export async function request(path, form) {
  const headers = { accept: "application/json" };
  const options = form === undefined
    ? { headers }
    : { method: "POST", headers: { ...headers, "x-csrf-token": csrfToken() }, body: new URLSearchParams(form) };
  const answer = await fetch(path, options);
  if (answer.status === 401) {
    location.assign("/login");
  }
  const content = await answer.json();
  if (!answer.ok) {
    throw new Error(content.error);
  }
  return content;
}

/**
 * The content of a data block of the page.
 * @param {string} id
 * @returns {any}
 */
export function pageData(id) {
  const element = document.getElementById(id);
  return element === null ? null : JSON.parse(/** @type {string} */ (element.textContent));
}

/**
 * A text with its {places} filled.
 * @param {string} text
 * @param {Record<string, unknown>} values
 */
export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/**
 * Calls a handler for single keys, but not while somebody types or a modifier is held.
 * @param {(key: string, event: KeyboardEvent) => boolean} handler says whether it took the key
 */
export function onKey(handler) {
  document.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const types = target.matches("input:not([type=range]), textarea, select");
    if (event.ctrlKey || event.metaKey || event.altKey || types) {
      return;
    }
    if (handler(event.key.toLowerCase(), event)) {
      event.preventDefault();
      event.stopPropagation();
    }
  }, true);
}
