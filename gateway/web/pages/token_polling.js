// Reads a document with a token, again and again while the page is visible. The token is kept in a variable until the
// signal is aborted, and nowhere else.

import { fetchJson, Pauses, pause, visible } from "./fetching.js";

/**
 * Poll until the signal is aborted.
 *
 * @param {string} url
 * @param {string} token
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {number} options.interval_ms
 * @param {(document: any) => void} options.onDocument
 * @param {(error: unknown) => void} options.onError called after each attempt that failed
 */
export async function pollWithToken(url, token, { signal, interval_ms, onDocument, onError }) {
  const headers = { Authorization: `Bearer ${token}` };
  const pauses = new Pauses();
  while (!signal.aborted) {
    try {
      const document = await fetchJson(url, { headers, cache: "no-store", credentials: "omit" });
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
