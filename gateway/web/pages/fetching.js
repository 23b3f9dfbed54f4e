// Every request of the pages: with a limit in time, and repeated until it succeeds. Between two attempts there
// is a pause that grows and is random, is as long as the server asks for, and ends early when the page wakes up.

import { onWake } from "./waking.js";

export const DOCUMENT_LIMIT_MS = 10_000;
/** For documents of a megabyte, and answers that wait for a position in the record. */
export const LARGE_LIMIT_MS = 60_000;

const PAUSE_FIRST_MS = 1000;
const PAUSE_MAX_MS = 15_000;
const RETRY_AFTER_MAX_MS = 300_000;
const HIDDEN_CHECK_MS = 60_000;

/** An answer that is of no use. */
export class BadAnswer extends Error {
  /** @param {Response} response */
  constructor(response) {
    super(`status ${response.status}`);
    this.status = response.status;
    /** How long the server asks to wait, in milliseconds. */
    this.retryAfter_ms = retryAfter_ms(response.headers.get("Retry-After"));
  }
}

/**
 * Read a Retry-After header: seconds or a date. Source: RFC 9110, section 10.2.3.
 *
 * @param {string | null} value
 */
export function retryAfter_ms(value) {
  if (value === null) return 0;
  const wait_ms = /^\s*\d+\s*$/.test(value) ? 1000 * Number(value) : Date.parse(value) - Date.now();
  return Number.isNaN(wait_ms) ? 0 : Math.min(Math.max(wait_ms, 0), RETRY_AFTER_MAX_MS);
}

/**
 * Fetch something; the body has to arrive within the limit too. Throws where there is no answer.
 *
 * @param {string} path
 * @param {RequestInit & {limit_ms?: number}} [options]
 */
export const fetchWithin = (path, { limit_ms = DOCUMENT_LIMIT_MS, ...options } = {}) =>
  fetch(path, { ...options, signal: AbortSignal.timeout(limit_ms) });

/**
 * Fetch something; throws BadAnswer for another status than 2xx.
 *
 * @param {string} path
 * @param {RequestInit & {limit_ms?: number}} [options]
 */
export async function fetchGood(path, options) {
  const response = await fetchWithin(path, options);
  if (!response.ok) throw new BadAnswer(response);
  return response;
}

/**
 * Fetch a JSON document. Throws where there is none.
 *
 * @param {string} path
 * @param {RequestInit & {limit_ms?: number}} [options]
 * @returns {Promise<any>}
 */
export const fetchJson = async (path, options) =>
  (await fetchGood(path, { headers: { Accept: "application/json" }, ...options })).json();

/** Pauses between attempts. */
export class Pauses {
  #failures = 0;

  /**
   * @param {number} [first_ms]
   * @param {number} [max_ms]
   */
  constructor(first_ms = PAUSE_FIRST_MS, max_ms = PAUSE_MAX_MS) {
    this.first_ms = first_ms;
    this.max_ms = max_ms;
  }

  /** Begin with short pauses again, after a success. */
  reset() {
    this.#failures = 0;
  }

  /**
   * Wait before the next attempt.
   *
   * @param {unknown} [error] why the last one failed
   * @param {AbortSignal} [signal] ends the pause
   */
  async wait(error, signal) {
    const least_ms = error instanceof BadAnswer ? error.retryAfter_ms : 0;
    await pause(Math.max(this.next_ms(), jittered(least_ms, 1, 1.5)), least_ms, signal);
  }

  /** Return the length of the next pause in milliseconds. */
  next_ms() {
    return jittered(Math.min(this.first_ms * 2 ** this.#failures++, this.max_ms), 0.7, 1.3);
  }
}

/**
 * Wait, but no longer than until the page wakes up.
 *
 * @param {number} wait_ms
 * @param {number} least_ms how long to wait even then
 * @param {AbortSignal} [signal] ends the wait
 * @returns {Promise<void>}
 */
export function pause(wait_ms, least_ms = 0, signal) {
  const from = Date.now();
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      stopListening();
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, wait_ms);
    const stopListening = onWake(() => Math.abs(Date.now() - from) >= least_ms && end());
    signal?.addEventListener("abort", end);
    if (signal?.aborted) end();
  });
}

/**
 * Wait while the page is hidden.
 *
 * @param {AbortSignal} [signal] ends the wait
 */
export async function visible(signal) {
  while (document.hidden && !signal?.aborted) await pause(HIDDEN_CHECK_MS, 0, signal);
}

/**
 * @param {number} value
 * @param {number} least
 * @param {number} most
 */
const jittered = (value, least, most) => value * (least + (most - least) * Math.random());

/**
 * Repeat a task until it succeeds.
 *
 * @template T
 * @param {() => Promise<T>} task
 * @param {(error: unknown) => void} [onFailure] called after each attempt that failed
 * @returns {Promise<T>}
 */
export async function untilDone(task, onFailure) {
  const pauses = new Pauses();
  for (;;) {
    try {
      return await task();
    } catch (error) {
      onFailure?.(error);
      await pauses.wait(error);
    }
  }
}
