// How places, rules and evidence are said in the language of the page.

import { statusName } from "./findings.js";
import { date, dayAndTime } from "./format.js";
import { areaText, placeText, sentenceOf } from "./hold_sentences.js";
import { holdTexts, named } from "./hold_texts.js";
import { nameOf } from "./names.js";

/** @import { FiredRule, HoldAreas, HoldSender } from "../push_documents" */

/** @type {HoldAreas} */
let areas = {};

/** @param {HoldAreas} known the areas that holds and their evidence name */
export function useHoldAreas(known) {
  areas = { ...areas, ...known };
}

/** Forget all areas. */
export function forgetHoldAreas() {
  areas = {};
}

/** @param {string} id @param {string} [beside] another unit, whose municipality need not be said again */
export const place = (id, beside) => placeText(id, areas, nameOf, beside);

/** How evidence about a unit names things. @param {string} unit */
const words = (unit) => ({
  place: (/** @type {string} */ id) => place(id, unit),
  area: (/** @type {string} */ id) => areaText(id, areas, nameOf),
  status: statusName,
  moment: dayAndTime,
  date,
});

/**
 * Return why a rule fired, without the place.
 *
 * @param {FiredRule} rule
 * @param {{unit: string}} report
 */
export const ruleSentence = (rule, { unit }) => sentenceOf(holdTexts().sentences, rule, unit, words(unit));

/** @param {string} code */
export const ruleName = (code) => named(holdTexts().rules, code);

/** @param {HoldSender} sender */
export const tokenName = ({ token, note }) => holdTexts().by(token, note);
