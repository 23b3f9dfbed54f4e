// The page of one area: its figures, its corrections, its history (history.js), and the areas below it.

import { areaLink, parameter, setParameter } from "./address.js";
import { drawChangeNote } from "./change.js";
import { areaColumns, areaRow, unitColumns } from "./columns.js";
import { CorrectionsList } from "./corrections_list.js";
import { byId, h, setText, show } from "./dom.js";
import { drawTableDownloads } from "./downloads.js";
import { fetchJson, Pauses } from "./fetching.js";
import { moment, t } from "./format.js";
import { AreaHistory } from "./history.js";
import { documents } from "./source.js";
import { Summary } from "./summary.js";
import { LiveTable } from "./table.js";

/** @import { Area, AreaAndChildren } from "../documents" */
/** @import { Feed } from "./feed.js" */
/** @import { HeldUnits } from "./held.js" */
/** @import { Parties } from "./parties.js" */
/** @import { PublicRecord } from "./record.js" */
/** @import { Registry } from "./registry.js" */
/** @import { AreaRow } from "./columns.js" */

const AT_LEAST_LIMIT_MS = 15_000; // the server waits for up to 5 s for the position

export class AreaPage {
  /** @type {string | null} */
  #id = null;
  /** The area with its children, as of the latest answer.
   *
   * @type {AreaAndChildren | null}
   */
  #document = null;
  /** The same at the past moment that the page shows.
   *
   * @type {AreaAndChildren | null}
   */
  #asItWas = null;
  #fetching = false;
  #fetchTimer = 0;
  #fetchPauses = new Pauses();
  /** Aborted when another area is opened: nothing waits to try again for this one. */
  #opening = new AbortController();
  /** The sequence of the latest change of the area. */
  #changedAt = 0;
  /** @type {LiveTable<AreaRow> | null} */
  #children = null;

  /**
   * @param {object} options
   * @param {string} options.election
   * @param {Registry} options.registry
   * @param {Parties} options.parties
   * @param {() => PublicRecord} options.record
   * @param {() => Feed} options.feed
   * @param {HeldUnits} options.held
   * @param {() => boolean} options.past whether the page shows, or is about to show, a past moment
   * @param {() => Map<string, Area> | null} options.areas areas above units as the page shows them
   */
  constructor({ election, registry, parties, record, feed, held, past, areas }) {
    this.election = election;
    this.registry = registry;
    this.parties = parties;
    this.record = record;
    this.feed = feed;
    this.held = held;
    this.past = past;
    this.areas = areas;
    this.summary = new Summary(byId("area-summary"), parties);
    this.corrections = new CorrectionsList(election, registry, "area-corrections");
    this.history = new AreaHistory(registry, record, () => feed().sequence);
  }

  get id() {
    return this.#id;
  }

