// The columns of the board's table.

import { STATES } from "./board.js";
import { parts } from "./columns.js";
import { copyButton, revokeCommand } from "./commands.js";
import { h, setText } from "./dom.js";
import { age, number, t } from "./format.js";
import { nameOf } from "./names.js";

/** @import { BoardMunicipality } from "../documents" */
/** @import { BoardRow } from "./board.js" */
/** @import { Column } from "./table.js" */

/** The column that the table is sorted by at first. */
export const STATE_COLUMN = 1;

/**
 * Return the columns.
 *
 * @param {() => number} now_ms the time of the server
 * @returns {Column<BoardRow>[]}
 */
export function boardColumns(now_ms) {
  const ago = (/** @type {string | null} */ time) =>
    time ? t("agoShort")(age((now_ms() - Date.parse(time)) / 1000)) : t("never");
  return [
    {
      title: "colName",
      value: ({ row }) => nameOf(row),
      draw(cell, { row }) {
        const [label, note] = parts(cell, () => [h("span"), h("small")]);
        setText(label, nameOf(row));
        const tokens = row.tokens.map(({ token }) => token).join(", ");
        setText(note, tokens ? `${row.municipality} · ${t("boardToken")} ${tokens}` : row.municipality);
      },
    },
    {
      title: "boardState",
      kind: "left",
      value: ({ state }) => STATES.indexOf(state),
      draw(cell, { row, state }) {
        const [label, note] = parts(cell, () => [h("span"), h("small", { class: "quiet instead-slim" })]);
        setText(label, t("boardStates")[state] ?? state);
        setText(note, row.last_heard_at ? ago(row.last_heard_at) : "");
        label.className = kindOf(state);
      },
    },
    {
      title: "boardHeard",
      kind: "slim",
      value: ({ row }) => row.last_heard_at,
      draw: (cell, { row }) => setText(cell, ago(row.last_heard_at)),
    },
    {
      title: "boardReported",
      kind: "slim",
      value: ({ row }) => row.reported / row.units,
      draw: (cell, { row }) => setText(cell, `${number(row.reported)} / ${number(row.units)}`),
    },
    {
      title: "boardRefused",
      kind: "refusals",
      descending: true,
      value: ({ row }) => row.refused,
      draw(cell, { row }) {
        const wanted = JSON.stringify(row.refusals);
        if (cell.dataset.refusals === wanted) return;
        cell.dataset.refusals = wanted;
        cell.replaceChildren(
          ...row.refusals.map(({ code, count, last_at }) =>
            h("span", { title: last_at }, h("code", null, ...breakable(code)), ` × ${number(count)}`),
          ),
        );
      },
    },
    { title: "boardTokens", kind: "second", value: ({ row }) => row.tokens_total, draw: drawTokens },
  ];
}

/**
 * Return a code that may be broken after its underscores.
 *
 * @param {string} code
 */
const breakable = (code) =>
  code.split("_").flatMap((word, index) => (index ? ["_", h("wbr"), word] : [word]));

/** @param {string} state */
const kindOf = (state) =>
  ({ refused: "late", expired: "late", noToken: "late", never: "slow", silent: "slow", done: "done" })[
    state
  ] ?? "";

/**
 * @param {HTMLTableCellElement} cell
 * @param {BoardRow} row
 */
function drawTokens(cell, { row }) {
  const wanted = row.tokens.map(({ token }) => token).join(" ");
  if (cell.dataset.tokens === wanted) return; // buttons that have the focus stay
  cell.dataset.tokens = wanted;
  cell.replaceChildren(h("div", { class: "tokens" }, ...row.tokens.map(tokenButton)));
}

/** @param {BoardMunicipality["tokens"][number]} token */
const tokenButton = ({ token }) => copyButton(revokeCommand(token), t("boardRevoke")(token));
