// The address of a page: which election and area it shows, and how its table is searched, filtered and sorted.
// An area is at /areas/ELECTION/AREA and the country at /areas/ELECTION; `/?election=ELECTION` shows the country
// too, and #/area/AREA, the address of an area in earlier versions, leads to the new one. In a mirror, an area is also at
// index.html?election=ELECTION&area=AREA, which needs no rule of its web server. What the reader filters
// and sorts by replaces the address, so that the back button leads to the previous area and not to the previous
// letter of a search. The moment of the night that is shown is kept from area to area.

import { isFile, mirror } from "./source.js";

/** Parameters that belong to one page, and are not in the links to others. */
const OWN = ["area", "q", "level", "sort", "by", "party", "which", "kiosk", "silent", "at"];
/** Parameters that belong to the page of every area, and are in the links between them. */
const KEPT = ["at"];
const WRITE_AFTER_MS = 250; // browsers limit how often an address may be changed

/** The path of the page of all areas: that of the door, or of the directory of the mirror. */
const base = (isFile && mirror ? new URL(mirror.root) : new URL("/", location.href)).pathname;

let election = "";
let timer = 0;
/** @type {Map<string, string>} */
const unwritten = new Map();

/** @returns {string[]} what follows `/areas/` in the path: an election, an area */
function pathNames() {
  const [first, ...names] = location.pathname.slice(base.length).split("/");
  return first === "areas" ? names.filter(Boolean).map(decoded) : [];
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // not what this page has encoded; no election or area has this identifier
  }
}

/** Return the identifier of the election that the address names; null if it names none. */
export const electionInAddress = () => pathNames()[0] ?? parameter("election");

/** @param {string} id of the election that links lead to from now on */
export function useElection(id) {
  election = id;
}

/** Return the area that the address names; null: all areas. */
export function areaInAddress() {
  const former = /^#\/area\/(.+)$/.exec(location.hash)?.[1];
  if (former === undefined) return pathNames()[1] ?? (isFile ? parameter("area") : null);
  history.replaceState(null, "", areaLink(decoded(former)));
  return decoded(former);
}

/** Whether the server has the addresses of areas: a door, or a web server of a mirror that has served one of them. */
const hasRules = () => !isFile || pathNames().length > 0;

/**
 * Return the address of another page.
 *
 * @param {string} name
 */
export const pageUrl = (name) => new URL(`${base}${name}${isFile ? ".html" : ""}`, location.href).href;

/**
 * Return a link to the page of an area, or of all areas.
 *
 * @param {string} [id]
 */
export function areaLink(id) {
  const names = id === undefined ? [election] : [election, id];
  if (hasRules()) return [`${base}areas`, ...names.map(encodeURIComponent)].join("/");
  const query = new URLSearchParams({ election, ...(id === undefined ? {} : { area: id }) });
  return `${base}index.html?${query}`;
}

/**
 * Return the query for links to other pages: they show the same election.
 *
 * @param {string | null} [id] of the election
 */
export function keptQuery(id = electionInAddress()) {
  const query = new URLSearchParams(location.search);
  for (const name of OWN) query.delete(name);
  if (id !== null) query.set("election", id);
  return query.size ? `?${query}` : "";
}

/**
 * Return the address of this page for another election.
 *
 * @param {string} id
 */
export const pageOf = (id) => (pathNames().length ? home() : location.pathname) + keptQuery(id);

const home = () => (isFile ? `${base}index.html` : base);

/**
 * Return the address of something of the push door, from one of its pages: they may be below a path of a proxy.
 *
 * @param {string} path
 */
export const doorUrl = (path) => new URL(`.${path}`, location.href).href;

/**
 * Return a parameter of the address; null where it is missing.
 *
 * @param {string} name
 */
export const parameter = (name) => unwritten.get(name) ?? new URLSearchParams(location.search).get(name);

/**
 * Set a parameter of the address, soon. An empty value removes it.
 *
 * @param {string} name
 * @param {string} value
 */
export function setParameter(name, value) {
  unwritten.set(name, value);
  clearTimeout(timer);
  timer = setTimeout(writeParameters, WRITE_AFTER_MS);
}

/**
 * Set a parameter in a new entry of the history: the back button leads to its earlier value. An empty value removes it.
 *
 * @param {string} name
 * @param {string} value
 */
export function pushParameter(name, value) {
  unwritten.delete(name);
  writeParameters();
  const url = new URL(location.href);
  if (value) url.searchParams.set(name, value);
  else url.searchParams.delete(name);
  history.pushState(null, "", url);
}

function writeParameters() {
  clearTimeout(timer);
  if (!unwritten.size) return;
  const url = new URL(location.href);
  for (const [name, value] of unwritten) {
    if (value) url.searchParams.set(name, value);
    else url.searchParams.delete(name);
  }
  unwritten.clear();
  history.replaceState(history.state, "", url);
}

/**
 * Follow links between areas without loading the page again, and the back button.
 *
 * @param {(followed: boolean) => void} route shows what the address names; `followed`: through a link
 */
export function followLinks(route) {
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    const href = link?.getAttribute("href") ?? "";
    if (opensElsewhere(event) || event.defaultPrevented || link?.hasAttribute("target") || !isArea(href))
      return;
    event.preventDefault();
    writeParameters();
    const kept = withKept(href);
    if (kept !== location.pathname + location.search) history.pushState(null, "", kept);
    route(true);
  });
  for (const type of /** @type {const} */ (["click", "auxclick"]))
    document.addEventListener(type, openKept, true);
  addEventListener("popstate", () => {
    unwritten.clear();
    route(false);
  });
  addEventListener("pagehide", writeParameters);
}

/**
 * Add to the address of an area what is kept from area to area.
 *
 * @param {string} href
 */
function withKept(href) {
  const url = new URL(href, location.href);
  for (const name of KEPT) {
    const value = parameter(name);
    if (value) url.searchParams.set(name, value);
  }
  return url.pathname + url.search;
}

/** @param {MouseEvent} event a click on a link */
const opensElsewhere = ({ button, ctrlKey, metaKey, shiftKey, altKey }) =>
  button !== 0 || ctrlKey || metaKey || shiftKey || altKey;

/**
 * Open a link to an area in another tab or window with what is kept; the link itself stays as it is.
 *
 * @param {MouseEvent} event a click that is about to open it
 */
function openKept(event) {
  if (!opensElsewhere(event)) return;
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  const href = link?.getAttribute("href") ?? "";
  if (!link || !isArea(href)) return;
  link.setAttribute("href", withKept(href));
  setTimeout(() => link.setAttribute("href", href));
}

/** @param {string} href */
function isArea(href) {
  const all = areaLink();
  return href === all || href.startsWith(all.includes("?") ? `${all}&area=` : `${all}/`);
}
