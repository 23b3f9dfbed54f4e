// Texts that only some pages need, from a folder of their own with a module for each language. A language without them
// gets those in English.

import { currentLanguage, currentLocales, onLanguageChange } from "./format.js";
import { figures } from "./texts.js";

/** @import { Figures } from "./texts.js" */

/**
 * @template T
 * @typedef {object} ExtraTexts
 * @property {T} current the texts
 * @property {string} tag the language for which they were loaded
 * @property {(listener: () => void) => void} onChange the listener is called when the texts of another language are there
 */

const FALLBACK = "en";

/**
 * Load the texts of a folder, now and after each change of the language. Rejects if they cannot be loaded now.
 *
 * @template T
 * @param {(tag: string) => Promise<{texts: (figures: Figures) => T}>} importModule of a language
 * @returns {Promise<ExtraTexts<T>>}
 */
export async function extraTexts(importModule) {
  /** @type {(() => void)[]} */
  const listeners = [];
  const load = async () => {
    const tag = currentLanguage();
    const module = await importModule(tag).catch(() => importModule(FALLBACK));
    return { current: module.texts(figures(currentLocales())), tag };
  };
  /** @type {ExtraTexts<T>} */
  const loaded = { ...(await load()), onChange: (listener) => listeners.push(listener) };
  onLanguageChange(async () => {
    Object.assign(loaded, await load().catch(() => null));
    for (const listener of listeners) listener();
  });
  return loaded;
}
