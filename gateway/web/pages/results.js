// The results page. What the feed changes is drawn once per frame, and only that.

import { areaInAddress, followLinks, parameter } from "./address.js";
import { AreaPage } from "./area.js";
import { AreasTable } from "./areas_table.js";
import { ColourChoice } from "./colour_choice.js";
import { CorrectionsList } from "./corrections_list.js";
import { groupByCounty } from "./counties.js";
import { byId, setText, show } from "./dom.js";
import { offerSnippet } from "./embed_snippet.js";
import { Clock, EVERYTHING, Feed } from "./feed.js";
import { Pauses, untilDone } from "./fetching.js";
import { date, share, t } from "./format.js";
import { HeldUnits } from "./held.js";
import { drawCountdown } from "./hidden.js";
import { showKiosk } from "./kiosk.js";
import { nameOf } from "./names.js";
import { Night } from "./night.js";
import { Parties } from "./parties.js";
import { PublicRecord } from "./record.js";
import { Registry } from "./registry.js";
import { areaHasSeats, isApportioned, loadSeatsView } from "./seats.js";
import { fetchShapes } from "./shapes.js";
import { announce, refreshElection, showRehearsal, translate, waitForElection } from "./shell.js";
import { drawStatus } from "./status.js";
import { Summary } from "./summary.js";
import { Tiles } from "./tiles.js";

