// What all pages have in common: the language, the choice of an election, links that keep it, and messages.

import { electionInAddress, keptQuery, pageOf, useElection } from "./address.js";
import { compareWithPrevious } from "./change.js";
import { byId, h, setText, show } from "./dom.js";
import { DOCUMENT_LIMIT_MS, fetchJson, LARGE_LIMIT_MS, untilDone } from "./fetching.js";
import {
  compare,
  currentLanguage,
  onLanguageChange,
  plainText,
  switchLanguage,
  t,
  useTimeZone,
} from "./format.js";
import { hideUntilRelease } from "./hidden.js";
import { nameOf } from "./names.js";
import { documents, mirror } from "./source.js";
import { LANGUAGES } from "./texts.js";

/** @import { Election, ElectionAndRegistry } from "../documents" */
/** @import { DocumentUrls } from "./document_urls.js" */

/**
 * Fill in the texts of the page, now and whenever the language changes.
 *
 * @param {() => void} redraw called after each time
 */
export function translate(redraw) {
  const translated = () => {
    fillIn();
    menu.value = currentLanguage();
    drawElections();
    redraw();
  };
  const menu = byId("language", HTMLSelectElement);
  for (const [value, name] of Object.entries(LANGUAGES))
    menu.append(h("option", { value, lang: value }, name));
  menu.addEventListener("change", () => switchLanguage(menu.value));
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the fragment of the address says which area is shown
    byId("main").focus();
  });
  onLanguageChange(translated);
  translated();
  for (const link of marked("data-keep")) if (link instanceof HTMLAnchorElement) link.search = keptQuery();
}

/** Fill in the texts that the page names in its HTML. */
export function fillIn() {
  document.documentElement.lang = currentLanguage();
  for (const element of marked("data-t")) setText(element, plainText(element.dataset.t));
  for (const element of marked("data-label")) {
    element.setAttribute("aria-label", plainText(element.dataset.label));
  }
  for (const element of marked("data-placeholder")) {
    element.setAttribute("placeholder", plainText(element.dataset.placeholder));
  }
}

/**
 * @param {string} attribute
 * @returns {NodeListOf<HTMLElement>}
 */
const marked = (attribute) => document.querySelectorAll(`[${attribute}]`);

/** @returns {Promise<Election[]>} all elections of this door, or of its mirror */
export const fetchElections = async () => (await fetchFromEither((urls) => urls.elections())).elections;

/**
 * @param {string} id
 * @returns {Promise<ElectionAndRegistry>}
 */
export const fetchElection = (id) => fetchFromEither((urls) => urls.election(id), LARGE_LIMIT_MS);

/**
 * Fetch a document from where documents are read now, or else from the mirror. Throws where neither answers.
 *
 * @param {(urls: DocumentUrls) => string} address
 * @param {number} [limit_ms]
 */
async function fetchFromEither(address, limit_ms = DOCUMENT_LIMIT_MS) {
  try {
    return await fetchJson(address(documents()), { limit_ms });
  } catch (error) {
    if (!mirror || documents().isMirror) throw error;
    return await fetchJson(address(mirror), { limit_ms }).catch(() => {
      throw error; // which says how long to wait
    });
  }
}

/**
 * Fetch an election again: its embargo may be moved, and may end with nothing to show. Throws without an answer.
 *
 * @param {Election} election
 */
export async function refreshElection(election) {
  const elections = await fetchElections();
  Object.assign(
    election,
    elections.find(({ id }) => id === election.id),
  );
}

/**
 * Return the path of an election, or of something below it.
 *
 * @param {string} id
 */
export const electionPath = (id, rest = "") => `/v1/elections/${encodeURIComponent(id)}${rest}`;

/**
 * Wait until the election to show exists, and return it with its registry.
 *
 * @returns {Promise<ElectionAndRegistry>}
 */
export async function waitForElection() {
  const found = await untilDone(findElection, (error) => {
    showProblem(error instanceof NoElection ? error.message : t("noAnswer"));
  });
  showProblem(null);
  return found;
}

class NoElection extends Error {}

/**
 * Return the election to show. Throws where there is none, or no answer.
 *
 * @returns {Promise<ElectionAndRegistry>}
 */
async function findElection() {
  const elections = await fetchElections();
  const wanted = electionInAddress();
  const chosen = wanted ? elections.find(({ id }) => id === wanted) : newest(elections);
  offerElections(elections, chosen?.id ?? null);
  if (!chosen) throw new NoElection(wanted ? t("unknownElection")(wanted) : t("noElection"));
  const whole = await fetchElection(chosen.id);
  useElection(whole.id);
  useTimeZone(whole.registry.election.timezone);
  hideUntilRelease(whole);
  compareWithPrevious(whole);
  return whole;
}

/** @param {Election[]} elections */
function newest(elections) {
  const real = elections.filter(({ rehearsal }) => !rehearsal);
  return (real.length ? real : elections).toSorted(
    (a, b) => compare(b.publish_from ?? "", a.publish_from ?? "") || compare(b.id, a.id),
  )[0];
}

let drawElections = () => {};

/**
 * Offer a choice of elections where there is one.
 *
 * @param {Election[]} elections
 * @param {string | null} chosen
 */
function offerElections(elections, chosen) {
  drawElections = () => offerElections(elections, chosen); // their names depend on the language
  const select = document.getElementById("elections");
  if (!(select instanceof HTMLSelectElement)) return; // a page for one election
  select.replaceChildren(
    ...(chosen === null ? [h("option", { value: "" }, "–")] : []),
    ...elections.map((each) => h("option", { value: each.id }, uniqueName(each, elections))),
  );
  select.value = chosen ?? "";
  show(byId("election-choice"), elections.length > (chosen === null ? 0 : 1));
  select.onchange = () => {
    location.assign(pageOf(select.value));
  };
}

/**
 * Return the name of an election, with its identifier if others have the same name.
 *
 * @param {Election} one
 * @param {Election[]} all
 */
function uniqueName(one, all) {
  const name = nameOf(one);
  const shared = all.some((each) => nameOf(each) === name && each.id !== one.id);
  return shared ? `${name} · ${one.id}` : name;
}

/** @param {string | null} message */
export function showProblem(message) {
  const element = byId("problem");
  show(element, message !== null);
  setText(element, message ?? "");
}

/** @param {boolean} rehearsal whether what the page shows is a rehearsal */
export function showRehearsal(rehearsal) {
  const element = byId("rehearsal");
  show(element, rehearsal);
  setText(element, rehearsal ? t("rehearsal") : "");
}

let announced = "";

/**
 * Announce a message to screen readers, unless it is the same as the one before.
 *
 * @param {string} message
 */
export function announce(message) {
  if (message === announced) return;
  announced = message;
  byId("announcement").textContent = message;
}
