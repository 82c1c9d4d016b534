// @ts-check
/** Deciding the pictures of a queue, one by one, by single keys. */
import { PictureViewer } from "./picture_viewer.js";
import { enableComments, listComments } from "./place_comments.js";
import { fill, onKey, pageData, request } from "./server.js";

const RENEW_CLAIM_MS = 60_000;
const { queue: texts, review: words } = pageData("queue-texts");
const viewer = new PictureViewer();
const scanWord = pageData("texts").scan;
const queueId = /** @type {HTMLElement} */ (document.getElementById("queue")).dataset.queue;
const message = /** @type {HTMLElement} */ (document.getElementById("message"));
const reasons = document.getElementById("reasons");
/** @type {Set<number>} positions that this reviewer passed over */
const skipped = new Set();
/** @type {{position: number, derivative: number}[]} what was decided here, newest last */
const decided = [];
/** @type {any} */
let current = null;
let isBusy = false;

/** @param {string} text */
function say(text) {
  message.textContent = text;
}

/** @param {any} answer */
function showProgress(answer) {
  const bar = /** @type {HTMLProgressElement} */ (document.getElementById("progress"));
  bar.max = answer.total;
  bar.value = answer.decided;
  /** @type {HTMLElement} */ (document.getElementById("progress-text")).textContent = fill(texts.progress, answer);
}

/** @param {[string, string]} score the metric and its value */
function describeScore(score) {
  const row = document.createElement("tr");
  const [name, value] = [document.createElement("th"), document.createElement("td")];
  name.scope = "row";
  value.className = "number";
  [name.textContent, value.textContent] = score;
  row.append(name, value);
  return row;
}

/** @param {any} picture */
function describe(picture) {
  const title = /** @type {HTMLElement} */ (document.getElementById("entry-title"));
  const link = document.createElement("a");
  link.href = `/derivatives/${picture.derivative}`;
  link.textContent = picture.accession_number;
  title.replaceChildren(link);
  /** @type {HTMLElement} */ (document.getElementById("entry-subtitle")).textContent =
    [picture.title, picture.sequence > 1 ? `${scanWord} ${picture.sequence}` : ""].filter(Boolean).join(" · ");
  const access = /** @type {HTMLElement} */ (document.getElementById("entry-access"));
  access.hidden = picture.access === null;
  access.textContent = `⚠ ${picture.access}`;
  const facts = picture.facts.flatMap((/** @type {[string, string]} */ fact) => fact.map((text, place) => {
    const element = document.createElement(place === 0 ? "dt" : "dd");
    element.textContent = text;
    return element;
  }));
  /** @type {HTMLElement} */ (document.getElementById("entry-facts")).replaceChildren(...facts);
  for (const [group, scores] of Object.entries(picture.scores)) {
    const body = /** @type {HTMLElement} */ (document.getElementById(`scores_${group}`));
    body.replaceChildren(...scores.map(describeScore));
  }
  /** @type {HTMLElement} */ (document.getElementById("reviews")).replaceChildren(...picture.reviews.map((/** @type {any} */ review) => {
    const line = document.createElement("li");
    line.textContent = fill(words.by, { decision: picture.labels[review.decision], name: review.reviewer, at: review.at.slice(0, 16).replace("T", " ") });
    if (review.reason) {
      line.textContent += `: ${review.reason}`;
    }
    return line;
  }));
  listComments(viewer, picture.comments, words.no_comments);
}

/** @param {any} answer */
async function showFirst(answer) {
  showProgress(answer);
  current = answer.entries[0] ?? null;
  if (current === null) {
    say(answer.decided >= answer.total ? texts.done : skipped.size > 0 ? texts.skipped : texts.busy);
    viewer.root.dataset.shown = "none";
    document.querySelectorAll("[data-key=accept], [data-key=reject], [data-key=skip]").forEach((button) => button.setAttribute("disabled", ""));
    return;
  }
  document.querySelectorAll("[data-key]").forEach((button) => button.removeAttribute("disabled"));
  describe(current.picture);
  await viewer.show(current.picture);
  if (answer.entries[1]) {
    viewer.fetchAhead(answer.entries[1].picture).catch(() => undefined);
  }
}