/** @import { Area, AreaAndChildren, Block, ElectionAndRegistry, Polygon } from "../documents" */
/** @import { SeatsView } from "./seats_view.js" */

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
  #announcedAt = 0;
  #refreshing = false;
  /** The end of the embargo as it was drawn last; "": after the release. */
  #hiddenUntil = "";
  #refreshPauses = new Pauses();
  /** Loaded for elections with seats.
   *
   * @type {SeatsView | null}
   */
  #seats = null;

  /** @param {ElectionAndRegistry} election */
  constructor(election) {
    this.election = election;
    this.registry = new Registry(election.registry);
    this.parties = new Parties(election.registry.parties);
    this.record = new PublicRecord(election.id);
    this.country = new Summary(byId("country"), this.parties);
    this.table = new AreasTable(election.id, this.registry, this.parties);
    this.corrections = new CorrectionsList(election.id, this.registry, "corrections");
    this.tiles = new Tiles(byId("tiles"), byId("tile-description"), byId("legend"), this);
    this.colours = new ColourChoice(election.registry.parties, this.parties, this.registry, (colouring) => {
      this.tiles.colouring = colouring;
      this.#drawAllSoon();
    });
    this.held = new HeldUnits(election.id, this.registry, () => this.#drawHeld());
    this.night = new Night({
      election,
      area: () => this.area.id,
      onMove: (changed, area) => this.#moved(changed, area),
    });
    this.area = new AreaPage({
      past: () => !this.night.isLive,
      areas: () => this.#shownAreas(),
      held: this.held,
      election: election.id,
      registry: this.registry,
      parties: this.parties,
      record: () => this.record,
      feed: () => this.feed,
    });
    this.feed = new Feed(election.id, EVERYTHING, new Clock(), {
      onBlock: (changed, block) => this.#apply(changed, block),
      onState: () => this.#stateChanged(),
    });
    this.#listen();
    if (isApportioned(election.registry)) this.#loadSeats();
    setInterval(() => this.tick(), 1000);
  }

  async #loadSeats() {
    const { SeatsView } = await loadSeatsView();
    this.#seats = new SeatsView({
      election: this.election.id,
      document: this.election.registry,
      registry: this.registry,
      parties: this.parties,
      country: byId("seats"),
      area: byId("area-seats"),
      redraw: () => this.#drawSeats(),
    });
    this.#drawSeats();
  }

  #drawSeats() {
    this.#seats?.draw(this.#shownAreas() ?? new Map(), this.area.id, this.night.isLive);
  }

  #listen() {
    followLinks((followed) => this.route(true, followed));
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
      this.#drawEmbargo();
    }
    if (this.night.isLive) for (const { area } of changed) this.#changed.add(area);
    this.area.update(changed, block.sequence);
    this.held.follow(block);
    this.night.follow(block);
    this.#drawSoon();
  }

  /** Return the areas as the page shows them: as of now, or of a past moment; null while that is being read. */
  #shownAreas() {
    return this.night.isLive ? this.feed.areas : this.night.areas;
  }

  /**
   * Show another moment of the night, or the feed again.
   *
   * @param {Iterable<string> | null} changed areas that may differ; null: all
   * @param {AreaAndChildren | null} area the one that the page shows with its children, as it was; null: the feed
   */
  #moved(changed, area) {
    for (const id of changed ?? this.feed.areas.keys()) this.#changed.add(id);
    this.area.showPast(area, this.night.moment?.sequence ?? null);
    if (changed === null) this.#drawHeld();
    this.#drawTitle();
    this.#drawSoon();
  }

  #drawHeld() {
    this.country.drawHeld(this.night.isLive ? this.held.count(this.registry.root) : 0);
    this.area.drawHeld();
  }

  #stateChanged() {
    drawStatus(this.feed);
    if (this.feed.state === "live") this.#refreshElection();
  }

  async #refreshElection() {
    if (this.#refreshing) return;
    this.#refreshing = true;
    try {
      await refreshElection(this.election);
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
    if (!this.feed.areas.size) return;
    if (!this.#built) this.#build();
    const areas = this.#shownAreas();
    const country = areas?.get(this.registry.root);
    if (!areas || !country) return;
    this.table.describe(areas);
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const id of changed) {
      const area = areas.get(id);
      if (!area || area === country) continue;
      this.table.set(area);
      this.tiles.draw(area);
    }
    if (changed.length) {
      this.country.draw(country);
      this.tiles.drawLegend();
      if (this.night.isLive) {
        this.corrections.follow(country);
        this.#drawSeats();
      }
      this.table.arrange(false);
    }
    drawStatus(this.feed);
    if (!this.night.isLive) return;
    const { reported, total } = country.units;
    if (performance.now() - this.#announcedAt > ANNOUNCE_INTERVAL_MS && reported) {
      this.#announcedAt = performance.now();
      announce(t("announceCounted")(share(reported, total)));
    }
  }

  /** Make rows and tiles for the areas of a new snapshot. */
  #build() {
    this.#built = true;
    const { areas } = this.feed;
    this.table.keep(areas);
    const counties = groupByCounty(areas, this.registry);
    this.tiles.build(counties);
    this.tiles.drawHint();
    show(byId("tiles-section"), counties.length > 0); // there are none in the election of a single municipality
    show(byId("areas-section"), areas.size > 1);
    for (const id of areas.keys()) this.#changed.add(id);
    show(byId("overview"), this.area.id === null);
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
    this.night.draw();
    const hiddenUntil = released_at ? "" : publish_from;
    if (this.#hiddenUntil !== hiddenUntil) {
      this.#hiddenUntil = hiddenUntil;
      this.#drawAllSoon();
      this.area.redraw();
    }
    return released_at ? null : drawCountdown(publish_from, this.feed.clock.now());
  }

  /**
   * Show the area that the address names, or all; in the order and with the filters that it names.
   *
   * @param {boolean} navigated whether the reader came from another area
   * @param {boolean} followed whether through a link: the browser itself restores where a page was left
   */
  route(navigated, followed = navigated) {
    const id = areaInAddress();
    this.night.route();
    this.area.open(id === this.registry.root ? null : id);
    this.night.followArea();
    this.colours.readAddress();
    this.table.readAddress();
    show(byId("overview"), this.area.id === null && this.#built);
    show(byId("area"), this.area.id !== null);
    this.#drawTitle();
    this.#drawSeats();
    if (followed) scrollTo(0, 0);
    if (navigated) byId(this.area.id === null ? "main" : "area-title").focus({ preventScroll: true });
  }

  #drawTitle() {
    const name = nameOf(this.election);
    const { id } = this.area;
    const title = id === null ? name : `${this.registry.name(id)} · ${name}`;
    document.title = this.night.isLive ? title : `${this.night.title} · ${title}`;
    const area = id ?? this.registry.root;
    const seats = areaHasSeats(this.election.registry, this.registry, area);
    offerSnippet(this.election.id, area, title, seats);
  }

  /** @param {Map<string, Polygon[]>} shapes of municipalities, for a map */
  showMap(shapes) {
    this.tiles.shapes = shapes;
    this.#built = false;
    this.#drawSoon();
  }

  /** Draw everything again, after a change of the language. */
  redraw() {
    const { rehearsal, date: day } = this.election;
    showRehearsal(rehearsal);
    setText(byId("title"), nameOf(this.election));
    const subtitle = [this.registry.name(this.registry.root), day ? date(day) : ""];
    setText(byId("subtitle"), subtitle.filter(Boolean).join(" · "));
    this.table.redraw();
    this.colours.redraw();
    this.#built = false; // tiles are ordered by names
    this.#drawAllSoon();
    this.area.redraw();
    this.#drawHeld();
    this.night.redraw();
    this.#drawTitle();
    this.tick();
  }
}

async function start() {
  /** @type {ResultsPage | null} */
  let page = null;
  translate(() => page?.redraw());
  page = new ResultsPage(await waitForElection());
  page.route(false);
  page.redraw();
  const { has } = page.registry;
  const shapes = await untilDone(() => fetchShapes(has));
  if (shapes.size) page.showMap(shapes);
}

await (parameter("kiosk") === null ? start() : showKiosk());
