// Why a figure went down, in words.

import { number, t } from "./format.js";
import { sums } from "./parties.js";

const reasonOf = (reason) => t("reasons")[reason] ?? t("noReason");

/** By how much a unit's ballots changed, and why. */
export function explained(ballots, reason) {
  const what =
    ballots < 0 ? t("fell")(number(-ballots)) : ballots > 0 ? t("movedMore")(number(ballots)) : t("moved");
  return `${what}: ${reasonOf(reason)}`;
}

/** A unit's own correction: what it changed can be told while no later report has come. */
export function explainedUnit(unit) {
  const { correction } = unit;
  const previous = Object.values(correction.previous).reduce((sum, counts) => sum + counts.ballots, 0);
  if (unit.sequence === correction.sequence)
    return explained(sums(unit).ballots - previous, correction.reason);
  return `${t("before")(number(previous))}: ${reasonOf(correction.reason)}`;
}
