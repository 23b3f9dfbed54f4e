// The texts about held reports in the language of the page. A language without them gets those in English.

import { currentLanguage, currentLocales, onLanguageChange } from "./format.js";
import { figures } from "./texts.js";

/** @typedef {ReturnType<typeof import("./hold_texts/nb.js").texts>} HoldTexts */

const FALLBACK = "en";

/** @type {(() => void)[]} */
const listeners = [];
let texts = await load();

onLanguageChange(async () => {
  texts = await load().catch(() => texts);
  for (const listener of listeners) listener();
});

/** @param {() => void} listener called when the texts of another language are there */
export function onHoldTexts(listener) {
  listeners.push(listener);
}

/** Return the texts. */
export const holdTexts = () => texts;

/**
 * Return a text, or the code itself where there is none.
 *
 * @param {{[code: string]: string}} names
 * @param {string} code
 */
export const named = (names, code) => names[code] ?? code.replaceAll("_", " ");

/** @returns {Promise<HoldTexts>} */
async function load() {
  const own = await import(`./hold_texts/${currentLanguage()}.js`).catch(
    () => import(`./hold_texts/${FALLBACK}.js`),
  );
  return own.texts(figures(currentLocales()));
}
