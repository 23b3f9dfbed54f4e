// Findings about a report in words, from their code and figures.

import { number, t } from "./format.js";
import { nameOfArea } from "./own_areas.js";

/** @import { Finding } from "../push_documents" */

/**
 * Return the name of a category in the language of the page.
 *
 * @param {string} code
 */
export const categoryName = (code) => t("categories")[code] ?? code;

/**
 * Return a finding as a sentence; one of a newer gateway is shown as its code. A red line that a reason makes a
 * correction says so.
 *
 * @param {Finding} finding
 */
export function findingText(finding) {
  const text = sentence(finding);
  const hasReason = finding.severity !== "red_line" || !["fell", "missing_category"].includes(finding.code);
  return hasReason ? text : `${text} ${t("findReason")(Object.values(t("reasons")).join(", "))}`;
}

/** @param {Finding} finding */
function sentence({ code, evidence }) {
  switch (code) {
    case "above_eligible":
      return t("findAboveEligible")(
        nameOfArea(String(evidence.area), String(evidence.name)),
        Number(evidence.after),
        Number(evidence.eligible),
      );
    case "unit_above_eligible":
      return t("findUnitAboveEligible")(Number(evidence.after), Number(evidence.eligible));
    case "fell":
      return t("findFell")(Number(evidence.before), Number(evidence.after));
    case "missing_category":
      return t("findMissingCategory")(categoryName(String(evidence.category)), Number(evidence.before));
    case "missing_parties":
      return t("findMissingParties")(categoryName(String(evidence.category)), lost(evidence.parties));
    case "votes_fell":
      return t("findVotesFell")(categoryName(String(evidence.category)), fewer(evidence.parties));
    case "status_back":
      return t("findStatusBack")(statusName(String(evidence.before)), statusName(String(evidence.after)));
    default:
      return code;
  }
}

/** @param {string} status */
export const statusName = (status) => t("statuses")[status] ?? status;

/** @param {{[party: string]: number}} parties */
const lost = (parties) =>
  Object.entries(parties)
    .map(([party, votes]) => `${party} (${number(votes)})`)
    .join(", ");

/** @param {{[party: string]: [number, number]}} parties */
const fewer = (parties) =>
  Object.entries(parties)
    .map(([party, [before, after]]) => `${party} ${number(before)} → ${number(after)}`)
    .join(", ");
