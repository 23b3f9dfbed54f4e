// The results page. What the feed changes is drawn once per frame, and only that.

import { AreaPage } from "./area.js";
import { areaColumns, areaRow } from "./columns.js";
import { describeChange } from "./corrections.js";
import { byId, h, setText, show } from "./dom.js";
import { Clock, Feed } from "./feed.js";
import { Pauses, untilDone } from "./fetching.js";
import { countdown, currentLanguage, date, moment, share, t } from "./format.js";
import { Parties } from "./parties.js";
import { PublicRecord } from "./record.js";
import { areaLink, Registry } from "./registry.js";
import { fetchShapes } from "./shapes.js";
import {
  announce,
  electionPath,
  fetchElections,
  showRehearsal,
  translate,
  waitForElection,
} from "./shell.js";
import { drawStatus } from "./status.js";
import { Summary } from "./summary.js";
import { LiveTable } from "./table.js";
import { Tiles } from "./tiles.js";

/** @import { Area, Block, ElectionAndRegistry, Polygon } from "../documents" */
/** @import { AreaRow } from "./columns.js" */
/** @import { County } from "./tiles.js" */

const CORRECTIONS_MAX = 6;
const SORT_INTERVAL_MS = 1500;
const ROWS = 40;
const ANNOUNCE_INTERVAL_MS = 60_000;
const REFRESH_ELECTION_S = 30;

class ResultsPage {
  /** Areas to draw with the next frame.
   *
   * @type {Set<string>}
   */
  #changed = new Set();
  #frame = 0;
  #built = false;
  #sortedAt = 0;
  #sortTimer = 0;
  #announcedAt = 0;
  #refreshing = false;
  #refreshPauses = new Pauses();
  #allRows = false;

  /** @param {ElectionAndRegistry} election */
  constructor(election) {
    this.election = election;
    this.registry = new Registry(election.registry);
    this.parties = new Parties(election.registry.parties);
    this.record = new PublicRecord(election.id);
    this.country = new Summary(byId("country"), this.parties);
    /** @type {LiveTable<AreaRow>} */
    this.table = new LiveTable(byId("areas", HTMLTableElement), areaColumns(this.parties));
    this.tiles = new Tiles(byId("tiles"), byId("tile-description"), byId("legend"), this.parties);
    this.area = new AreaPage({
      election: election.id,
      registry: this.registry,
      parties: this.parties,
      record: () => this.record,
      feed: () => this.feed,
    });
    this.feed = new Feed(electionPath(election.id, "/feed"), new Clock(), {
      onBlock: (changed, block) => this.#apply(changed, block),
      onState: () => this.#stateChanged(),
    });
    this.#listen();
    setInterval(() => this.tick(), 1000);
  }

  #listen() {
    addEventListener("hashchange", () => this.route(true));
    for (const colourBy of /** @type {const} */ (["leader", "counted"])) {
      byId(`by-${colourBy}`).addEventListener("change", () => {
        this.tiles.colourBy = colourBy;
        this.#drawAllSoon();
      });
    }
    byId("search").addEventListener("input", () => this.#sort(true));
    byId("levels").addEventListener("change", () => this.#sort(true));
    byId("areas-all").addEventListener("click", () => {
      this.#allRows = true;
      this.#sort(true);
    });
    document.addEventListener("visibilitychange", () => document.hidden || this.#drawSoon());
  }

  /**
   * @param {Area[]} changed
   * @param {Block} block
   */
  #apply(changed, block) {
    if (block.snapshot) {
      this.record = new PublicRecord(this.election.id);
      this.#built = false;
    }
    if (!this.election.released_at && block.sequence > 0) {
      this.election.released_at = block.published_at;
      announce(t("announceReleased"));
    }
    for (const { area } of changed) this.#changed.add(area);
    this.area.update(changed, block.sequence);
    this.#drawSoon();
  }

  #stateChanged() {
    drawStatus(this.feed);
    if (this.feed.state === "live") this.#refreshElection();
  }

