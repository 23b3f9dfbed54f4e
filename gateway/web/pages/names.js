// Names of elections, areas and parties in the language of the page.

import { currentLanguage } from "./format.js";
import { lookupTags } from "./texts.js";

/** @import { Names } from "../documents" */

/**
 * Return a name in the language of the page; where there is none, `name`, which everything has. For a page in
 * `nn-NO`, that is the name in `nn-NO`, or else in `nn`.
 *
 * @param {{name: string, names?: Names}} named
 */
export function nameOf({ name, names }) {
  if (!names) return name;
  const byTag = new Map(Object.entries(names).map(([tag, each]) => [tag.toLowerCase(), each]));
  for (const tag of lookupTags(currentLanguage().toLowerCase())) {
    const found = byTag.get(tag);
    if (typeof found === "string" && found) return found;
  }
  return name;
}

/**
 * Return everything that something is called, in every language: what readers may search for.
 *
 * @param {{name: string, names?: Names}} named
 */
export const allNames = ({ name, names }) => [name, ...Object.values(names ?? {})];
