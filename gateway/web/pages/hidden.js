// Until when figures are hidden. Before the release all figures of the feed are zeros, whatever has been received:
// pages say that they are hidden, and until when, instead of showing the zeros.

import { clockTime, t } from "./format.js";

/** @type {string | null} */
let until = null;

/** Whether figures are hidden. */
export const isHidden = () => until !== null;

/**
 * Set until when figures are hidden, null: not any more; return whether that is a change.
 *
 * @param {string | null} time an RFC 3339 time
 */
export function hideUntil(time) {
  const changed = time !== until;
  until = time;
  return changed;
}

/** Return until when figures are hidden, in words. */
export const hiddenUntil = () => (until === null ? "" : t("hiddenUntil")(clockTime(until)));

/**
 * Return a text, or what replaces it while figures are hidden.
 *
 * @param {string} text
 * @param {string} instead
 */
export const unlessHidden = (text, instead = "–") => (isHidden() ? instead : text);
