// Corrections in words: what changed, and why (corrections_list.js lists them).

import { t } from "./format.js";
import { sums } from "./parties.js";

/** @import { Area, Correction } from "../documents" */

/** @param {string | null} reason a code */
export const reasonOf = (reason) => (reason === null ? undefined : t("reasons")[reason]) ?? t("noReason");

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
  const change = isLast ? changeInWords(sums(unit).ballots - before) : t("before")(before);
  return `${change}: ${reasonOf(correction.reason)}`;
}
