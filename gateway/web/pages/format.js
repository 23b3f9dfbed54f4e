// The language of the page, and numbers, times and durations in it.

import { TEXTS } from "./texts.js";

const KEY = "valgnatt.language";
const LOCALES = { nb: "nb-NO", en: "en-GB" };

let language = remembered() ?? (/^(nb|nn|no)\b/i.test(navigator.language) ? "nb" : "en");
let timeZone;
let formats = {};
const listeners = [];

function remembered() {
  try {
    const found = localStorage.getItem(KEY);
    return found in TEXTS ? found : null;
  } catch {
    return null; // a browser that keeps nothing
  }
}

export const t = (key) => TEXTS[language][key];
export const current = () => language;

export function onLanguage(listener) {
  listeners.push(listener);
}

export function switchLanguage() {
  language = language === "nb" ? "en" : "nb";
  formats = {};
  try {
    localStorage.setItem(KEY, language);
  } catch {
    // it holds for this visit
  }
  for (const listener of listeners) listener();
}

/** Tell times as the election's own zone has them. */
export function useTimeZone(name) {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    timeZone = name;
    formats = {};
  } catch {
    timeZone = undefined;
  }
}

function format(name, make) {
  formats[name] ??= make(LOCALES[language]);
  return formats[name];
}

const integer = () => format("integer", (locale) => new Intl.NumberFormat(locale));
const decimal = () =>
  format(
    "decimal",
    (locale) => new Intl.NumberFormat(locale, { maximumFractionDigits: 1, minimumFractionDigits: 1 }),
  );
const percent = () =>
  format(
    "percent",
    (locale) =>
      new Intl.NumberFormat(locale, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 }),
  );
const signed = () =>
  format("signed", (locale) => new Intl.NumberFormat(locale, { signDisplay: "exceptZero" }));
const clock = () =>
  format(
    "clock",
    (locale) =>
      new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone }),
  );
const brief = () =>
  format(
    "brief",
    (locale) => new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", timeZone }),
  );
const dayTime = () =>
  format(
    "dayTime",
    (locale) =>
      new Intl.DateTimeFormat(locale, {
        day: "numeric",
        month: "short",
        hour: "2-digit",
        minute: "2-digit",
        second: "2-digit",
        timeZone,
      }),
  );
const day = () =>
  format("day", (locale) => new Intl.DateTimeFormat(locale, { dateStyle: "long", timeZone: "UTC" }));

export const number = (value) => integer().format(value);
export const change = (value) => signed().format(value);
export const share = (part, whole) => (whole > 0 ? percent().format(part / whole) : "–");
export const time = (value) => clock().format(new Date(value));
export const briefTime = (value) => brief().format(new Date(value));
export const date = (value) => day().format(new Date(value));
export const compare = (a, b) =>
  format("collator", (locale) => new Intl.Collator(locale, { numeric: true })).compare(a, b);

/** The time, with its day where that is not today. */
export function moment(value) {
  const then = new Date(value);
  return Math.abs(Date.now() - then) < 12 * 3600e3 ? clock().format(then) : dayTime().format(then);
}

/** Seconds as people say them: 43 ms, 0.4 s, 34 s, 3 min 12 s, 2 h 5 min, 3 d 4 h. */
export function duration(seconds) {
  const s = Math.max(0, seconds);
  const hours = current() === "nb" ? "t" : "h";
  if (s < 0.1) return `${number(Math.max(1, Math.round(1000 * s)))} ms`;
  if (s < 9.95) return `${decimal().format(s)} s`;
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} ${hours} ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} ${hours}`;
}

/** Whole seconds, for what is told anew each second. */
export const age = (seconds) => (seconds < 60 ? `${Math.max(0, Math.floor(seconds))} s` : duration(seconds));

/** Milliseconds left as a clock that runs backwards. */
export function countdown(ms) {
  const left = Math.max(0, Math.ceil(ms / 1000));
  const two = (value) => String(value).padStart(2, "0");
  const within = `${two(Math.floor((left % 86400) / 3600))}:${two(Math.floor((left % 3600) / 60))}:${two(left % 60)}`;
  return left >= 86400 ? `${number(Math.floor(left / 86400))} d ${within}` : within;
}