  /** Fetch the election again: its embargo may be moved, and may end with nothing to show. */
  async #refreshElection() {
    if (this.#refreshing) return;
    this.#refreshing = true;
    try {
      const elections = await fetchElections();
      Object.assign(
        this.election,
        elections.find(({ id }) => id === this.election.id),
      );
      this.#refreshPauses.reset();
    } catch (error) {
      await this.#refreshPauses.wait(error); // then it is fetched again by the clock
    }
    this.#refreshing = false;
    this.#drawEmbargo();
  }

  #drawSoon() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #drawAllSoon() {
    for (const id of this.feed.areas.keys()) this.#changed.add(id);
    this.#drawSoon();
  }

  /** Draw what has changed. */
  #draw() {
    const { areas } = this.feed;
    const country = areas.get(this.registry.root);
    if (!country) return;
    if (!this.#built) this.#build();
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const id of changed) {
      const area = areas.get(id);
      if (!area || area === country) continue;
      this.table.set(id, areaRow(area, this.#noteOf(area)));
      this.tiles.draw(area);
    }
    if (changed.length) {
      this.country.draw(country);
      this.tiles.drawLegend();
      this.#drawCorrections(country);
      this.#sort(false);
    }
    drawStatus(this.feed);
    const { reported, total } = country.units;
    if (performance.now() - this.#announcedAt > ANNOUNCE_INTERVAL_MS && reported) {
      this.#announcedAt = performance.now();
      announce(t("announceCounted")(share(reported, total)));
    }
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

  /** Make rows and tiles for the areas of a new snapshot. */
  #build() {
    this.#built = true;
    const { areas } = this.feed;
    this.table.keep(areas);
    /** @type {Map<string, County>} */
    const counties = new Map();
    for (const area of areas.values()) {
      if (!this.registry.hasUnits(area.area) || area.area === this.registry.root) continue;
      const above = areas.get(area.parent ?? "") ?? area;
      const county = counties.get(above.area) ?? { area: above, municipalities: [] };
      county.municipalities.push(area);
      counties.set(above.area, county);
    }
    this.tiles.build([...counties.values()]);
    this.tiles.drawHint();
    for (const id of areas.keys()) this.#changed.add(id);
    this.#drawLevels();
    show(byId("overview"), this.area.id === null);
  }

  #drawLevels() {
    const select = byId("levels", HTMLSelectElement);
    const chosen = select.value;
    const below = [...this.feed.areas.values()].filter(({ parent }) => parent !== null);
    const levels = [...new Set(below.map(({ level }) => level))];
    select.replaceChildren(
      h("option", { value: "" }, t("levelAll")),
      ...levels.map((level) => h("option", { value: level }, t("levels")[level] ?? level)),
    );
    select.value = levels.includes(chosen) ? chosen : "";
  }

  /**
   * Filter and sort the table; while counts come in, only now and then.
   *
   * @param {boolean} asked whether the reader asked for it
   */
  #sort(asked) {
    const now = performance.now();
    if (!asked && now - this.#sortedAt < SORT_INTERVAL_MS) {
      this.#sortTimer ||= setTimeout(() => {
        this.#sortTimer = 0;
        this.#sort(false);
      }, SORT_INTERVAL_MS);
      return;
    }
    this.#sortedAt = now;
    const words = byId("search", HTMLInputElement).value.trim().toLocaleLowerCase();
    const level = byId("levels", HTMLSelectElement).value;
    this.table.filter = ({ area, note }) =>
      (!level || area.level === level) &&
      (!words || `${area.name} ${area.area} ${note}`.toLocaleLowerCase().includes(words));
    this.table.limit = this.#allRows ? Infinity : ROWS;
    const found = this.table.arrange(asked);
    const filtered = Boolean(words || level);
    show(byId("areas-all"), !this.#allRows && found > ROWS);
    setText(byId("areas-all"), t("showAll")(found));
    show(byId("matches"), filtered);
    setText(byId("matches"), filtered ? t("matches")(found, this.feed.areas.size - 1) : "");
  }

  /** @param {Area} country */
  #drawCorrections(country) {
    show(byId("corrections"), Boolean(country.corrections));
    const list = byId("corrections-list");
    const key = `${currentLanguage()} ${country.last_correction?.sequence ?? 0}`;
    if (list.dataset.key === key) return; // the focus may be on a link in the list
    list.dataset.key = key;
    setText(byId("corrections-title"), t("correctionsTitle")(country.corrections ?? 0));
    const found = [...this.feed.areas.values()].flatMap(({ area, name, last_correction: last }) =>
      last && this.registry.hasUnits(area) ? [{ area, name, last }] : [],
    );
    found.sort((a, b) => b.last.sequence - a.last.sequence);
    list.replaceChildren(
      ...found.slice(0, CORRECTIONS_MAX).map(({ area, name, last }) => {
        const link = h("a", { href: areaLink(area) }, name);
        const place = h("strong", null, link, ` · ${this.registry.name(last.unit)}`);
        return h("li", null, place, ` – ${describeChange(last.ballots, last.reason)}`);
      }),
    );
  }

  /** Draw what changes with the clock alone. */
  tick() {
    drawStatus(this.feed);
    const left_ms = this.#drawEmbargo();
    if (left_ms === null) return;
    if (left_ms <= 0 || Math.round(left_ms / 1000) % REFRESH_ELECTION_S === 0) this.#refreshElection();
  }

  /** Count down to the release; return the milliseconds left, or null after the release. */
  #drawEmbargo() {
    const { released_at, publish_from } = this.election;
    show(byId("embargo"), !released_at);
    if (released_at) return null;
    const left_ms = Date.parse(publish_from) - this.feed.clock.now();
    setText(byId("countdown"), left_ms > 0 ? countdown(left_ms) : t("embargoNow"));
    setText(byId("embargo-until"), left_ms > 0 ? t("embargoUntil")(moment(publish_from)) : "");
    return left_ms;
  }

  /**
   * Show the area that the address names, or all.
   *
   * @param {boolean} navigated whether the reader followed a link to it
   */
  route(navigated) {
    const match = /^#\/area\/(.+)$/.exec(location.hash);
    const id = match?.[1] ? decodeURIComponent(match[1]) : null;
    this.area.open(id === this.registry.root ? null : id);
    show(byId("overview"), this.area.id === null && this.#built);
    show(byId("area"), this.area.id !== null);
    this.#drawTitle();
    if (navigated) {
      scrollTo(0, 0);
      byId(this.area.id === null ? "main" : "area-title").focus();
    }
  }

  #drawTitle() {
    const { name } = this.election;
    const { id } = this.area;
    document.title = id === null ? name : `${this.registry.name(id)} · ${name}`;
  }

  /** @param {Map<string, Polygon[]>} shapes of municipalities, for a map */
  showMap(shapes) {
    this.tiles.shapes = shapes;
    this.#built = false;
    this.#drawSoon();
  }

  /** Draw everything again, after a change of the language. */
  redraw() {
    const { name, rehearsal, date: day } = this.election;
    showRehearsal(rehearsal);
    setText(byId("title"), name);
    const subtitle = [this.registry.name(this.registry.root), day ? date(day) : ""];
    setText(byId("subtitle"), subtitle.filter(Boolean).join(" · "));
    this.table.drawTitles();
    this.tiles.drawHint();
    this.#drawLevels();
    this.#drawAllSoon();
    this.area.redraw();
    this.#drawTitle();
    this.tick();
  }
}

/** @type {ResultsPage | null} */
let page = null;
translate(() => page?.redraw());
page = new ResultsPage(await waitForElection());
page.route(false);
page.redraw();
const { has } = page.registry;
const shapes = await untilDone(() => fetchShapes(has));
if (shapes.size) page.showMap(shapes);
