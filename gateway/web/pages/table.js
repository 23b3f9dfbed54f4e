// A table that is sorted by its headings and whose rows change in place.

import { arrange, h, setAttribute, setText } from "./dom.js";
import { compare, t } from "./format.js";

/** @import { Texts } from "./texts.js" */

/** @typedef {{[K in keyof Texts]: Texts[K] extends string ? K : never}[keyof Texts]} PlainTextKey */
/** @typedef {string | number | null | undefined} SortValue null and undefined come last, in either direction */
/**
 * @template Row
 * @typedef {object} Column
 * @property {PlainTextKey} title
 * @property {string} [kind] classes of its cells
 * @property {(row: Row) => SortValue} [value] what to sort by; a column without it cannot be sorted by
 * @property {boolean} [descending] whether the first click on the heading sorts in descending order
 * @property {(cell: HTMLTableCellElement, row: Row) => void} draw
 */

/** @template Row */
export class LiveTable {
  #table;
  #columns;
  /** @type {Map<string, {element: HTMLTableRowElement, cells: HTMLTableCellElement[], value: Row}>} */
  #rows = new Map();
  #sortedBy;
  #descending;
  #initial = "";
  /** Which rows are shown.
   *
   * @type {(row: Row) => boolean}
   */
  filter = () => true;
  /** How many rows are shown at most. */
  limit = Infinity;
  /** Called after the reader has chosen another order.
   *
   * @type {(order: string) => void}
   */
  onOrder = () => {};
  /** @type {{cell: HTMLTableCellElement, label: HTMLElement}[]} */
  #headings = [];

  /**
   * @param {HTMLTableElement} table
   * @param {Column<Row>[]} columns
   * @param {number} sortedBy the index of the column that is sorted by at first
   */
  constructor(table, columns, sortedBy = 0) {
    this.#table = table;
    this.#columns = columns;
    this.#sortedBy = sortedBy;
    this.#descending = columns[sortedBy]?.descending ?? false;
    const row = h("tr");
    for (const [index, column] of columns.entries()) {
      const button = h("button", { type: "button" });
      const cell = h("th", { scope: "col", class: column.kind }, column.value ? button : null);
      button.addEventListener("click", () => this.#sortBy(index));
      this.#headings.push({ cell, label: column.value ? button : cell });
      row.append(cell);
    }
    this.#initial = this.order;
    table.tHead?.replaceChildren(row);
    this.drawTitles();
  }

  /** The order as a word for the address: the column, with a minus sign before it where it is descending. */
  get order() {
    const { title } = this.#columns[this.#sortedBy] ?? { title: "" };
    return `${this.#descending ? "-" : ""}${nameOf(title)}`;
  }

  /** An unknown order is the one that the table had at first. */
  set order(order) {
    const name = order.replace(/^-/, "");
    const index = this.#columns.findIndex(({ title, value }) => value && nameOf(title) === name);
    if (index < 0 && order !== this.#initial) {
      this.order = this.#initial;
      return;
    }
    this.#sortedBy = Math.max(0, index);
    this.#descending = order.startsWith("-");
    this.drawTitles();
  }

  /** Draw the headings in the language of the page. */
  drawTitles() {
    for (const [index, { title, value }] of this.#columns.entries()) {
      const heading = this.#headings[index];
      if (!heading) continue;
      setText(heading.label, t(title));
      const order = this.#descending ? "descending" : "ascending";
      if (value) setAttribute(heading.cell, "aria-sort", index === this.#sortedBy ? order : "none");
    }
  }

  /** @param {number} index */
  #sortBy(index) {
    const again = index === this.#sortedBy;
    this.#descending = again ? !this.#descending : (this.#columns[index]?.descending ?? false);
    this.#sortedBy = index;
    this.drawTitles();
    this.arrange(true);
    this.onOrder(this.order === this.#initial ? "" : this.order);
  }

  clear() {
    this.#rows.clear();
  }

  /** @param {{has: (id: string) => boolean}} ids of rows to keep; all others are removed */
  keep(ids) {
    for (const id of [...this.#rows.keys()]) if (!ids.has(id)) this.#rows.delete(id);
  }

  /**
   * Add a row or change it; `arrange` shows it.
   *
   * @param {string} id
   * @param {Row} value
   */
  set(id, value) {
    let row = this.#rows.get(id);
    if (!row) {
      const cells = this.#columns.map(({ kind }, index) =>
        index === 0 ? h("th", { scope: "row", class: kind }) : h("td", { class: kind }),
      );
      row = { element: h("tr", { "data-id": id }, ...cells), cells, value };
      this.#rows.set(id, row);
    }
    row.value = value;
    for (const [index, cell] of row.cells.entries()) this.#columns[index]?.draw(cell, value);
  }

  /**
   * Filter and sort the rows; unless asked for, not while the focus is in one of them.
   *
   * @param {boolean} asked whether the reader asked for it
   * @param {number} limit
   * @returns {number} how many rows the filter lets through
   */
  arrange(asked = false, limit = this.limit) {
    const body = this.#table.tBodies[0];
    const rows = [...this.#rows.values()].filter((row) => this.filter(row.value));
    if (!body || (!asked && body.contains(document.activeElement))) return rows.length;
    const value = this.#columns[this.#sortedBy]?.value ?? (() => null);
    rows.sort((a, b) => compareValues(value(a.value), value(b.value), this.#descending));
    arrange(
      body,
      rows.slice(0, limit).map(({ element }) => element),
    );
    return rows.length;
  }
}

/** @param {string} title */
const nameOf = (title) => title.replace(/^col/, "").toLowerCase();

/**
 * Compare numbers as numbers and texts by the rules of the language.
 *
 * @param {SortValue} a
 * @param {SortValue} b
 * @param {boolean} descending
 */
function compareValues(a, b, descending) {
  const aMissing = a === null || a === undefined;
  const bMissing = b === null || b === undefined;
  if (aMissing || bMissing) return Number(aMissing) - Number(bMissing);
  const order = typeof a === "number" && typeof b === "number" ? a - b : compare(String(a), String(b));
  return descending ? -order : order;
}
