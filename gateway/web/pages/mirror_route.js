// The format of a mirror: the names of its files, live.json, and which files bring a reader to its newest state. Section 13
// of the contract describes it, and gateway/wire/mirror.py is the same in Python: the tests compare the two. PURE.

/** @import { Live, LiveProfile } from "../documents" */

/** @typedef {{sequence: number, cursor: string, history: string | null}} Position of a reader; `history` is null after a stream */
/** @typedef {{files: string[], snapshot: boolean}} Route files to apply in this order; whether the first replaces the copy */

export const FORMAT = "valgnatt-mirror/1";
export const COUNTRY = "country";
export const DEFAULT = "default";

const BEHIND_INTERVALS = 3;
const BEHIND_MORE_S = 5;
const PLAIN = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/;
const HISTORY = /^[0-9TZ]{16}-[0-9a-f]{8}$/;
const PLAIN_CHARACTER = /^[A-Za-z0-9_-]$/;

/** A file of a mirror that is not of this format. */
export class MalformedMirror extends Error {}

/**
 * Read `live.json`. Throws MalformedMirror.
 *
 * @param {string} text
 * @returns {Live}
 */
export function readLive(text) {
  /** @type {unknown} */
  let live = null;
  try {
    live = JSON.parse(text);
  } catch {
    // not even JSON
  }
  if (!isLive(live)) throw new MalformedMirror("not a live.json");
  return live;
}

/**
 * @param {any} live
 * @returns {live is Live}
 */
function isLive(live) {
  return (
    live?.format === FORMAT &&
    HISTORY.test(live.history) &&
    isSequence(live.sequence) &&
    /^[0-9a-f]{64}$/.test(live.chain) &&
    typeof live.election === "string" &&
    typeof live.cursor === "string" &&
    (live.published_at === null || isTime(live.published_at)) &&
    isTime(live.written_at) &&
    (live.closed_at == null || isTime(live.closed_at)) &&
    Number.isInteger(live.every_s) &&
    [live.documents, live.ranges, live.holds].every(isSequence) &&
    Array.isArray(live.recent) &&
    live.recent.every((/** @type {unknown} */ each) => typeof each === "string") &&
    Object.entries(live.profiles).every(([name, profile]) => PLAIN.test(name) && isProfile(profile, live))
  );
}

/** @param {unknown} value */
const isSequence = (value) => Number.isSafeInteger(value) && Number(value) >= 0;

/** @param {unknown} value */
const isTime = (value) => typeof value === "string" && !Number.isNaN(Date.parse(value));

/**
 * Whether the files of a profile are in order.
 *
 * @param {any} profile
 * @param {{sequence: number}} live
 */
function isProfile({ at, snapshot, since = [], steps = [] }, live) {
  return (
    Array.isArray(since) &&
    Array.isArray(steps) &&
    [at, snapshot, ...since, ...steps].every(isSequence) &&
    at <= live.sequence &&
    snapshot <= at &&
    since.every((each) => each < at) &&
    (snapshot === at || since.includes(snapshot)) &&
    steps.every((each, place) => place === 0 || each > steps[place - 1]) &&
    (!steps.length || steps.at(-1) === at)
  );
}

/**
 * Return an identifier as the name of a file: the same one if it is plain. Each character but ASCII letters, digits, `-`,
 * `_` and `.` (not first) becomes `_xHHHH_`, and `_x` becomes `_x005F_x`.
 *
 * @param {string} identifier
 */
export const fileName = (identifier) =>
  Array.from(identifier.replaceAll("_x", "_x005F_x"), (character, place) =>
    PLAIN_CHARACTER.test(character) || (character === "." && place > 0)
      ? character
      : `_x${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}_`,
  ).join("");

/**
 * Return the name of the profile of an area below the root and of everything below it.
 *
 * @param {string} area
 */
export const areaProfile = (area) => `area-${fileName(area)}`;

/** @param {string} election */
export const electionFile = (election) => `v1/elections/${election}`;

/**
 * Return the fewest files that bring a reader to the state of `live`; null if the reader is ahead, and so has to wait. A
 * delta can be applied to a copy of any moment from its beginning on, because areas have absolute values. If the cursor
 * of the reader is not known to be of this record, the route begins with a snapshot.
 *
 * @param {Live} live
 * @param {string} name of the profile, which `live` has to have
 * @param {Position | null} reader
 * @returns {Route | null}
 */
export function route(live, name, reader) {
  const profile = live.profiles[name];
  if (!profile) throw new MalformedMirror(`no profile ${name}`);
  const path = (/** @type {string} */ file) =>
    `${electionFile(live.election)}/live/${live.history}/${name}/${file}.ndjson`;
  const isOurs = reader?.history === live.history;
  if (reader && (reader.history === null || isOurs) && reader.sequence > live.sequence) return null;
  if (reader && (isOurs || live.recent.includes(reader.cursor))) {
    if (reader.sequence >= profile.at) return { files: [], snapshot: false };
    const deltas = shortest(profile, reader.sequence);
    if (deltas) return { files: deltas.map(([since, to]) => path(`${since}_${to}`)), snapshot: false };
  }
  const { at, snapshot } = profile;
  const files = [`at_${snapshot}`, ...(at > snapshot ? [`${snapshot}_${at}`] : [])];
  return { files: files.map(path), snapshot: true };
}

/**
 * Return the deltas after a sequence: up to two steps, or else one from before them; null if there is none.
 *
 * @param {LiveProfile} profile
 * @param {number} sequence
 * @returns {[since: number, to: number][] | null}
 */
function shortest({ at, since = [], steps = [] }, sequence) {
  const [first = Infinity] = steps;
  /** @type {[number, number][]} */
  const pairs = steps.slice(1).map((to, place) => [steps[place] ?? 0, to]);
  const following = first <= sequence ? pairs.filter(([, to]) => to > sequence) : [];
  if (following.length === 1 || following.length === 2) return following;
  const earlier = since.filter((each) => each <= sequence);
  if (earlier.length) return [[Math.max(...earlier), at]];
  return following.length ? following : null;
}

/**
 * Whether a mirror is behind whose `written_at` is some seconds old; never once the election is closed.
 *
 * @param {number} every_s
 * @param {number} age_s
 * @param {string | null} [closed_at]
 */
export const isBehind = (every_s, age_s, closed_at = null) =>
  closed_at === null && age_s > BEHIND_INTERVALS * every_s + BEHIND_MORE_S;
