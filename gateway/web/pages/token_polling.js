// Reads a document with a token, again and again while the page is visible. The token is kept in a variable until the
// signal is aborted, and nowhere else.

import { fetchJson, Pauses, pause, visible } from "./fetching.js";

/**
 * @typedef {object} Polling
 * @property {AbortSignal} signal
 * @property {number} interval_ms
 * @property {(document: any) => void} onDocument
 * @property {(error: unknown) => void} onError called after each attempt that failed
 */

/**
 * Poll until the signal is aborted.
 *
 * @param {string} url
 * @param {string} token
 * @param {Polling} polling
 */
export function pollWithToken(url, token, polling) {
  const headers = { Authorization: `Bearer ${token}` };
  return poll(() => fetchJson(url, { headers, cache: "no-store", credentials: "omit" }), polling);
}

/**
 * Read a document again and again while the page is visible, until the signal is aborted.
 *
 * @param {() => Promise<any>} read
 * @param {Polling} polling
 */
export async function poll(read, { signal, interval_ms, onDocument, onError }) {
  const pauses = new Pauses();
  while (!signal.aborted) {
    try {
      const document = await read();
      if (signal.aborted) return;
      onDocument(document);
      pauses.reset();
      await pause(interval_ms, interval_ms, signal);
      await visible(signal);
    } catch (error) {
      if (signal.aborted) return;
      onError(error);
      await pauses.wait(error, signal);
    }
  }
}
