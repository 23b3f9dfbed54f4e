// The table of counties and municipalities: searched, filtered and sorted by the reader, as the address says.

import { drawChangeNote } from "./change.js";
import { areaColumns, areaRow } from "./columns.js";
import { byId } from "./dom.js";
import { drawTableDownloads } from "./downloads.js";
import { t } from "./format.js";
import { matcher } from "./search.js";
import { LiveTable } from "./table.js";
import { TableTools } from "./table_tools.js";

/** @import { Area } from "../documents" */
/** @import { AreaRow } from "./columns.js" */
/** @import { Parties } from "./parties.js" */
/** @import { Registry } from "./registry.js" */

const SORT_INTERVAL_MS = 1500;
const ROWS = 40;

export class AreasTable {
  #sortedAt = -Infinity;
  #timer = 0;
  /** The area above all others is not in the table. */
  #areas = 0;
  /** @type {string[]} */
  #levels = [];
  /** All areas as the page shows them.
   *
   * @type {Map<string, Area>}
   */
  #all = new Map();

  /**
   * @param {string} election
   * @param {Registry} registry
   * @param {Parties} parties
   */
  constructor(election, registry, parties) {
    this.election = election;
    this.registry = registry;
    /** @type {LiveTable<AreaRow>} */
    this.table = new LiveTable(byId("areas", HTMLTableElement), areaColumns(parties));
    this.tools = new TableTools(this.table, {
      id: "areas",
      choice: "levels",
      parameter: "level",
      rows: ROWS,
      arrange: (asked) => this.arrange(asked),
    });
  }

  /** Search, filter and sort as the address says. */
  readAddress() {
    this.tools.readAddress();
    this.arrange(true);
  }

  /**
   * Keep the rows of these areas only.
   *
   * @param {Map<string, Area>} areas
   */
  keep(areas) {
    this.table.keep(areas);
    this.#all = areas;
    this.#sortedAt = -Infinity; // the rows of a snapshot are shown at once
    const below = [...areas.values()].filter(({ parent }) => parent !== null);
    this.#areas = below.length;
    this.#levels = [...new Set(below.map(({ level }) => level))];
    this.drawLevels();
  }

  /** @param {Map<string, Area>} areas all areas as the page shows them */
  describe(areas) {
    this.#all = areas;
  }

  /** @param {Area} area as it is now */
  set(area) {
    this.table.set(area.area, areaRow(area, this.registry.name(area.area), this.#noteOf(area)));
  }

  /**
   * Return the note below the name of an area: the area above it, or its level.
   *
   * @param {Area} area
   */
  #noteOf({ parent, level }) {
    if (parent === null || parent === this.registry.root) return t("areaLevel")[level] ?? level;
    return this.registry.name(parent);
  }

  /** Draw the headings and choices in the language of the page. */
  redraw() {
    this.table.drawTitles();
    this.drawLevels();
  }

  drawLevels() {
    this.tools.offer(t("levelAll"), this.#levels, t("levels"));
  }

  /**
   * Filter and sort the table; while counts come in, only now and then.
   *
   * @param {boolean} asked whether the reader asked for it
   */
  arrange(asked) {
    const now = performance.now();
    if (!asked && now - this.#sortedAt < SORT_INTERVAL_MS) {
      this.#timer ||= setTimeout(() => {
        this.#timer = 0;
        this.arrange(false);
      }, SORT_INTERVAL_MS);
      return;
    }
    this.#sortedAt = now;
    const level = this.tools.chosen;
    const matches = matcher(this.tools.query);
    this.table.filter = ({ area, note }) =>
      (!level || area.level === level) && matches(...this.registry.names(area.area), area.area, note);
    this.tools.draw(this.table.arrange(asked), this.#areas);
    drawChangeNote(byId("areas-change"), this.#all.values());
    drawTableDownloads(byId("areas-downloads"), this.election, level ? [level] : this.#levels);
  }
}
