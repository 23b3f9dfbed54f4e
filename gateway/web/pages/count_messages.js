// Mistakes in a file with counts, and notes on how it was read, as sentences in the language of the page: from the code,
// the place and the parameters that the door gives. A message without a sentence stays in English.

import { categoryName } from "./findings.js";
import { currentLanguage, currentLocales, date, dayAndTime, onLanguageChange, t } from "./format.js";
import { nameOfArea } from "./own_areas.js";
import { figures } from "./texts.js";

/** @import { FileMessage } from "../push_documents" */

/** @typedef {{[code: string]: (parameters: {[name: string]: any}) => string}} Sentences */
/**
 * @typedef {object} FileTexts
 * @property {(line: number) => string} line
 * @property {(first: number, last: number) => string} lines
 * @property {(line: number, element: number) => string} element
 * @property {(letters: string, header: string | null) => string} column
 * @property {Sentences} messages
 */
/** @typedef {{text: string, english: boolean}} Shown */

/** How parameters of these names are shown if they are texts, or a list of texts.
 *
 * @type {{[name: string]: (value: string) => string}}
 */
const FORMATS = {
  time: timeText,
  other_time: timeText,
  now: timeText,
  date,
  status: word,
  here: word,
  there: word,
  known: word,
};
/** @type {(() => void)[]} */
const listeners = [];
/** @type {FileTexts | null} */
let texts = await load();

onLanguageChange(async () => {
  texts = null;
  texts = await load();
  for (const listener of listeners) listener();
});

/** @param {() => void} listener called when the sentences of another language are there */
export function onMessages(listener) {
  listeners.push(listener);
}

/** @returns {Promise<FileTexts | null>} null if the language has no sentences */
async function load() {
  const locales = currentLocales();
  try {
    const own = await import(`./file_texts/${currentLanguage()}.js`);
    return own.texts(figures(locales));
  } catch {
    return null;
  }
}

/**
 * Return a message as a sentence, with its place before it.
 *
 * @param {FileMessage} message
 * @returns {Shown}
 */
export function messageText(message) {
  const said = texts === null ? null : sentence(texts, message, true);
  if (texts === null || said === null) return { text: message.text, english: true };
  const at = place(texts, message);
  return { text: at === "" ? said : `${capital(at)}: ${said}`, english: false };
}

/**
 * @param {FileTexts} of
 * @param {FileMessage} message
 */
function place(of, { line, last_line, element, column, header, path, unit, name, category }) {
  const shown = [];
  if (line !== null && last_line !== null && last_line !== line) shown.push(of.lines(line, last_line));
  else if (line !== null) shown.push(element === null ? of.line(line) : of.element(line, element));
  if (column !== null) shown.push(of.column(column, header));
  if (path !== null) shown.push(path);
  if (unit !== null) shown.push([unit, nameOfArea(unit, name ?? "")].filter(unlike).join(" "));
  if (category !== null) shown.push(categoryName(category));
  return shown.join(", ");
}

/** @param {string} text @param {number} place @param {string[]} all */
const unlike = (text, place, all) => all.indexOf(text) === place;

/**
 * Return the sentence for a code, or null if the language has none for it, or for a clause of it.
 *
 * @param {FileTexts} of
 * @param {{code: string, parameters: {[name: string]: any}}} message
 * @param {boolean} whole whether it is no clause, so that its times are shown as the page shows times
 * @returns {string | null}
 */
function sentence(of, { code, parameters }, whole) {
  if (!Object.hasOwn(of.messages, code)) return null;
  const shown = Object.entries(parameters).map(([name, value]) => {
    const format = whole ? FORMATS[name] : undefined;
    if (format !== undefined && Array.isArray(value)) return [name, value.map(format)];
    return [name, format !== undefined && typeof value === "string" ? format(value) : resolved(of, value)];
  });
  if (shown.some(([, value]) => value === undefined || (Array.isArray(value) && value.includes(undefined)))) {
    return null;
  }
  return of.messages[code]?.(Object.fromEntries(shown)) ?? null;
}

/**
 * Return a parameter with its clauses and places as texts; undefined if the language has no text for one.
 *
 * @param {FileTexts} of
 * @param {any} value
 * @returns {any}
 */
function resolved(of, value) {
  if (Array.isArray(value)) return value.map((each) => resolved(of, each));
  if (value === null || typeof value !== "object") return value;
  if (typeof value.code === "string") return sentence(of, value, false) ?? undefined;
  return value.element === null ? of.line(value.line) : of.element(value.line, value.element);
}

/** @param {string} text */
const capital = (text) => text.charAt(0).toLocaleUpperCase() + text.slice(1);

/** @param {string} value */
function timeText(value) {
  return Number.isNaN(Date.parse(value)) ? value : dayAndTime(value);
}

/** @param {string} value a status, a reason or a category */
function word(value) {
  return (t("statuses")[value] ?? t("reasons")[value] ?? categoryName(value)).toLocaleLowerCase();
}
