// The table of counties and municipalities: searched, filtered and sorted by the reader, as the address says.

import { parameter, setParameter } from "./address.js";
import { areaColumns, areaRow } from "./columns.js";
import { byId, h, setText, show } from "./dom.js";
import { drawTableDownloads } from "./downloads.js";
import { t } from "./format.js";
import { matcher } from "./search.js";
import { LiveTable } from "./table.js";

/** @import { Area } from "../documents" */
/** @import { AreaRow } from "./columns.js" */
/** @import { Parties } from "./parties.js" */
/** @import { Registry } from "./registry.js" */

const SORT_INTERVAL_MS = 1500;
const ROWS = 40;

export class AreasTable {
  #sortedAt = -Infinity;
  #timer = 0;
  #allRows = false;
  /** The area above all others is not in the table. */
  #areas = 0;
  /** @type {string[]} */
  #levels = [];

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
    this.search = byId("search", HTMLInputElement);
    this.levels = byId("levels", HTMLSelectElement);
    this.table.onOrder = (order) => setParameter("sort", order);
    this.search.addEventListener("input", () => {
      setParameter("q", this.search.value.trim());
      this.arrange(true);
    });
    this.levels.addEventListener("change", () => {
      setParameter("level", this.levels.value);
      this.arrange(true);
    });
    byId("areas-all").addEventListener("click", () => {
      this.#allRows = true;
      this.arrange(true);
    });
    addEventListener("beforeprint", () => this.table.arrange(true, Infinity));
    addEventListener("afterprint", () => this.arrange(true));
  }

  /** Search, filter and sort as the address says. */
  readAddress() {
    this.search.value = parameter("q") ?? "";
    this.levels.value = parameter("level") ?? "";
    this.table.order = parameter("sort") ?? "";
    this.arrange(true);
  }

  /**
   * Keep the rows of these areas only.
   *
   * @param {Map<string, Area>} areas
   */
  keep(areas) {
    this.table.keep(areas);
    this.#sortedAt = -Infinity; // the rows of a snapshot are shown at once
    const below = [...areas.values()].filter(({ parent }) => parent !== null);
    this.#areas = below.length;
    this.#levels = [...new Set(below.map(({ level }) => level))];
    this.drawLevels();
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
    const chosen = this.levels.value || parameter("level") || "";
    this.levels.replaceChildren(
      h("option", { value: "" }, t("levelAll")),
      ...this.#levels.map((level) => h("option", { value: level }, t("levels")[level] ?? level)),
    );
    this.levels.value = this.#levels.includes(chosen) ? chosen : "";
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
    const query = this.search.value.trim();
    const level = this.levels.value;
    const matches = matcher(query);
    this.table.filter = ({ area, note }) =>
      (!level || area.level === level) && matches(...this.registry.names(area.area), area.area, note);
    this.table.limit = this.#allRows ? Infinity : ROWS;
    const found = this.table.arrange(asked);
    const filtered = Boolean(query || level);
    show(byId("areas-all"), !this.#allRows && found > ROWS);
    setText(byId("areas-all"), t("showAll")(found));
    drawTableDownloads(byId("areas-downloads"), this.election, level ? [level] : this.#levels);
    show(byId("matches"), filtered);
    setText(byId("matches"), filtered ? t("matches")(found, this.#areas) : "");
  }
}
