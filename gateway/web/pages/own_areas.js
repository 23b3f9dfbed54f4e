// Names of the areas of a token in the language of the page: answers to what was pasted have one name each.

import { nameOf } from "./names.js";

/** @import { OwnReports } from "../push_documents" */

/** @type {Map<string, OwnReports["municipalities"][number]>} */
let known = new Map();

/** @param {OwnReports} reports whose municipalities and units `nameOfArea` names */
export function useAreas({ municipalities, units }) {
  known = new Map([...municipalities, ...units].map((area) => [area.id, area]));
}

/**
 * Return the name of one of the token's municipalities or units in the language of the page.
 *
 * @param {string} id
 * @param {string} name if it is not known
 */
export function nameOfArea(id, name) {
  const area = known.get(id);
  return area === undefined ? name || id : nameOf(area);
}
