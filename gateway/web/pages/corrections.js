// Corrections in words: what changed, and why (corrections_list.js lists them).

import { t } from "./format.js";
import { sums } from "./parties.js";

/** @import { Area, Correction, Explanation } from "../documents" */

/** @param {string | null} reason a code */
export const reasonOf = (reason) => (reason === null ? undefined : t("reasons")[reason]) ?? t("noReason");

/**
 * Return what a correction looks like from the record, to follow the sender's reason; "" where it does not show.
 *
 * @param {Explanation | null | undefined} explained
 * @param {number} ballots by how many ballots the unit's changed
 * @param {(unit: string) => string} nameOf
 */
export function looksLike(explained, ballots, nameOf = (unit) => unit) {
  const words = explained && t("explanations")[explained.code];
  if (!words) return ""; // none, or one of a newer version
  return t("looksLike")(words(nameOf(explained.unit ?? ""), ballots));
}

/** @param {number} ballots */
function changeInWords(ballots) {
  if (ballots < 0) return t("fell")(-ballots);
  return ballots > 0 ? t("movedAndRose")(ballots) : t("moved");
}

/**
 * Describe a unit's last correction. What it changed is known only while no later report has come.
 *
 * @param {Area} unit
 * @param {Correction} correction
 */
export function describeCorrection(unit, correction) {
  const before = Object.values(correction.previous).reduce((sum, counts) => sum + counts.ballots, 0);
  const isLast = unit.sequence === correction.sequence;
  const ballots = isLast ? sums(unit).ballots - before : 0;
  const change = isLast ? changeInWords(ballots) : t("before")(before);
  return `${change}: ${reasonOf(correction.reason)}${looksLike(correction.explained, ballots)}`;
}
