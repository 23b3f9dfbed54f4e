// The public record of an election, read when an area page needs it: whole ranges, which every cache may keep
// for good, then the rest. Of each publication only what a history shows is kept.

import { fetchRange, fetchRest, RANGE } from "./record_ranges.js";
import { documents } from "./source.js";

/** @import { Publication } from "../documents" */

/**
 * @typedef {object} Published
 * @property {number} sequence
 * @property {number} at milliseconds since 1970
 * @property {string} unit
 * @property {number} revision
 * @property {string} status
 * @property {string | undefined} reason
 * @property {number} ballots
 */
/**
 * @typedef {Published & {change: number, sum: number}} HistoryEntry `change` is the difference that the publication
 *   made to its unit, `sum` the sum of all units afterwards
 */

const INTERVAL_MIN_MS = 1000;
const ENTRIES_MAX = 1_000_000;

export class PublicRecord {
  /** @type {Published[]} */
  entries = [];
  #sequence = 0;
  /** @type {Promise<void> | null} */
  #reading = null;
  #readAt = 0;

  /** @param {string} election */
  constructor(election) {
    this.election = election;
  }

  /** How far the record has been read. */
  get sequence() {
    return this.#sequence;
  }

  /**
   * Read on up to a sequence. Calls at the same time share one reading. Throws where the record cannot be read.
   *
   * @param {number} wanted
   * @param {(part: number) => void} onProgress called with the part that has been read, of 1
   */
  read(wanted, onProgress) {
    this.#reading ??= this.#readOn(wanted, onProgress).finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  /**
   * @param {number} wanted
   * @param {(part: number) => void} onProgress
   */
  async #readOn(wanted, onProgress) {
    const wait = this.#readAt + INTERVAL_MIN_MS - performance.now();
    if (wait > 0 && this.#sequence) await new Promise((resolve) => setTimeout(resolve, wait));
    while (this.#sequence < wanted && this.entries.length < ENTRIES_MAX) {
      onProgress(this.#sequence / wanted);
      const before = this.#sequence;
      const whole = before % RANGE === 0 && before + RANGE <= wanted;
      const urls = documents().record(this.election);
      this.#append(await (whole ? fetchRange(urls, before) : fetchRest(urls, before)));
      if (this.#sequence === before) break;
    }
    this.#readAt = performance.now();
  }

  /** @param {string} text publications, one per line */
  #append(text) {
    let start = 0;
    while (start < text.length) {
      let end = text.indexOf("\n", start);
      if (end < 0) end = text.length;
      /** @type {Publication} */
      const { sequence, published_at, report } = JSON.parse(text.slice(start, end));
      start = end + 1;
      if (sequence <= this.#sequence) continue; // a file has more
      if (sequence !== this.#sequence + 1) return;
      let ballots = 0;
      for (const counts of Object.values(report.counts)) ballots += counts.ballots;
      const { unit, revision, status, reason } = report;
      this.entries.push({ sequence, at: Date.parse(published_at), unit, revision, status, reason, ballots });
      this.#sequence = sequence;
    }
  }

  /**
   * Return the history of some units together.
   *
   * @param {Set<string>} units
   * @returns {HistoryEntry[]}
   */
  historyOf(units) {
    /** @type {Map<string, number>} */
    const ballotsOf = new Map();
    /** @type {HistoryEntry[]} */
    const history = [];
    let sum = 0;
    for (const entry of this.entries) {
      if (!units.has(entry.unit)) continue;
      const change = entry.ballots - (ballotsOf.get(entry.unit) ?? 0);
      ballotsOf.set(entry.unit, entry.ballots);
      sum += change;
      history.push({ ...entry, change, sum });
    }
    return history;
  }
}