  /** @param {string | null} id of the area to show; null: none */
  open(id) {
    clearTimeout(this.#fetchTimer);
    this.#opening.abort();
    this.#opening = new AbortController();
    this.#id = id;
    this.#document = null;
    this.#asItWas = null;
    this.#children = null;
    this.corrections.close();
    byId("children", HTMLTableElement).tBodies[0]?.replaceChildren();
    const known = id !== null && this.registry.has(id);
    this.history.open(known ? id : null);
    if (id === null) return;
    this.redraw();
    if (known) this.#fetch();
  }

  /**
   * Show the area as it was; null: as it is now.
   *
   * @param {AreaAndChildren | null} document
   * @param {number | null} sequence of the moment; null: now
   */
  showPast(document, sequence) {
    const returns = this.#asItWas !== null && sequence === null;
    if (document && document.area !== this.#id) return; // another area has been opened meanwhile
    this.#asItWas = document;
    this.history.showUntil(sequence ?? Infinity);
    if (returns) this.open(this.#id);
    else this.draw();
  }

  /**
   * Fetch the area again if a block has changed it.
   *
   * @param {Area[]} changed
   * @param {number} sequence
   */
  update(changed, sequence) {
    const id = this.#id;
    if (id === null) return;
    const above = this.registry.isUnit(id) ? this.registry.parent(id) : id; // the feed has no units
    if (changed.some(({ area }) => area === above)) {
      this.#changedAt = sequence;
      if (!this.past()) this.draw();
      this.#fetch(); // not while the past is shown
      this.history.update();
    }
  }

  async #fetch() {
    const id = this.#id;
    if (this.#fetching || id === null || this.past()) return;
    this.#fetching = true;
    const document = await this.#fetchDocument(id);
    this.#fetching = false;
    if (this.#id !== id || document === null) {
      this.#fetch();
      return;
    }
    this.#document = document;
    this.draw();
    clearTimeout(this.#fetchTimer);
    if (this.#changedAt > document.record.sequence) {
      this.#fetchTimer = setTimeout(() => this.#fetch(), documents().behind_ms);
    }
  }

  /**
   * Fetch the area with its children; null, after a pause, without an answer.
   *
   * @param {string} id
   * @returns {Promise<AreaAndChildren | null>}
   */
  async #fetchDocument(id) {
    const path = documents().area(this.election, id, this.feed().sequence);
    try {
      const document = await fetchJson(path, { limit_ms: AT_LEAST_LIMIT_MS });
      this.#fetchPauses.reset();
      return document;
    } catch (error) {
      await this.#fetchPauses.wait(error, this.#opening.signal);
      return null;
    }
  }

  /** Draw everything again, after a change of the area or of the language. */
  redraw() {
    const id = this.#id;
    if (id === null) return;
    const known = this.registry.has(id);
    this.#children?.drawTitles();
    for (const section of ["area-summary", "history-section", "children-section"]) show(byId(section), known);
    setText(byId("area-title"), known ? this.registry.name(id) : t("unknownArea")(id));
    byId("crumbs").replaceChildren(...this.#crumbs(id));
    if (known) {
      this.draw();
      this.history.redraw();
    } else {
      setText(byId("area-subtitle"), "");
    }
  }

  /**
   * Return links to the areas above one.
   *
   * @param {string} id
   */
  #crumbs(id) {
    if (!this.registry.has(id)) return [h("a", { href: areaLink() }, t("backToAll"))];
    return this.registry
      .ancestors(id)
      .map((each, depth) => h("a", { href: depth ? areaLink(each) : areaLink() }, this.registry.name(each)));
  }

  /** Draw how many units are being checked. */
  drawHeld() {
    if (this.#id !== null) this.summary.drawHeld(this.past() ? 0 : this.held.count(this.#id));
  }

  draw() {
    const area = this.past() ? this.#asItWas : this.#newest();
    if (this.#id === null) return;
    this.drawHeld();
    if (!area) {
      const above = this.areas()?.get(this.#id);
      show(byId("area-summary"), above !== undefined);
      this.summary.draw(above);
      return;
    }
    show(byId("area-summary"), true);
    setText(byId("area-subtitle"), this.#subtitle(area));
    this.summary.draw(area);
    if (!this.past()) this.corrections.follow(area);
    this.#drawChildren(area);
  }

  /** Return the area with its children, with what the feed has of them that is newer: a file may be behind it. */
  #newest() {
    const areas = this.areas();
    const document = this.#document;
    if (!document || !areas) return document;
    /** @type {<T extends Area>(area: T) => T} */
    const newer = (area) => {
      const live = areas.get(area.area);
      return live && live.sequence > area.sequence ? { ...area, ...live } : area;
    };
    return { ...newer(document), children: document.children.map(newer) };
  }

  /** @param {Area} area */
  #subtitle({ area, level, parent, status, published_at }) {
    const isUnit = this.registry.isUnit(area);
    const words = [
      isUnit ? t("areaUnit")(this.registry.name(parent ?? "")) : (t("areaLevel")[level] ?? level),
      t("areaId")(area),
    ];
    if (isUnit && status) words.push(t("statuses")[status] ?? status);
    if (published_at) words.push(t("updatedAt")(moment(published_at)));
    return words.join(" · ");
  }

  /** @param {AreaAndChildren} area */
  #drawChildren({ children }) {
    show(byId("children-section"), children.length > 0);
    const [first] = children;
    if (!first) return;
    setText(byId("children-title"), t("childrenTitle")[first.level] ?? t("childrenOther"));
    const columns = this.registry.isUnit(first.area) ? unitColumns : areaColumns;
    if (!this.#children) {
      this.#children = new LiveTable(byId("children", HTMLTableElement), columns(this.parties));
      this.#children.order = parameter("sort") ?? "";
      this.#children.onOrder = (order) => setParameter("sort", order);
    }
    for (const child of children) {
      this.#children.set(child.area, areaRow(child, this.registry.name(child.area), child.area));
    }
    this.#children.arrange();
    drawChangeNote(byId("children-change"), children);
    drawTableDownloads(byId("children-downloads"), this.election, [first.level], first.parent ?? undefined);
  }
}
