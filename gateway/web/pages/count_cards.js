// Tables that become cards on a narrow screen: each cell then has its heading before it.

import { h } from "./dom.js";
import { t } from "./format.js";

/** @import { PlainTextKey } from "./table.js" */

/** @typedef {string | Node | null} Content null: nothing is known, which a card leaves out */

/**
 * Draw a table; each row has one content per column, the first of which names the row.
 *
 * @param {HTMLTableElement} table
 * @param {PlainTextKey[]} columns
 * @param {{key?: string, contents: Content[], kind?: string}[]} rows
 */
export function drawCards(table, columns, rows) {
  const titles = columns.map((key) => t(key));
  table.tHead?.replaceChildren(h("tr", null, ...titles.map((title) => h("th", { scope: "col" }, title))));
  table.tBodies[0]?.replaceChildren(
    ...rows.map(({ key, contents, kind }) =>
      h(
        "tr",
        { class: kind, "data-unit": key },
        ...contents.map((content, column) => cell(content, column, titles)),
      ),
    ),
  );
}

/**
 * @param {Content} content
 * @param {number} column
 * @param {string[]} titles
 */
function cell(content, column, titles) {
  if (column === 0) return h("th", { scope: "row" }, content);
  return h("td", { "data-title": titles[column], class: content === null ? "empty" : null }, content ?? "–");
}

/**
 * Return the name of a unit above its identifier.
 *
 * @param {string} name
 * @param {string} id
 */
export const unitName = (name, id) => h("span", null, name, name === id ? null : h("small", null, id));
