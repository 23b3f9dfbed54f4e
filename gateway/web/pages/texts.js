// The languages of the pages, and which of them a reader gets. Each language is a module in texts/: its NAME as it
// calls itself, its LOCALES for figures and times (the first that the browser knows), and its texts. A text that
// depends on figures is a function. Counts are passed as numbers and formatted here, since the noun follows the
// number; times, durations and shares are passed as formatted texts. The door lists the modules in the page, so that
// a language is added by adding its file.

/**
 * @typedef {object} Figures
 * @property {(n: number) => string} number a number as the language writes it
 * @property {(n: number) => string} signed a difference other than zero: "+1,234", "−1,234"
 * @property {(n: number, one: string, other: string) => string} noun one of two forms of a noun
 * @property {(n: number, one: string, other: string) => string} count a number and noun: "1 vote", "2 votes"
 * @property {(n: number, once: string, other: string) => string} times how often: "once", "2 times"
 * @property {(texts: readonly string[]) => string} either "a, b or c"
 * @property {(texts: readonly string[]) => string} both "a, b and c"
 * @property {(texts: readonly string[]) => string} listed "a, b, c"
 * @property {(text: string) => string} sentence the text with a capital letter, and a full stop if it has none
 */
/** @typedef {{[key: string]: string}} Names texts by a code; one that is missing is shown as its code */
/** @typedef {{[code: string]: (unit: string, ballots: number) => string}} Explanations what corrections look like */
/** @typedef {ReturnType<typeof import("./texts/nb.js").texts>} Texts */
/**
 * @typedef {object} Language a module in texts/
 * @property {string} NAME
 * @property {string[]} LOCALES
 * @property {(figures: Figures) => Texts} texts
 */
/** @typedef {{tag: string, locales: string[], texts: Texts}} Loaded */

const STORAGE_KEY = "valgnatt.language";
const FALLBACK = "en";

/**
 * Names of all languages by tag (BCP 47), in the order of the menu.
 *
 * @type {{[tag: string]: string}}
 */
export const LANGUAGES = JSON.parse(document.documentElement.dataset.languages ?? "{}");

/** Return the language of the address, or else that which the reader chose before, or the first that the browser asks for. */
export const preferredLanguage = () =>
  firstKnown(new URLSearchParams(location.search).getAll("lang")) ??
  storedLanguage() ??
  firstKnown(navigator.languages) ??
  FALLBACK;

/**
 * Return a language and those to look for in its place: nn-NO, nn. Source: RFC 4647, section 3.4, "Lookup".
 *
 * @param {string} range
 */
export function lookupTags(range) {
  const subtags = range.split("-");
  return subtags.map((_, index) => subtags.slice(0, subtags.length - index).join("-"));
}

/**
 * Return the first language that there is, or undefined: `nn-NO` is nynorsk, and Norwegian without a written standard
 * is bokmål.
 *
 * @param {readonly string[]} wanted
 */
function firstKnown(wanted) {
  for (const range of wanted) {
    for (const tag of lookupTags(range)) {
      const found = tag === "no" ? "nb" : tag;
      if (Object.hasOwn(LANGUAGES, found)) return found;
    }
  }
  return undefined;
}

function storedLanguage() {
  try {
    const stored = localStorage.getItem(STORAGE_KEY);
    return stored !== null && Object.hasOwn(LANGUAGES, stored) ? stored : null;
  } catch {
    return null; // storage is disabled
  }
}

/** @param {string} tag */
export function storeLanguage(tag) {
  try {
    localStorage.setItem(STORAGE_KEY, tag);
  } catch {
    // storage is disabled: the choice lasts as long as the page
  }
}

/**
 * Load the texts of a language. Rejects if its module cannot be loaded.
 *
 * @param {string} tag
 * @returns {Promise<Loaded>}
 */
export async function loadLanguage(tag) {
  /** @type {Language} */
  const { LOCALES, texts } = await import(`./texts/${tag}.js`);
  return { tag, locales: LOCALES, texts: texts(figures(LOCALES)) };
}

/**
 * @param {string[]} locales
 * @returns {Figures}
 */
export function figures(locales) {
  const rules = new Intl.PluralRules(locales);
  const { format } = new Intl.NumberFormat(locales);
  /** @type {Figures["noun"]} */
  const noun = (n, one, other) => (rules.select(n) === "one" ? one : other);
  return {
    number: format,
    signed: (n) => `${n > 0 ? "+" : "−"}${format(Math.abs(n))}`,
    noun,
    count: (n, one, other) => `${format(n)} ${noun(n, one, other)}`,
    either: (texts) => new Intl.ListFormat(locales, { type: "disjunction" }).format(texts),
    both: (texts) => new Intl.ListFormat(locales, { type: "conjunction" }).format(texts),
    listed: (texts) => texts.join(", "),
    sentence: (text) => {
      const capital = text.charAt(0).toLocaleUpperCase(locales) + text.slice(1);
      return /[.?!]$/.test(capital) ? capital : `${capital}.`;
    },
    times: (n, once, other) => (n === 1 ? once : `${format(n)} ${other}`),
  };
}
