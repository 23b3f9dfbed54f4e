// PURE: why a rule holds a report, as a sentence that can be read out on the phone, in the language of the page.
// Members of the evidence may be missing: those about areas that the token does not cover, all together, and what a
// newer gateway no longer has.

/** @import { Evidence, FiredRule, HoldAreas } from "../push_documents" */

/**
 * @typedef {object} Words how a sentence names things
 * @property {(id: string) => string} area "3236 Jevnaker"
 * @property {(id: string) => string} place the same, and the unit if it is one: "3236 Jevnaker, 3236-0001 Sentrum"
 * @property {(code: string) => string} status
 * @property {(time: string) => string} moment
 * @property {(day: string) => string} date
 */
/** @typedef {{[code: string]: (evidence: Evidence, words: Words, unit: string) => string}} Sentences */
/** @typedef {{own: string[], others?: string[]}} Members `others`: left out together if the token does not cover them */

const DUPLICATE = {
  own: ["category", "ballots", "whole"],
  others: ["other", "other_category", "other_ballots", "difference"],
};
/** The members of the evidence of each rule. @type {{[code: string]: Members}} */
export const MEMBERS = {
  duplicate_elsewhere: DUPLICATE,
  duplicate_within: DUPLICATE,
  above_eligible: { own: ["area", "eligible", "of_unit"], others: ["before", "after"] },
  fell: { own: ["before", "after"], others: ["municipality", "municipality_ballots"] },
  party_excess: { own: ["category", "party", "before", "after"], others: ["expected", "reference"] },
  exchanged: {
    own: ["category", "more", "more_votes", "fewer", "fewer_votes"],
    others: ["more_expected", "fewer_expected", "reference"],
  },
  odd_time: { own: ["counted_at", "date", "days"] },
  exchanged_before: {
    own: ["category", "one", "one_before", "one_after", "other", "other_before", "other_after"],
  },
  party_fell: { own: ["party", "before", "after"], others: ["municipality", "municipality_votes"] },
  grew_late: { own: ["status", "before", "after"] },
};
/** Members that are texts; `other` is one in every rule. */
const TEXTS = new Set([
  ...["category", "other", "other_category", "area", "municipality", "party", "reference"],
  ...["more", "fewer", "counted_at", "date", "one", "status"],
]);
const FLAGS = new Set(["of_unit", "whole"]);

/**
 * Return why a rule fired for a report of a unit: "these 4,761 advance ballots equal those of 3203 Asker, …". Evidence
 * of another version of the gateway is shown as it is.
 *
 * @param {Sentences} sentences
 * @param {FiredRule} rule
 * @param {string} unit
 * @param {Words} words
 */
export function sentenceOf(sentences, { code, evidence }, unit, words) {
  const known = knownEvidence(code, evidence);
  const say = sentences[code];
  return known && say ? say(known, words, unit) : asItIs(code, evidence);
}

/**
 * Return evidence with the members that a sentence needs; null if they are not there or of another type.
 *
 * @param {string} code
 * @param {Evidence} evidence
 * @returns {Evidence | null}
 */
function knownEvidence(code, evidence) {
  const members = Object.hasOwn(MEMBERS, code) ? MEMBERS[code] : undefined;
  if (members === undefined) return null;
  const { own, others = [] } = members;
  const fits = (/** @type {string} */ name) => typeof evidence[name] === typeName(name);
  if (!own.every(fits)) return null;
  const names = others.every(fits) ? [...own, ...others] : own;
  return Object.fromEntries(names.map((name) => [name, evidence[name]]));
}

/** @param {string} name */
const typeName = (name) => (TEXTS.has(name) ? "string" : FLAGS.has(name) ? "boolean" : "number");

/**
 * @param {string} code
 * @param {Evidence} evidence
 */
function asItIs(code, evidence) {
  const members = Object.entries(evidence).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  const name = code.replaceAll("_", " ");
  return members.length ? `${name} (${members.join(", ")})` : name;
}

/**
 * Return the identifier and the name of an area: "3236 Jevnaker".
 *
 * @param {string} id
 * @param {HoldAreas} areas
 * @param {(area: HoldAreas[string]) => string} nameOf
 */
export function areaText(id, areas, nameOf) {
  const name = areas[id] ? nameOf(areas[id]) : id;
  return name === id ? id : `${id} ${name}`;
}

/**
 * Return a unit after its municipality, which people recognise first: "3236 Jevnaker, 3236-0001 Sentrum". Beside
 * another unit of the same municipality, that is left out.
 *
 * @param {string} id
 * @param {HoldAreas} areas
 * @param {(area: HoldAreas[string]) => string} nameOf
 * @param {string} [beside]
 */
export function placeText(id, areas, nameOf, beside = "") {
  const municipality = areas[id]?.municipality;
  const unit = areaText(id, areas, nameOf);
  const isKnown = municipality === areas[beside]?.municipality;
  return municipality === undefined || municipality === id || isKnown
    ? unit
    : `${areaText(municipality, areas, nameOf)}, ${unit}`;
}
