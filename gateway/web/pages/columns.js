// The columns of tables of areas.

import { areaLink } from "./address.js";
import { drawBeside, shareChange, turnoutChange } from "./change.js";
import { describeCorrection } from "./corrections.js";
import { h, setText } from "./dom.js";
import { moment, number, share, t } from "./format.js";
import { isHidden, unlessHidden } from "./hidden.js";
import { sums } from "./parties.js";

/** @import { Area } from "../documents" */
/** @import { Parties, Sums } from "./parties.js" */
/** @import { Column } from "./table.js" */

/** @typedef {{area: Area, name: string, sums: Sums, note: string}} AreaRow `note` is shown below the name */
/** @typedef {Column<AreaRow>} AreaColumn */

/**
 * @param {Area} area
 * @param {string} name in the language of the page
 * @param {string} note
 * @returns {AreaRow}
 */
export const areaRow = (area, name, note) => ({ area, name, sums: sums(area), note });

/**
 * Return the corrections of an area in words; "" where there are none.
 *
 * @param {Area} area
 */
function correctionsOf(area) {
  if (area.correction) return describeCorrection(area, area.correction);
  return area.corrections ? t("correctionsTitle")(area.corrections) : "";
}

/**
 * Show below a name what the columns of a kind contain, where the window is too narrow for these.
 *
 * @param {HTMLTableCellElement} cell
 * @param {"slim" | "second" | "third"} kind
 * @param {string} text
 */
export function drawInstead(cell, kind, text) {
  const found = cell.querySelector(`.instead-${kind}`);
  if (!found && !text) return;
  const note = found ?? h("small", { class: `instead-${kind}` });
  setText(note, text);
  if (!found) cell.append(note);
}

/** @type {AreaColumn} */
const name = {
  title: "colName",
  value: (row) => row.name,
  draw(cell, { area, name, sums, note }) {
    const [link, small] = parts(cell, () => [h("a", { href: areaLink(area.area) }), h("small")]);
    setText(link, name);
    setText(small, note);
    drawInstead(cell, "slim", sums.ballots ? t("ballots")(sums.ballots) : "");
    drawInstead(cell, "third", correctionsOf(area));
  },
};

/** @type {AreaColumn} */
const ballots = {
  title: "colBallots",
  kind: "slim",
  descending: true,
  value: (row) => row.sums.ballots,
  draw: (cell, row) => setText(cell, unlessHidden(number(row.sums.ballots))),
};

/** @type {AreaColumn} */
const updated = {
  title: "colUpdated",
  kind: "second",
  descending: true,
  value: ({ area }) => area.sequence || null,
  draw: (cell, { area }) => setText(cell, area.published_at ? moment(area.published_at) : "–"),
};

/**
 * Return the share of the party with some rank.
 *
 * @param {Parties} parties
 * @param {"colFirst" | "colSecond"} title
 * @param {number} rank 0: the largest
 * @param {string} kind
 * @returns {AreaColumn}
 */
function party(parties, title, rank, kind) {
  return {
    title,
    kind,
    value: (row) => row.sums.ranked[rank]?.[0],
    draw(cell, row) {
      const [chip, text] = parts(cell, () => [
        h("span", { class: "chip party", "aria-hidden": "true" }),
        h("span"),
      ]);
      const found = row.sums.ranked[rank];
      chip.hidden = !found;
      setText(text, found ? `${found[0]} ${share(found[1], row.sums.votes)}` : "–");
      if (found) parties.colour(chip, found[0]);
      drawBeside(cell, row.area, found ? shareChange(row.area, found[0]) : "");
    },
  };
}

/**
 * The columns for areas above units.
 *
 * @param {Parties} parties
 * @returns {AreaColumn[]}
 */
export const areaColumns = (parties) => [
  name,
  {
    title: "colCounted",
    descending: true,
    value: ({ area }) => area.units.reported / (area.units.total || 1),
    draw(cell, { area }) {
      const { reported, total } = area.units;
      setText(cell, unlessHidden(`${number(reported)}/${number(total)}`, t("hidden")));
      cell.classList.toggle("done", reported === total && !isHidden());
    },
  },
  ballots,
  {
    title: "colTurnout",
    kind: "second",
    descending: true,
    value: (row) => (row.area.eligible ? row.sums.ballots / row.area.eligible : null),
    draw(cell, row) {
      const [text] = parts(cell, () => [h("span"), h("span")]);
      setText(text, unlessHidden(share(row.sums.ballots, row.area.eligible)));
      drawBeside(cell, row.area, turnoutChange(row.area));
    },
  },
  party(parties, "colFirst", 0, ""),
  party(parties, "colSecond", 1, "third"),
  {
    title: "colCorrections",
    kind: "third",
    descending: true,
    value: ({ area }) => area.corrections,
    draw: (cell, { area }) => setText(cell, area.corrections ? number(area.corrections) : ""),
  },
  updated,
];

/** @param {Area} unit */
const statusOf = ({ status }) =>
  unlessHidden(t("statuses")[status ?? "no_report"] ?? status ?? "", t("hidden"));

/**
 * The columns for units.
 *
 * @param {Parties} parties
 * @returns {AreaColumn[]}
 */
export const unitColumns = (parties) => [
  name,
  {
    title: "colStatus",
    kind: "left",
    value: ({ area }) => statusOf(area),
    draw: (cell, { area }) => setText(cell, statusOf(area)),
  },
  ballots,
  party(parties, "colFirst", 0, ""),
  party(parties, "colSecond", 1, "third"),
  {
    title: "colRevision",
    kind: "third",
    descending: true,
    value: ({ area }) => area.revision,
    draw: (cell, { area }) => setText(cell, typeof area.revision === "number" ? number(area.revision) : ""),
  },
  {
    title: "colCorrections",
    kind: "second left",
    descending: true,
    value: ({ area }) => area.correction?.sequence,
    draw: (cell, { area }) => setText(cell, area.correction ? describeCorrection(area, area.correction) : ""),
  },
  updated,
];

/**
 * Return the two elements that a cell is made of, made at the first time.
 *
 * @param {HTMLTableCellElement} cell
 * @param {() => [HTMLElement, HTMLElement]} make
 * @returns {[HTMLElement, HTMLElement]}
 */
export function parts(cell, make) {
  const [first, second] = cell.children;
  if (first instanceof HTMLElement && second instanceof HTMLElement) return [first, second];
  const made = make();
  cell.append(...made);
  return made;
}
