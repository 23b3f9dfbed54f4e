// The table of all municipalities' transfers: the most urgent first, the rest on request, when searched for and in print.

import { parameter, setParameter } from "./address.js";
import { byId, h, setText, show } from "./dom.js";
import { t } from "./format.js";
import { isHidden } from "./hidden.js";
import { matcher } from "./search.js";
import { LiveTable } from "./table.js";
import { lastContact, listColumns, OLDEST } from "./transfer_columns.js";

/** @import { Clock } from "./feed.js" */
/** @import { Registry } from "./registry.js" */
/** @import { TransferRow } from "./transfer_columns.js" */

const ROWS = 25;

export class TransferList {
  #rows = 0;

  /**
   * @param {Registry} registry
   * @param {Clock} clock
   */
  constructor(registry, clock) {
    this.registry = registry;
    /** @type {LiveTable<TransferRow>} */
    this.table = new LiveTable(byId("list", HTMLTableElement), listColumns(clock), OLDEST);
    this.table.limit = ROWS;
    this.table.order = parameter("sort") ?? "";
    this.table.onOrder = (order) => setParameter("sort", order);
    this.search = byId("search", HTMLInputElement);
    this.search.value = parameter("q") ?? "";
    this.search.addEventListener("input", () => {
      setParameter("q", this.search.value.trim());
      this.#arrange(true);
    });
    this.which = byId("which", HTMLSelectElement);
    this.which.addEventListener("change", () => {
      setParameter("which", this.which.value);
      this.#arrange(true);
    });
    byId("list-all").addEventListener("click", () => {
      this.table.limit = Infinity;
      this.#arrange(true);
    });
    addEventListener("beforeprint", () => this.table.arrange(true, Infinity));
    addEventListener("afterprint", () => this.#arrange(true));
  }

  /** @param {TransferRow[]} rows of all municipalities, as they are now */
  draw(rows) {
    this.#rows = rows.length;
    for (const row of rows) this.table.set(row.municipality, row);
    this.#arrange(false);
  }

  /**
   * Filter and sort the table.
   *
   * @param {boolean} asked whether the reader asked for it
   */
  #arrange(asked) {
    const query = this.search.value.trim();
    this.which.disabled = isHidden(); // every municipality would be silent
    const which = this.which.disabled ? "" : this.which.value;
    const matches = matcher(query);
    this.table.filter = (row) =>
      passes(row, which) &&
      matches(...this.registry.names(row.municipality), row.county ?? "", row.municipality);
    const found = this.table.arrange(asked);
    show(byId("list-all"), found > this.table.limit);
    setText(byId("list-all"), t("showAll")(found));
    show(byId("matches"), Boolean(query || which));
    setText(byId("matches"), t("matches")(found, this.#rows));
  }

  /** Draw the headings and choices in the language of the page. */
  redraw() {
    this.table.drawTitles();
    const chosen = this.which.value || parameter("which") || "";
    this.which.replaceChildren(
      h("option", { value: "" }, t("whichAll")),
      h("option", { value: "waiting" }, t("whichWaiting")),
      h("option", { value: "incomplete" }, t("whichIncomplete")),
      h("option", { value: "silent" }, t("whichSilent")),
    );
    this.which.value = chosen;
  }
}

/**
 * @param {TransferRow} row
 * @param {string} which the choice of the reader
 */
function passes(row, which) {
  if (which === "waiting") return row.accepted > row.published;
  if (which === "incomplete") return row.reported < row.units;
  if (which === "silent") return !lastContact(row);
  return true;
}
