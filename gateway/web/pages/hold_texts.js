// The texts about held reports in the language of the page. A language without them gets those in English.

import { extraTexts } from "./extra_texts.js";

/** @typedef {ReturnType<typeof import("./hold_texts/nb.js").texts>} HoldTexts */
/** @import { ExtraTexts } from "./extra_texts.js" */

/** @type {ExtraTexts<HoldTexts>} */
const texts = await extraTexts((tag) => import(`./hold_texts/${tag}.js`));

/** @param {() => void} listener called when the texts of another language are there */
export const onHoldTexts = (listener) => texts.onChange(listener);

/** Return the texts. */
export const holdTexts = () => texts.current;

/**
 * Return a text, or the code itself where there is none.
 *
 * @param {{[code: string]: string}} names
 * @param {string} code
 */
export const named = (names, code) => names[code] ?? code.replaceAll("_", " ");
