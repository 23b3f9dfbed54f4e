// The language of the page, and numbers, times and durations in it.

import { LANGUAGES, loadLanguage, preferredLanguage, storeLanguage } from "./texts.js";

/** @import { Texts } from "./texts.js" */

const TODAY_MS = 12 * 3600e3; // times within this of now are shown without their date

let language = await loadLanguage(preferredLanguage());
/** @type {string | undefined} */
let timeZone;
/** @type {(() => void)[]} */
const listeners = [];

/**
 * Return a text in the language of the page.
 *
 * @template {keyof Texts} K
 * @param {K} key
 * @returns {Texts[K]}
 */
export const t = (key) => language.texts[key];

/**
 * Return a text by a key that a page names in its HTML.
 *
 * @param {string | undefined} key
 */
export function plainText(key) {
  const found = language.texts[/** @type {keyof Texts} */ (key)];
  if (typeof found !== "string") throw new Error(`no such text: ${key}`);
  return found;
}

/** Return the tag (BCP 47) of the language of the page. */
export const currentLanguage = () => language.tag;

/** Return the locales of its figures and times. */
export const currentLocales = () => language.locales;

/** @param {() => void} listener called after each change of the language */
export function onLanguageChange(listener) {
  listeners.push(listener);
}

/**
 * Change the language, and remember the choice. It stays as it was if the texts cannot be loaded.
 *
 * @param {string} tag
 */
export async function switchLanguage(tag) {
  if (!Object.hasOwn(LANGUAGES, tag)) return;
  language = await loadLanguage(tag).catch(() => language);
  formats = makeFormats();
  storeLanguage(language.tag);
  for (const listener of listeners) listener();
}

/**
 * Show times in the time zone of the election.
 *
 * @param {string} name an IANA time zone; where the browser does not know it, its own is used
 */
export function useTimeZone(name) {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    timeZone = name;
  } catch {
    timeZone = undefined;
  }
  formats = makeFormats();
}

function makeFormats() {
  const locale = language.locales;
  const zone = timeZone === undefined ? {} : { timeZone };
  /** @type {Intl.DateTimeFormatOptions} */
  const minutes = { hour: "2-digit", minute: "2-digit", ...zone };
  /** @type {Intl.DateTimeFormatOptions} */
  const seconds = { ...minutes, second: "2-digit" };
  const oneDecimal = { minimumFractionDigits: 1, maximumFractionDigits: 1 };
  return {
    integer: new Intl.NumberFormat(locale),
    decimal: new Intl.NumberFormat(locale, oneDecimal),
    percent: new Intl.NumberFormat(locale, { style: "percent", ...oneDecimal }),
    wholePercent: new Intl.NumberFormat(locale, { style: "percent" }),
    points: new Intl.NumberFormat(locale, { signDisplay: "exceptZero", ...oneDecimal }),
    bound: new Intl.NumberFormat(locale, { signDisplay: "exceptZero", maximumFractionDigits: 2 }),
    signed: new Intl.NumberFormat(locale, { signDisplay: "exceptZero" }),
    minutes: new Intl.DateTimeFormat(locale, minutes),
    seconds: new Intl.DateTimeFormat(locale, seconds),
    dayMinutes: new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", ...minutes }),
    daySeconds: new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", ...seconds }),
    dayAndTime: new Intl.DateTimeFormat(locale, { dateStyle: "short", timeStyle: "medium", ...zone }),
    date: new Intl.DateTimeFormat(locale, { dateStyle: "long", timeZone: "UTC" }),
    collator: new Intl.Collator(locale, { numeric: true }),
  };
}

let formats = makeFormats();

/** @typedef {string | number} Time an RFC 3339 time, or milliseconds since 1970 */

/** @param {number} value */
export const number = (value) => formats.integer.format(value);

/** @param {number} value */
export const signedNumber = (value) => formats.signed.format(value);

/** @param {number} value in percentage points @returns {string} with a sign and one decimal: "+1.2", "−0.4", "0.0" */
export const points = (value) => withMinus(formats.points.format(value));

/** @param {number} value @returns {string} with a sign, and no more decimals than it has: "+3", "−0.25" */
export const bound = (value) => withMinus(formats.bound.format(value));

/** @param {string} text a number; some languages write the minus sign as a hyphen */
const withMinus = (text) => text.replace("-", "−");

/** @param {number} part @param {number | null} whole */
export const share = (part, whole) => (whole ? formats.percent.format(part / whole) : "–");

/** @param {number} part of 1 */
export const wholePercent = (part) => formats.wholePercent.format(part);

/** @param {Time} value */
export const time = (value) => formats.seconds.format(new Date(value));

/** @param {Time} value */
export const timeInMinutes = (value) => formats.minutes.format(new Date(value));

/**
 * Return a time in minutes, with its date unless it is near.
 *
 * @param {Time} value
 */
export function clockTime(value) {
  const then = new Date(value);
  return (isNear(then) ? formats.minutes : formats.dayMinutes).format(then);
}

/** @param {Date} then */
const isNear = (then) => Math.abs(Date.now() - then.getTime()) < TODAY_MS;

/** @param {Time} value */
export const dayAndTime = (value) => formats.dayAndTime.format(new Date(value));

/** @param {string} value */
export const date = (value) => formats.date.format(new Date(value));

/** @param {string} a @param {string} b */
export const compare = (a, b) => formats.collator.compare(a, b);

/**
 * Return a time, with its date unless it is of today.
 *
 * @param {Time} value
 */
export function moment(value) {
  const then = new Date(value);
  return (isNear(then) ? formats.seconds : formats.daySeconds).format(then);
}

/**
 * Return a duration in the two largest units: 43 ms, 0.4 s, 34 s, 3 min 12 s, 2 h 5 min, 3 d 4 h.
 *
 * @param {number} seconds
 */
export function duration(seconds) {
  const s = Math.max(0, seconds);
  const hours = t("hours");
  if (s < 0.1) return `${number(Math.max(1, Math.round(1000 * s)))} ms`;
  if (s < 9.95) return `${formats.decimal.format(s)} s`;
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} ${hours} ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} ${hours}`;
}

/**
 * Return a duration in whole seconds, for what is redrawn each second.
 *
 * @param {number} seconds
 */
export const age = (seconds) => (seconds < 60 ? `${Math.max(0, Math.floor(seconds))} s` : duration(seconds));

/**
 * Return the time left as a clock that runs backwards: 00:41:59.
 *
 * @param {number} ms
 */
export function countdown(ms) {
  const left = Math.max(0, Math.ceil(ms / 1000));
  const [hours, minutes, seconds] = [
    Math.floor((left % 86400) / 3600),
    Math.floor((left % 3600) / 60),
    left % 60,
  ];
  const clock = [hours, minutes, seconds].map((value) => String(value).padStart(2, "0")).join(":");
  return left >= 86400 ? `${number(Math.floor(left / 86400))} d ${clock}` : clock;
}
