// A table whose headings sort and whose rows change in place. Row values are whatever the columns understand.

import { arrange, attribute, h, text } from "./dom.js";
import { compare, t } from "./format.js";

export class LiveTable {
  #table;
  #columns;
  #rows = new Map();
  #sort;
  #falling;
  #filter = () => true;
  #heads = [];
  #limit = Infinity;

  /** columns: {title (text key), kind (class), value(row) to sort by, draw(cell, row), falling (first click sorts so)}. */
  constructor(table, columns, { sort = 0, falling = columns[sort].falling ?? false } = {}) {
    this.#table = table;
    this.#columns = columns;
    this.#sort = sort;
    this.#falling = falling;
    const head = h("tr");
    columns.forEach((column, place) => {
      const button = h("button", { type: "button" });
      const cell = h("th", { scope: "col", class: column.kind ?? null }, column.value ? button : null);
      button.addEventListener("click", () => this.#sortBy(place));
      this.#heads.push({ cell, target: column.value ? button : cell });
      head.append(cell);
    });
    table.tHead.replaceChildren(head);
    this.titles();
  }

  /** Write the headings, in the language of now. */
  titles() {
    this.#columns.forEach((column, place) => {
      const { cell, target } = this.#heads[place];
      text(target, t(column.title));
      if (column.value)
        attribute(
          cell,
          "aria-sort",
          place !== this.#sort ? "none" : this.#falling ? "descending" : "ascending",
        );
    });
  }

  #sortBy(place) {
    this.#falling = place === this.#sort ? !this.#falling : (this.#columns[place].falling ?? false);
    this.#sort = place;
    this.titles();
    this.order(true);
  }

  set filter(filter) {
    this.#filter = filter;
  }

  set limit(limit) {
    this.#limit = limit;
  }

  clear() {
    this.#rows.clear();
  }

  keep(ids) {
    for (const id of [...this.#rows.keys()]) if (!ids.has(id)) this.#rows.delete(id);
  }

  /** Put a row in, or change it. */
  set(id, value) {
    let row = this.#rows.get(id);
    if (!row) {
      const element = h(
        "tr",
        { "data-id": id },
        ...this.#columns.map((column, place) =>
          h(place ? "td" : "th", { scope: place ? null : "row", class: column.kind ?? null }),
        ),
      );
      row = { element, value };
      this.#rows.set(id, row);
    }
    row.value = value;
    for (const [place, column] of this.#columns.entries()) column.draw(row.element.children[place], value);
  }

  /** Bring the rows into order; not under the feet of who stands in one, unless asked for. Returns how many show. */
  order(asked = false) {
    const body = this.#table.tBodies[0];
    const rows = [...this.#rows.values()].filter((row) => this.#filter(row.value));
    if (!asked && body.contains(document.activeElement)) return rows.length;
    const value = this.#columns[this.#sort].value;
    const direction = this.#falling ? -1 : 1;
    rows.sort((a, b) => direction * ranked(value(a.value), value(b.value), direction));
    arrange(
      body,
      rows.slice(0, this.#limit).map((row) => row.element),
    );
    return rows.length;
  }
}

/** Numbers as numbers, texts as the language has them; what is not there comes last either way. */
function ranked(a, b, direction) {
  const none = (x) => x === null || x === undefined;
  if (none(a) || none(b)) return none(a) && none(b) ? 0 : none(a) ? direction : -direction;
  return typeof a === "number" ? a - b : compare(a, b);
}
