// Until when figures are hidden. Before the release all figures of the feed are zeros, whatever has been received:
// pages say that they are hidden, and until when, instead of showing the zeros.

import { byId, setText } from "./dom.js";
import { clockTime, countdown, t } from "./format.js";

/** @import { Election } from "../documents" */

/** @type {Election | null} */
let election = null;

/**
 * Hide figures until the release of an election. Pages change this object when they fetch the election again.
 *
 * @param {Election} shown
 */
export function hideUntilRelease(shown) {
  election = shown;
}

/** Whether figures are hidden. */
export const isHidden = () => election !== null && !election.released_at;

/** Return until when figures are hidden, in words. */
export const hiddenUntil = () =>
  election && isHidden() ? t("hiddenUntil")(clockTime(election.publish_from)) : "";

/**
 * Draw the countdown to the end of the embargo; return the milliseconds left.
 *
 * @param {string} publishFrom RFC 3339
 * @param {number} now_ms the time of the server
 */
export function drawCountdown(publishFrom, now_ms) {
  const left_ms = Date.parse(publishFrom) - now_ms;
  setText(byId("countdown"), left_ms > 0 ? countdown(left_ms) : t("embargoNow"));
  setText(byId("embargo-until"), left_ms > 0 ? t("embargoUntil")(clockTime(publishFrom)) : "");
  return left_ms;
}

/**
 * Return a text, or what replaces it while figures are hidden.
 *
 * @param {string} text
 * @param {string} instead
 */
export const unlessHidden = (text, instead = "–") => (isHidden() ? instead : text);
