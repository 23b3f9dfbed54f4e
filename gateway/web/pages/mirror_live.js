// A reader of a mirror: a source of blocks beside the stream (event_stream.js). It polls `live.json`, which names the files
// that lead to the newest state (mirror_route.js), and takes each of these as a whole or not at all. It never goes back: an
// older `live.json`, from a cache that is late, changes nothing, and another mirror in the place of one that has stopped
// is waited for until it is as far. Every answer is bounded in time and size.

import { BadAnswer, DOCUMENT_LIMIT_MS, fetchGood, LARGE_LIMIT_MS, Pauses, pause } from "./fetching.js";
import { isBehind, MalformedMirror, readLive, route } from "./mirror_route.js";

/** @import { Area, Block, Live } from "../documents" */
/** @import { MirrorUrls } from "./document_urls.js" */
/** @import { Position } from "./mirror_route.js" */

/**
 * @typedef {object} MirrorStatus
 * @property {string} history
 * @property {number} every_s how often the mirror writes
 * @property {number} writtenAt when it last knew that its state is the newest, in milliseconds since 1970 by the clock here
 * @property {boolean} behind whether that is too long ago
 * @property {string | null} closedAt when the election was closed, if nothing follows
 */

const LIVE_MAX = 64 << 10;
const FILE_MAX = 32 << 20;
const EVERY_MAX_S = 60;
const JITTER = 0.2;
/** A time that has passed for longer, while files were read, does not show what the mirror's clock is. */
const QUICK_MS = 2000;
const WHOLE_EVERY_MS = 30_000;

export class MirrorReader {
  /** @type {Live | null} */
  #live = null;
  #latestHistory = "";
  /** Whether the history is not later than all before, and so that of another mirror. */
  #isOther = false;
  /** When `live.json` was last read without the browser's cache. */
  #wholeAfter = -Infinity;
  /** The last state that was applied, or that is waited for.
   *
   * @type {Live | null}
   */
  #reached = null;
  #writtenAt = 0;
  /** When this `written_at` was first seen. */
  #seenAt = 0;
  #seenAfter = 0;
  /** How old it was then, by the clocks of reader and mirror. */
  #age_ms = 0;
  /** How many lines the list of holds had in the last block; -1 before the first. */
  #holds = -1;
  #closing = new AbortController();

  /**
   * @param {MirrorUrls} urls
   * @param {string} election
   * @param {string[]} profiles the first of them that the mirror has is read
   * @param {object} callbacks
   * @param {() => Position | null} callbacks.position of the reader; null: nowhere
   * @param {(changed: Area[], block: Block, cursor: string, history: string) => void} callbacks.onBlock
   * @param {(status: MirrorStatus | null, fresh: string | null) => void} callbacks.onStatus called after each attempt; null: no
   *   answer yet. `fresh` is a time by the mirror's clock that has just passed
   */
  constructor(urls, election, profiles, { position, onBlock, onStatus }) {
    this.urls = urls;
    this.election = election;
    this.profiles = profiles;
    this.position = position;
    this.onBlock = onBlock;
    this.onStatus = onStatus;
    this.#run();
  }

  close() {
    this.#closing.abort();
  }

  async #run() {
    const { signal } = this.#closing;
    const pauses = new Pauses();
    while (!signal.aborted) {
      /** @type {unknown} */
      let failure = null;
      let fresh = null;
      try {
        fresh = await this.#poll();
        pauses.reset();
      } catch (error) {
        failure = error;
      }
      if (signal.aborted) return;
      this.onStatus(this.#status(), fresh);
      if (failure) await pauses.wait(failure, signal);
      else await pause(this.#interval_ms() * (1 + JITTER * Math.random()), 0, signal);
    }
  }

  #interval_ms() {
    const { every_s = 1, closed_at = null } = this.#live ?? {};
    return 1000 * (closed_at === null ? Math.min(Math.max(every_s, 1), EVERY_MAX_S) : EVERY_MAX_S);
  }

