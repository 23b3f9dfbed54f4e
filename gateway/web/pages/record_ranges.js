// Whole ranges of the public record: what every cache may keep for good. Used by pages and their workers.

import { fetchGood, LARGE_LIMIT_MS } from "./fetching.js";

/** Publications in a range. */
export const RANGE = 1000;
/** Pages of publications that begin at a multiple of this are shared by all who read them. */
const SHARED = 100;

/**
 * Fetch a whole range. Under the chain value of its last publication it never changes, so caches may keep it. Throws
 * where it cannot be read.
 *
 * @param {string} election path of the election
 * @param {number} before the sequence before the range, a multiple of RANGE
 * @returns {Promise<string>} publications, one per line
 */
export async function fetchRange(election, before) {
  const path = `${election}/publications/${before + 1}-${before + RANGE}`;
  const head = await fetchGood(path, { method: "HEAD" });
  const chain = head.headers.get("ETag")?.replaceAll('"', "");
  return (await fetchGood(chain ? `${path}?chain=${chain}` : path, { limit_ms: LARGE_LIMIT_MS })).text();
}

/**
 * Fetch the newest publications: those after a sequence, and up to a hundred before it, so that readers at different
 * positions request the same. Throws where they cannot be read.
 *
 * @param {string} election path of the election
 * @param {number} before
 * @returns {Promise<string>} publications, one per line
 */
export async function fetchNewest(election, before) {
  const path = `${election}/publications?after=${before - (before % SHARED)}&limit=${RANGE}`;
  return (await fetchGood(path, { cache: "no-store", limit_ms: LARGE_LIMIT_MS })).text();
}