/**
 * The next pictures for this reviewer, claimed.
 * @param {number} [first] the position of the one that comes first
 * @returns {Promise<any>}
 */
function claim(first) {
  return request(`/queues/${queueId}/next`, { first: String(first ?? ""), skipped: [...skipped].join(",") });
}

async function next() {
  await showFirst(await claim());
}

/**
 * @param {number} derivative
 * @param {string} decision
 * @param {string} reason
 */
function send(derivative, decision, reason) {
  return request(`/derivatives/${derivative}/review`, { decision, reason });
}

/** @param {string} decision @param {string} [reason] */
async function decide(decision, reason = "") {
  const { position, picture } = current;
  await send(picture.derivative, decision, reason);
  decided.push({ position, derivative: picture.derivative });
  say(`${picture.accession_number}: ${picture.labels[decision]}`);
  await next();
}

async function undo() {
  const last = decided.pop();
  if (last === undefined) {
    say(texts.nothing_to_undo);
    return;
  }
  await send(last.derivative, "undone", "");
  say(texts.undone);
  skipped.delete(last.position);
  await showFirst(await claim(last.position));
}

/** @param {boolean} isOpen */
function openReasons(isOpen) {
  if (reasons !== null) {
    reasons.hidden = !isOpen;
    document.querySelector("[data-key=reject]")?.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) {
      /** @type {HTMLElement | null} */ (reasons.querySelector("button"))?.focus();
    }
  }
}

/**
 * Runs one action at a time; an error is shown, and no input is lost.
 * @param {() => Promise<void>} action
 */
async function run(action) {
  if (isBusy) {
    return;
  }
  isBusy = true;
  try {
    await action();
  } catch (error) {
    say(error instanceof TypeError ? texts.offline : /** @type {Error} */ (error).message);
  } finally {
    isBusy = false;
  }
}

/** @param {string} reason */
function reject(reason) {
  openReasons(false);
  run(() => decide("rejected", reason));
}

/** @type {Record<string, () => void>} */
const actions = {
  accept: () => current && run(() => decide("accepted")),
  reject: () => current && openReasons(reasons?.hidden === true),
  skip: () => current && run(async () => {
    skipped.add(current.position);
    await next();
  }),
  undo: () => run(undo),
};
const keys = { a: "accept", r: "reject", s: "skip", u: "undo" };

if (reasons !== null) {
  for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-key]"))) {
    button.addEventListener("click", () => actions[/** @type {string} */ (button.dataset.key)]());
  }
  const offered = /** @type {HTMLElement[]} */ ([...reasons.querySelectorAll("[data-reason]")]);
  for (const button of offered) {
    button.addEventListener("click", () => reject(/** @type {string} */ (button.dataset.reason)));
  }
  document.getElementById("other-reason")?.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = /** @type {HTMLInputElement} */ (document.getElementById("reason-text"));
    if (text.value.trim() !== "") {
      reject(text.value);
      text.value = "";
    }
  });
  onKey((key) => {
    if (!reasons.hidden) {
      const chosen = offered[Number(key) - 1];
      if (chosen !== undefined) {
        chosen.click();
        return true;
      }
      if (key === "escape" || key === "r") {
        openReasons(false);
        return true;
      }
      return false;
    }
    const action = /** @type {Record<string, string>} */ (keys)[key];
    if (action !== undefined) {
      actions[action]();
    }
    return action !== undefined;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !reasons.hidden) {
      openReasons(false);
    }
  });
  enableComments(viewer, (comments) => listComments(viewer, comments, words.no_comments));
  setInterval(() => {
    if (current !== null && !isBusy && document.visibilityState === "visible") {
      claim(current.position).then(showProgress).catch(() => undefined);
    }
  }, RENEW_CLAIM_MS);
  run(next);
}
