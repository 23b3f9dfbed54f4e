// The columns of tables of transfers.

import { drawInstead, parts } from "./columns.js";
import { h, setText } from "./dom.js";
import { age, duration, number, t } from "./format.js";
import { isHidden } from "./hidden.js";

/** @import { Transfer } from "../documents" */
/** @import { Clock } from "./feed.js" */
/** @import { Column, PlainTextKey } from "./table.js" */

/**
 * @typedef {Transfer & {county?: string, delivered?: number | null, late?: boolean}} TransferRow `delivered`
 *   is how many units have reached this page, `late` whether a report should have been published by now
 */
/** @typedef {Column<TransferRow>} TransferColumn */

const SLOW_S = 1;

/** @type {TransferColumn} */
const name = {
  title: "colName",
  value: (row) => row.name,
  draw(cell, row) {
    const [label, note] = parts(cell, () => [h("span"), h("small")]);
    setText(label, row.name);
    setText(note, row.county ?? row.municipality);
    drawInstead(cell, "second", row.held ? `${t("colChecked")}: ${checkedOf(row)}` : "");
  },
};

/** @type {TransferColumn} */
const remaining = {
  title: "colToCome",
  descending: true,
  value: (row) => row.units - row.reported,
  draw(cell, row) {
    const left = row.units - row.reported;
    setText(cell, left ? `${number(left)} / ${number(row.units)}` : "✓");
    cell.classList.toggle("done", !left);
  },
};

/**
 * @param {PlainTextKey} title
 * @param {"accepted" | "published" | "embargoed" | "held" | "delivered"} member
 * @param {string} kind
 * @returns {TransferColumn}
 */
const figure = (title, member, kind) => ({
  title,
  kind,
  descending: true,
  value: (row) => row[member],
  draw: (cell, row) => setText(cell, typeof row[member] === "number" ? number(row[member]) : "–"),
});

/**
 * Return how many units are being checked, and for how long the oldest has been.
 *
 * @param {TransferRow} row
 */
const checkedOf = ({ held, oldest_held_s }) => `${number(held ?? 0)} (${age(oldest_held_s ?? 0)})`;

/** @type {TransferColumn} */
const checked = {
  title: "colChecked",
  kind: "second",
  descending: true,
  value: (row) => row.held ?? 0,
  draw(cell, row) {
    setText(cell, row.held ? checkedOf(row) : "–");
    cell.classList.toggle("slow", Boolean(row.held));
  },
};

/**
 * Return when a municipality was last in contact. What was accepted for it came from one of its senders.
 *
 * @param {Transfer} row
 */
export const lastContact = (row) =>
  (row.last_contact_at ?? "") > (row.last_accepted_at ?? "") ? row.last_contact_at : row.last_accepted_at;

/**
 * @param {PlainTextKey} title
 * @param {Clock} clock
 * @param {(row: TransferRow) => string | null} timeOf
 * @param {() => string} never the text of a cell without a time
 * @returns {TransferColumn}
 */
const ago = (title, clock, timeOf, never) => ({
  title,
  kind: "second",
  descending: true,
  value: timeOf,
  draw(cell, row) {
    const time = timeOf(row);
    setText(cell, time ? t("agoShort")(age((clock.now() - Date.parse(time)) / 1000)) : never());
  },
});

/** @param {Clock} clock */
const contact = (clock) => ago("colContact", clock, lastContact, () => t("never"));

/**
 * @param {PlainTextKey} title
 * @param {"p50" | "p99"} percentile
 * @param {string} kind
 * @returns {TransferColumn}
 */
function lag(title, percentile, kind) {
  const lagOf = (/** @type {TransferRow} */ { lag_s }) =>
    lag_s?.written?.[percentile] ?? lag_s?.applied?.[percentile] ?? null;
  return {
    title,
    kind,
    descending: true,
    value: lagOf,
    draw(cell, row) {
      const s = lagOf(row);
      setText(cell, s === null ? "–" : duration(s));
      cell.classList.toggle("slow", s !== null && s >= SLOW_S);
    },
  };
}

/**
 * Return how urgent a municipality is, for the order of the table: by its oldest waiting report in seconds, then those
 * with units being checked, those never heard of, and those with units to come.
 *
 * @param {TransferRow} row
 */
function urgency(row) {
  if (row.oldest_unpublished_s !== null) return row.oldest_unpublished_s;
  if (row.held) return 0;
  if (!lastContact(row)) return -1;
  return row.reported < row.units ? -2 : -3;
}

/** @type {TransferColumn} */
const oldest = {
  title: "colOldest",
  descending: true,
  value: urgency,
  draw(cell, row) {
    const s = row.oldest_unpublished_s;
    setText(cell, s === null ? "–" : duration(s));
    cell.classList.toggle("slow", s !== null && s >= SLOW_S && !row.late);
    cell.classList.toggle("late", row.late === true);
  },
};

/**
 * The columns of the table of all municipalities.
 *
 * @param {Clock} clock
 * @returns {TransferColumn[]}
 */
export const listColumns = (clock) => [
  name,
  ...[
    remaining,
    figure("colAccepted", "accepted", "slim"),
    checked,
    figure("colPublished", "published", "second"),
    figure("colDelivered", "delivered", "third"),
    oldest,
    contact(clock),
    lag("colLag", "p50", "third"),
    lag("colLagTail", "p99", "slim"),
  ].map(publicOnly),
];

/**
 * Return a column that shows nothing under embargo: on the feed door everything is zero until then.
 *
 * @param {TransferColumn} column
 * @returns {TransferColumn}
 */
const publicOnly = (column) => ({
  ...column,
  draw(cell, row) {
    if (!isHidden()) {
      column.draw(cell, row);
      return;
    }
    setText(cell, t("hidden"));
    cell.classList.remove("done", "slow", "late");
  },
});

/** The column that the table of all municipalities is sorted by at first. */
export const OLDEST = 6;

/**
 * The columns of the table of a token's own municipalities.
 *
 * @param {Clock} clock
 * @returns {TransferColumn[]}
 */
export const ownColumns = (clock) => [
  name,
  remaining,
  figure("colAccepted", "accepted", "slim"),
  checked,
  figure("colEmbargoed", "embargoed", ""),
  figure("colPublished", "published", "second"),
  ago(
    "colLast",
    clock,
    (row) => row.last_accepted_at,
    () => "–",
  ),
  contact(clock),
];
