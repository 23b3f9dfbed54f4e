// Where a page reads documents: at the door that has served it, or in a mirror. A page of a door reads the mirror that the
// door names while its stream cannot be used (feed.js); a page that is a file of a mirror reads the files beside it.

import { DoorUrls, MirrorUrls } from "./document_urls.js";

/** @param {string} name */
const metadata = (name) => document.querySelector(`meta[name="${name}"]`)?.getAttribute("content") ?? null;

const directory = metadata("valgnatt-files");
/** Whether the page is a file of a mirror. */
export const isFile = directory !== null;

/** @returns {MirrorUrls | null} the mirror that the page can read */
function namedMirror() {
  const address = directory ?? metadata("valgnatt-mirror");
  const url = address === null ? null : URL.parse(address || ".", location.href);
  return url && new MirrorUrls(url.href.endsWith("/") ? url.href : `${url.href}/`);
}

/** The mirror that the page can read; null if there is none. */
export const mirror = namedMirror();
const door = new DoorUrls();

/** @type {DoorUrls | MirrorUrls} */
let source = (isFile && mirror) || door;

/** Return the addresses of documents where they are read now. */
export const documents = () => source;

/**
 * Read documents from the mirror from now on.
 *
 * @param {string} history the one that the mirror has now
 */
export function useMirror(history) {
  if (!mirror) return;
  mirror.history = history;
  source = mirror;
}

/** Read documents at the door from now on, if the page is one of a door. */
export function useDoor() {
  if (!isFile) source = door;
}
