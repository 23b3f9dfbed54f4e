// Sending: each report until it has a receipt or is refused. A report is sent again with the same bytes and revision,
// so that the door answers one that it has already as a duplicate, with its receipt. Of each unit, the next report is
// sent only after the one before has its receipt: its revision was chosen by what came before it.

import { Refused } from "./count_session.js";
import { LARGE_LIMIT_MS, Pauses, pause } from "./fetching.js";

/** @import { Outcome, PreviewedReport } from "../push_documents" */
/** @import { Session } from "./count_session.js" */

/** @typedef {"waits" | "receipt" | "refused" | "not_sent"} State */
/** @typedef {{item: PreviewedReport, state: State, answer: Outcome | null}} Entry */

const AT_ONCE = 200;
const OVERTAKEN = ["stale_revision", "revision_conflict"];

export class Sending {
  /** @type {Entry[]} */
  entries;
  /** Why nothing is answered now, since when; null while all is well.
   *
   * @type {{since: number, error: unknown} | null}
   */
  trouble = null;
  /** The error that ended the sending before everything was answered.
   *
   * @type {Refused | null}
   */
  ended = null;

  /**
   * @param {Session} session
   * @param {PreviewedReport[]} items in the order of the file
   * @param {() => void} onChange
   * @param {Sending | null} before whose answers are kept
   */
  constructor(session, items, onChange, before) {
    this.session = session;
    this.election = session.election;
    this.onChange = onChange;
    /** Reports that were answered before, newest first.
     *
     * @type {Entry[]}
     */
    this.earlier = before === null ? [] : before.all.filter(({ answer }) => answer !== null);
    this.entries = items.map((item) => ({ item, state: "waits", answer: null }));
  }

  /** All reports, the newest first.
   *
   * @returns {Entry[]}
   */
  get all() {
    return [...this.entries, ...this.earlier];
  }

  /** @param {State} state */
  count(state) {
    return this.entries.filter((entry) => entry.state === state).length;
  }

  /** Whether some report was refused since another one of its unit was quicker, so that the file has to be read again. */
  get overtaken() {
    return this.entries.some(
      ({ item, state, answer }) =>
        item.chosen && state === "refused" && OVERTAKEN.includes(answer?.code ?? ""),
    );
  }

  /** Send until every report is answered, or an error ends it that does not pass by itself. May be called again. */
  async run() {
    this.ended = null;
    const pauses = new Pauses();
    for (;;) {
      const batch = this.#next();
      if (!batch.length) break;
      try {
        const wait_ms = this.#take(batch, await this.#push(batch));
        this.trouble = null;
        pauses.reset();
        this.onChange();
        if (wait_ms > 0) await pause(wait_ms);
      } catch (error) {
        if (error instanceof Refused && !error.passing) {
          this.ended = error;
          break;
        }
        this.trouble ??= { since: Date.now(), error };
        this.onChange();
        await pauses.wait(error);
      }
    }
    this.trouble = null;
    this.onChange();
  }

  /** Return the reports to send next: the first one of each unit that waits. */
  #next() {
    /** @type {Map<string, Entry>} */
    const first = new Map();
    for (const entry of this.entries) {
      const { unit } = entry.item.report;
      if (entry.state === "waits" && !first.has(unit)) first.set(unit, entry);
    }
    return [...first.values()].slice(0, AT_ONCE);
  }

  /**
   * @param {Entry[]} batch
   * @returns {Promise<Outcome[]>}
   */
  async #push(batch) {
    if (this.session.election !== this.election) throw new Error("counts of another election");
    const body = JSON.stringify(batch.map(({ item }) => item.report));
    const { results } = await this.session.ask("/reports", {
      method: "POST",
      body,
      type: "application/json",
      limit_ms: LARGE_LIMIT_MS,
    });
    return results;
  }

  /**
   * Take the outcomes of a batch; return how long to wait before the next one, in milliseconds.
   *
   * @param {Entry[]} batch
   * @param {Outcome[]} outcomes
   */
  #take(batch, outcomes) {
    let wait_s = 0;
    for (const [place, entry] of batch.entries()) {
      const outcome = outcomes[place];
      if (outcome === undefined || outcome.outcome === "retry") {
        wait_s = Math.max(wait_s, outcome?.retry_after_s ?? 1);
        continue;
      }
      entry.answer = outcome;
      entry.state = outcome.outcome === "refused" ? "refused" : "receipt";
      if (entry.state === "refused") this.#hold(entry.item.report.unit);
    }
    return 1000 * wait_s;
  }

  /**
   * Send no more reports of a unit: their revisions rest on one that was refused.
   *
   * @param {string} unit
   */
  #hold(unit) {
    for (const entry of this.entries) {
      if (entry.item.report.unit === unit && entry.state === "waits") entry.state = "not_sent";
    }
  }
}
