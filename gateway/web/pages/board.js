// The state of each municipality on the board, and the problems of an election, the worst first.

/** @import { Board, BoardMunicipality, Refusals } from "../documents" */
/** @typedef {"refused" | "expired" | "noToken" | "never" | "silent" | "reporting" | "done" | "closed"} State */
/** @typedef {{row: BoardMunicipality, state: State}} BoardRow */

/** The states, those that need somebody first. @type {State[]} */
export const STATES = ["refused", "expired", "noToken", "never", "silent", "reporting", "done", "closed"];
/** States that are problems. */
const WORSE = STATES.slice(0, 5);

/** Codes that need no action: a newer count is in. */
const HARMLESS = new Set(["stale_revision"]);
const LATE_S = 5;
const RECENT_MS = 600_000;

/**
 * Return the refusals since the last report that was accepted: nothing shows yet that they were corrected.
 *
 * @param {BoardMunicipality} row
 */
export function openRefusals({ refusals, last_accepted_at }) {
  const since_ms = last_accepted_at === null ? -Infinity : Date.parse(last_accepted_at);
  return refusals.filter(({ code, last_at }) => !HARMLESS.has(code) && Date.parse(last_at) > since_ms);
}

/**
 * Return the state of a municipality.
 *
 * @param {BoardMunicipality} row
 * @param {Board} board
 * @param {number} now_ms
 * @param {number} silentAfter_ms
 * @returns {State}
 */
export function stateOf(row, board, now_ms, silentAfter_ms) {
  if (board.closed_at !== null) return row.reported < row.units ? "closed" : "done";
  if (openRefusals(row).length) return "refused";
  if (row.reported >= row.units) return "done";
  if (!row.expected) return row.tokens.length ? "expired" : "noToken";
  if (row.last_contact_at === null && row.last_heard_at === null) return "never";
  const heard_ms = row.last_heard_at === null ? 0 : Date.parse(row.last_heard_at);
  return now_ms - heard_ms > silentAfter_ms ? "silent" : "reporting";
}

/** @typedef {{kind: "overdue" | "receipts" | "unpublished", age_s: number, count: number}} WaitingProblem */
/** @typedef {{kind: "unknown", count: number, refusals: Refusals[]}} UnknownProblem */
/** @typedef {{kind: State, rows: BoardRow[]}} RowsProblem */
/** @typedef {WaitingProblem | UnknownProblem | RowsProblem} Problem */

/**
 * Return the problems, the worst first.
 *
 * @param {Board} board
 * @param {BoardRow[]} rows
 * @param {number} now_ms
 * @returns {Problem[]}
 */
export function problemsOf(board, rows, now_ms) {
  /** @type {Problem[]} */
  const found = [];
  const overdue_s = (now_ms - Date.parse(board.publish_from)) / 1000;
  const isPublic = board.released_at !== null;
  if (!isPublic && overdue_s > LATE_S) {
    found.push({ kind: "overdue", age_s: overdue_s, count: board.unpublished.reports });
  }
  const { oldest_s, reports } = board.waiting;
  if (oldest_s !== null && oldest_s > LATE_S)
    found.push({ kind: "receipts", age_s: oldest_s, count: reports });
  const { oldest_accepted_at, reports: unpublished } = board.unpublished;
  const unpublished_s = oldest_accepted_at ? (now_ms - Date.parse(oldest_accepted_at)) / 1000 : 0;
  if (isPublic && unpublished_s > LATE_S) {
    found.push({ kind: "unpublished", age_s: unpublished_s, count: unpublished });
  }
  for (const kind of WORSE) {
    const its = rows.filter(({ state }) => state === kind);
    if (its.length) found.push({ kind, rows: its });
  }
  const unknown = board.refusals.filter(({ last_at }) => now_ms - Date.parse(last_at) < RECENT_MS);
  if (unknown.length) {
    found.push({
      kind: "unknown",
      count: unknown.reduce((sum, { count }) => sum + count, 0),
      refusals: unknown,
    });
  }
  return found;
}
