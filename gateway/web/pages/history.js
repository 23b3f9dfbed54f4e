// The record, read when an area page asks for it: whole ranges, which every cache may keep for good, then the rest.
// Of each publication only what a history shows is kept.

import { address } from "./shell.js";

const RANGE = 1000;
const LEAST_MS = 1000;
const EVENTS_KEPT = 1_000_000;

export class Record {
  events = []; // {sequence, at, unit, revision, status, reason, ballots}
  #sequence = 0;
  #reading = null;
  #readAt = 0;

  constructor(election) {
    this.election = election;
  }

  get sequence() {
    return this.#sequence;
  }

  /** Read on up to `wanted`; told(part) as it goes. Calls at the same time share one reading. */
  read(wanted, told) {
    this.#reading ??= this.#readOn(wanted, told).finally(() => (this.#reading = null));
    return this.#reading;
  }

  async #readOn(wanted, told) {
    const wait = this.#readAt + LEAST_MS - performance.now();
    if (wait > 0 && this.#sequence) await new Promise((done) => setTimeout(done, wait));
    while (this.#sequence < wanted && this.events.length < EVENTS_KEPT) {
      told(this.#sequence / wanted);
      const before = this.#sequence;
      const whole = before % RANGE === 0 && before + RANGE <= wanted;
      this.#take(whole ? await this.#range(before) : await this.#rest(before));
      if (this.#sequence === before) break;
    }
    this.#readAt = performance.now();
  }

  /** A whole range; asked for under its last chain, it may be kept for ever. */
  async #range(before) {
    const path = address(this.election, `/publications/${before + 1}-${before + RANGE}`);
    const head = await fetch(path, { method: "HEAD" });
    const chain = head.headers.get("ETag")?.replaceAll('"', "");
    return lines(await fetch(chain ? `${path}?chain=${chain}` : path));
  }

  async #rest(before) {
    const limit = RANGE - (before % RANGE);
    return lines(
      await fetch(address(this.election, `/publications?after=${before}&limit=${limit}`), {
        cache: "no-store",
      }),
    );
  }

  #take(text) {
    let start = 0;
    while (start < text.length) {
      let end = text.indexOf("\n", start);
      if (end < 0) end = text.length;
      const { sequence, published_at, report } = JSON.parse(text.slice(start, end));
      start = end + 1;
      if (sequence !== this.#sequence + 1) return;
      let ballots = 0;
      for (const counts of Object.values(report.counts)) ballots += counts.ballots;
      const { unit, revision, status, reason } = report;
      this.events.push({ sequence, at: Date.parse(published_at), unit, revision, status, reason, ballots });
      this.#sequence = sequence;
    }
  }

  /** What was published of some units, each with the change it made and the sum after it. */
  of(units) {
    const held = new Map();
    const found = [];
    let sum = 0;
    for (const event of this.events) {
      if (!units.has(event.unit)) continue;
      const change = event.ballots - (held.get(event.unit) ?? 0);
      const first = !held.has(event.unit);
      held.set(event.unit, event.ballots);
      sum += change;
      found.push({ ...event, change, first, sum });
    }
    return found;
  }
}

async function lines(response) {
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response.text();
}
