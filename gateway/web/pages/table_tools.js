// The tools of a table of many rows: a search field, a choice of rows, the button that shows all of them, and the line
// that says how many match. What the reader chooses is in the address, and all rows are printed.

import { parameter, setParameter } from "./address.js";
import { byId, h, setText, show } from "./dom.js";
import { t } from "./format.js";

/** @import { LiveTable } from "./table.js" */
/** @import { Names } from "./texts.js" */

/** @template Row */
export class TableTools {
  /**
   * @param {LiveTable<Row>} table
   * @param {object} options
   * @param {string} options.id of the table's element
   * @param {string} options.choice the identifier of the choice of rows
   * @param {string} options.parameter of the address, for the choice
   * @param {number} options.rows how many rows are shown until the reader asks for all
   * @param {(asked: boolean) => void} options.arrange filters and sorts the table; `asked`: since the reader asked for it
   */
  constructor(table, { id, choice, parameter: name, rows, arrange }) {
    this.table = table;
    this.name = name;
    this.arrange = arrange;
    this.search = byId("search", HTMLInputElement);
    this.choice = byId(choice, HTMLSelectElement);
    this.all = byId(`${id}-all`);
    table.limit = rows;
    table.onOrder = (order) => setParameter("sort", order);
    this.search.addEventListener("input", () => {
      setParameter("q", this.query);
      arrange(true);
    });
    this.choice.addEventListener("change", () => this.choose(this.choice.value));
    this.all.addEventListener("click", () => {
      table.limit = Infinity;
      arrange(true);
    });
    addEventListener("beforeprint", () => table.arrange(true, Infinity));
    addEventListener("afterprint", () => arrange(true));
  }

  /** What the reader searches for. */
  get query() {
    return this.search.value.trim();
  }

  /** Which rows the reader has chosen; "": all. */
  get chosen() {
    return this.choice.disabled ? "" : this.choice.value;
  }

  /** @param {string} value of the choice */
  choose(value) {
    this.choice.value = value;
    setParameter(this.name, value);
    this.arrange(true);
  }

  /** Search, filter and sort as the address says, once the table is arranged. */
  readAddress() {
    this.search.value = parameter("q") ?? "";
    this.choice.value = parameter(this.name) ?? "";
    this.table.order = parameter("sort") ?? "";
  }

  /**
   * Offer choices of rows in the language of the page; the reader's choice stays if it is among them.
   *
   * @param {string} all the name of the choice of all rows
   * @param {string[]} values the others
   * @param {Names} names of these
   */
  offer(all, values, names) {
    const chosen = this.choice.value || parameter(this.name) || "";
    this.choice.replaceChildren(
      h("option", { value: "" }, all),
      ...values.map((value) => h("option", { value }, names[value] ?? value)),
    );
    this.choice.value = values.includes(chosen) ? chosen : "";
  }

  /**
   * Draw how many rows there are.
   *
   * @param {number} found how many the filter lets through
   * @param {number} total
   */
  draw(found, total) {
    const filtered = Boolean(this.query || this.chosen);
    show(this.all, found > this.table.limit);
    setText(this.all, t("showAll")(found));
    show(byId("matches"), filtered);
    setText(byId("matches"), filtered ? t("matches")(found, total) : "");
  }
}
