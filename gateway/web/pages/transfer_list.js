// The table of all municipalities' transfers: the most urgent first, the rest on request, when searched for and in print.

import { byId } from "./dom.js";
import { t } from "./format.js";
import { isHidden } from "./hidden.js";
import { matcher } from "./search.js";
import { LiveTable } from "./table.js";
import { TableTools } from "./table_tools.js";
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
    this.tools = new TableTools(this.table, {
      id: "list",
      choice: "which",
      parameter: "which",
      rows: ROWS,
      arrange: (asked) => this.#arrange(asked),
    });
    this.tools.readAddress();
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
    const { tools } = this;
    tools.choice.disabled = isHidden(); // every municipality would be silent
    const which = tools.chosen;
    const matches = matcher(tools.query);
    this.table.filter = (row) =>
      passes(row, which) &&
      matches(...this.registry.names(row.municipality), row.county ?? "", row.municipality);
    tools.draw(this.table.arrange(asked), this.#rows);
  }

  /** Draw the headings and choices in the language of the page. */
  redraw() {
    this.table.drawTitles();
    const names = {
      waiting: t("whichWaiting"),
      checked: t("whichChecked"),
      incomplete: t("whichIncomplete"),
      silent: t("whichSilent"),
    };
    this.tools.offer(t("whichAll"), Object.keys(names), names);
  }
}

/**
 * @param {TransferRow} row
 * @param {string} which the choice of the reader
 */
function passes(row, which) {
  if (which === "waiting") return row.accepted > row.published;
  if (which === "checked") return Boolean(row.held);
  if (which === "incomplete") return row.reported < row.units;
  if (which === "silent") return !lastContact(row);
  return true;
}
