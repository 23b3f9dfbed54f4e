// Ranges of the public record: what every cache may keep for good, at a door or in a mirror. Used by pages and their workers.

import { BadAnswer, fetchGood, LARGE_LIMIT_MS } from "./fetching.js";

/** @import { Publication } from "../documents" */
/** @import { RecordUrls } from "./document_urls.js" */

/** Publications in a range. */
export const RANGE = 1000;
/** Pages of publications that begin at a multiple of this are shared by all who read them. */
const SHARED = 100;
const NOT_FOUND = 404;

/**
 * Fetch a whole range. Under the chain value of its last publication it never changes, so caches may keep it. Throws
 * where it cannot be read.
 *
 * @param {RecordUrls} urls
 * @param {number} before the sequence before the range, a multiple of RANGE
 * @returns {Promise<string>} publications, one per line
 */
export async function fetchRange({ election, history }, before) {
  if (history !== null) return fetchRangeFile(election, history, before);
  const path = `${election}/publications/${before + 1}-${before + RANGE}`;
  const head = await fetchGood(path, { method: "HEAD" });
  const chain = head.headers.get("ETag")?.replaceAll('"', "");
  return fetchText(chain ? `${path}?chain=${chain}` : path);
}

/**
 * Fetch the newest publications: those after a sequence, and up to a hundred before it, so that readers at different
 * positions request the same. Throws where they cannot be read.
 *
 * @param {RecordUrls} urls
 * @param {number} before
 * @returns {Promise<string>} publications, one per line
 */
export async function fetchNewest({ election, history }, before) {
  if (history !== null) return fetchRestFile(election, history, before);
  return fetchText(`${election}/publications?after=${before - (before % SHARED)}&limit=${RANGE}`, "no-store");
}

/**
 * Fetch the publications after a sequence, up to the end of its range; a mirror may have others around them. Throws where
 * they cannot be read.
 *
 * @param {RecordUrls} urls
 * @param {number} before
 * @returns {Promise<string>} publications, one per line
 */
export async function fetchRest({ election, history }, before) {
  if (history !== null) return fetchRestFile(election, history, before);
  return fetchText(`${election}/publications?after=${before}&limit=${RANGE - (before % RANGE)}`, "no-store");
}

/**
 * Fetch one publication. Throws where it cannot be read.
 *
 * @param {RecordUrls} urls
 * @param {number} sequence
 * @returns {Promise<Publication>}
 */
export async function fetchPublication(urls, sequence) {
  const { election, history } = urls;
  const text =
    history === null
      ? await fetchText(`${election}/publications?after=${sequence - 1}&limit=1`, "no-store")
      : await fetchRest(urls, sequence - 1);
  const lines = text.split("\n").filter(Boolean);
  const found = lines.map((line) => JSON.parse(line)).find((each) => each.sequence === sequence);
  if (!found) throw new Error(`no publication ${sequence}`);
  return found;
}

/**
 * @param {string} election
 * @param {string} history
 * @param {number} before
 */
async function fetchRangeFile(election, history, before) {
  try {
    return await fetchText(rangeFile(election, history, before));
  } catch (error) {
    if (!(error instanceof BadAnswer) || error.status !== NOT_FOUND) throw error;
    return fetchText(restFile(election)); // the range was completed a moment ago
  }
}

/**
 * Fetch what follows the last complete range; if that has been completed meanwhile, the range.
 *
 * @param {string} election
 * @param {string} history
 * @param {number} before
 */
async function fetchRestFile(election, history, before) {
  const text = await fetchText(restFile(election));
  const [first] = text.split("\n", 1);
  const isLater = first && JSON.parse(first).sequence > before + 1;
  return isLater ? fetchText(rangeFile(election, history, before - (before % RANGE))) : text;
}

/** @param {string} election */
const restFile = (election) => `${election}/publications/rest.ndjson`;

/**
 * @param {string} election
 * @param {string} history
 * @param {number} before
 */
const rangeFile = (election, history, before) =>
  `${election}/publications/${history}/${before + 1}-${before + RANGE}.ndjson`;

/**
 * @param {string} path
 * @param {RequestCache} [cache]
 */
const fetchText = async (path, cache = "default") =>
  (await fetchGood(path, { cache, limit_ms: LARGE_LIMIT_MS })).text();