  /** Read what is new. Returns `written_at` if it is new. Throws where that cannot be read. */
  async #poll() {
    const { signal } = this.#closing;
    const live = await fetchLive(this.urls, this.election, this.#cache());
    if (signal.aborted || this.#isOlder(live)) return null;
    const seen = { at: Date.now(), after: performance.now() };
    const isOther = this.#isOfAnother(live);
    const position = this.position();
    // The histories of other mirrors mean nothing to this one.
    const reader =
      position && isOther && position.history !== live.history ? { ...position, history: null } : position;
    const found = route(live, this.#profile(live), reader);
    const files = await Promise.all((found?.files ?? []).map((file) => this.#file(file)));
    if (signal.aborted) return null;
    this.#isOther = isOther;
    if (live.history > this.#latestHistory) this.#latestHistory = live.history;
    const fresh = this.#note(live, seen);
    if (!found) {
      if (isOther) this.#reached = live;
      return fresh; // the reader is ahead of the mirror
    }
    /** @type {Map<string, Area>} */
    const areas = new Map();
    for (const file of files) for (const area of file) areas.set(area.area, area);
    this.#reached = live;
    const isSame = reader?.history === live.history && reader.sequence === live.sequence;
    if (isSame && live.holds === this.#holds) return fresh;
    this.#holds = live.holds;
    const block = { ...blockOf(live, found.snapshot), server_time: fresh ?? "" };
    this.onStatus(this.#status(), fresh); // first, so that documents are read where these figures are from
    this.onBlock([...areas.values()], block, live.cursor, live.history);
    return fresh;
  }

  /**
   * Return how to use the browser's cache for `live.json`: not at all now and then while the mirror is behind, as a cache on
   * the way may keep the ETag of a file that has changed.
   *
   * @returns {RequestCache}
   */
  #cache() {
    const now = performance.now();
    if (!this.#status()?.behind || now - this.#wholeAfter < WHOLE_EVERY_MS) return "no-cache";
    this.#wholeAfter = now;
    return "reload";
  }

  /**
   * Whether something is older than what was applied, from a cache that is late. Another mirror may take the place of one
   * that has stopped, with an earlier history: it is written later.
   *
   * @param {Live} live
   */
  #isOlder({ history, sequence, written_at }) {
    const reached = this.#reached;
    if (!reached || history > this.#latestHistory) return false; // a history begins with its time
    if (history === reached.history) return sequence < reached.sequence;
    return !(this.#status()?.behind && Date.parse(written_at) > this.#writtenAt);
  }

  /**
   * Whether a history is that of another mirror than the first one, as it is not later than all before.
   *
   * @param {Live} live
   */
  #isOfAnother({ history }) {
    const reached = this.#reached;
    if (!reached || history === reached.history) return this.#isOther;
    return history <= this.#latestHistory;
  }

  /**
   * Note what a mirror says about itself, once its files were read, so that one whose files are missing looks old. Returns
   * `written_at` if that has just been written, as far as this is known.
   *
   * @param {Live} live
   * @param {{at: number, after: number}} seen when it was read, by the clocks for dates and for durations, in milliseconds
   */
  #note(live, seen) {
    const last = this.#live;
    this.#live = live;
    const writtenAt = Date.parse(live.written_at);
    if (last && writtenAt <= this.#writtenAt && live.sequence === last.sequence) return null;
    this.#writtenAt = writtenAt;
    this.#seenAt = seen.at;
    this.#seenAfter = seen.after;
    // The clock here may be wrong. So once a change was seen, the time since then counts.
    this.#age_ms = last ? 0 : Math.max(0, this.#seenAt - writtenAt);
    const isQuick = performance.now() - seen.after < QUICK_MS;
    return isBehind(live.every_s, this.#age_ms / 1000) || !isQuick ? null : live.written_at;
  }

  /** @returns {MirrorStatus | null} */
  #status() {
    if (!this.#live) return null;
    const { history, every_s, closed_at = null } = this.#live;
    const passed_ms = Math.max(Date.now() - this.#seenAt, performance.now() - this.#seenAfter);
    const age_ms = this.#age_ms + passed_ms;
    const behind = isBehind(every_s, age_ms / 1000, closed_at);
    return { history, every_s, writtenAt: Date.now() - age_ms, behind, closedAt: closed_at };
  }

  /** @param {Live} live */
  #profile({ profiles }) {
    const found = this.profiles.find((name) => Object.hasOwn(profiles, name));
    if (found === undefined) throw new MalformedMirror(`no profile ${this.profiles.join(", ")}`);
    return found;
  }

  /**
   * Read a snapshot or a delta: areas, and at the end a block that says how many there are.
   *
   * @param {string} path
   * @returns {Promise<Area[]>}
   */
  async #file(path) {
    const text = await fetchText(`${this.urls.root}${path}`, FILE_MAX, LARGE_LIMIT_MS, "default");
    const lines = text.split("\n").filter(Boolean);
    const [block, ...areas] = [lines.pop() ?? "null", ...lines].map((line) => JSON.parse(line));
    const to = Number(/(\d+)\.ndjson$/.exec(path)?.[1]);
    const isWhole = block?.areas === areas.length && block.sequence === to;
    if (!isWhole || !areas.every((each) => typeof each?.area === "string"))
      throw new MalformedMirror(`${path} is not whole`);
    return areas;
  }
}

/**
 * Return the block that the stream would have sent: nothing but the areas has changed up to the state of the mirror.
 *
 * @param {Live} live
 * @param {boolean} snapshot
 */
const blockOf = ({ sequence, published_at, chain, holds }, snapshot) => ({
  sequence,
  published_at,
  chain,
  snapshot,
  holds,
});

/**
 * Read the newest `live.json` of an election. Throws where it cannot be read, or is not of this format.
 *
 * @param {MirrorUrls} urls
 * @param {string} election
 * @param {RequestCache} [cache]
 */
export async function fetchLive(urls, election, cache = "no-cache") {
  const live = readLive(await fetchText(urls.live(election), LIVE_MAX, DOCUMENT_LIMIT_MS, cache));
  if (live.election !== election) throw new MalformedMirror("of another election");
  return live;
}

/**
 * @param {string} path
 * @param {number} most bytes
 * @param {number} limit_ms
 * @param {RequestCache} cache
 */
async function fetchText(path, most, limit_ms, cache) {
  const response = await fetchGood(path, { cache, limit_ms });
  const reader = response.body?.getReader();
  if (!reader) throw new BadAnswer(response);
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return text + decoder.decode();
    size += value.length;
    if (size > most) {
      await reader.cancel();
      throw new MalformedMirror(`${path} has more than ${most} bytes`);
    }
    text += decoder.decode(value, { stream: true });
  }
}
