// The results page. What the feed changes is drawn once a frame, and only that.

import { AreaPage } from "./area.js";
import { areaColumns } from "./columns.js";
import { explained } from "./corrections.js";
import { byId, h, show, text } from "./dom.js";
import { Clock, Feed } from "./feed.js";
import { countdown, current, date, moment, number, share, t } from "./format.js";
import { Record } from "./history.js";
import { Parties, sums } from "./parties.js";
import { Places } from "./places.js";
import { readShapes } from "./shapes.js";
import { address, ask, election, rehearsal, say, translate } from "./shell.js";
import { drawStatus } from "./status.js";
import { Summary } from "./summary.js";
import { LiveTable } from "./table.js";
import { Tiles } from "./tiles.js";

const CORRECTIONS = 6;
const ORDER_MS = 1500;
const ROWS = 40;
const SAY_MS = 60_000;

class Results {
  #dirty = new Set();
  #frame = 0;
  #built = false;
  #orderAt = 0;
  #saidAt = 0;
  #orderLater = 0;
  #renewing = false;
  #everyRow = false;

  constructor(found) {
    this.election = found;
    const { registry } = found;
    this.parties = new Parties(registry.parties);
    this.clock = new Clock();
    this.record = new Record(found.id);
    this.places = new Places(registry, (id) => this.feed.copy.get(id));
    this.country = new Summary(byId("country"), this.parties);
    this.table = new LiveTable(byId("areas"), areaColumns(this.parties));
    this.tiles = new Tiles(byId("tiles"), byId("tile-told"), byId("legend"), this.parties, this.places.link);
    this.area = new AreaPage({
      election: found.id,
      places: this.places,
      parties: this.parties,
      record: () => this.record,
      sequence: () => this.feed.sequence,
    });
    this.feed = new Feed(address(found.id, "/feed"), this.clock, {
      onBlock: (areas, block) => this.#applied(areas, block),
      onState: () => this.#stateChanged(),
    });
    this.#listen();
    setInterval(() => this.tick(), 1000);
  }

  #listen() {
    addEventListener("hashchange", () => this.route(true));
    for (const each of document.querySelectorAll("[name=by]")) {
      each.addEventListener("change", () => {
        this.tiles.by = each.value;
        this.#all();
      });
    }
    byId("search").addEventListener("input", () => this.#order(true));
    byId("levels").addEventListener("change", () => this.#order(true));
    byId("areas-all").addEventListener("click", () => {
      this.#everyRow = true;
      this.#order(true);
    });
    document.addEventListener("visibilitychange", () => document.hidden || this.#soon());
  }

  #applied(areas, block) {
    if (block.snapshot) {
      this.record = new Record(this.election.id);
      this.#built = false;
    }
    if (!this.election.released_at && block.sequence > 0) {
      this.election.released_at = block.published_at;
      say(t("openSaid"));
    }
    for (const area of areas) this.#dirty.add(area.area);
    this.area.changed(areas, block.sequence);
    this.#soon();
  }

  #stateChanged() {
    drawStatus(this.feed);
    if (this.feed.state === "live") this.#renew();
  }

  /** How the election stands: its embargo may be moved, and may end with nothing to show. */
  async #renew() {
    if (this.#renewing) return;
    this.#renewing = true;
    const { document } = await ask("/v1/elections");
    this.#renewing = false;
    const found = document?.elections.find((each) => each.id === this.election.id);
    if (found) Object.assign(this.election, found);
    this.#drawEmbargo();
  }

  #soon() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.draw();
    });
  }

  #all() {
    for (const id of this.feed.copy.keys()) this.#dirty.add(id);
    this.#soon();
  }

  /** Draw what changed. */
  draw() {
    const { copy } = this.feed;
    const country = copy.get(this.places.root);
    if (!country) return;
    if (!this.#built) this.#build();
    const changed = [...this.#dirty];
    this.#dirty.clear();
    for (const id of changed) {
      const area = copy.get(id);
      if (!area || id === this.places.root) continue;
      this.table.set(id, { area, sums: sums(area), place: this.#under(area), href: this.places.link(id) });
      this.tiles.draw(area);
    }
    if (changed.length) {
      this.country.draw(country);
      this.tiles.drawLegend();
      this.#corrections();
      this.#order(false);
    }
    drawStatus(this.feed);
    if (performance.now() - this.#saidAt > SAY_MS && country.units.reported) {
      this.#saidAt = performance.now();
      say(t("countedSaid")(share(country.units.reported, country.units.total)));
    }
  }

  #under(area) {
    return area.parent === this.places.root
      ? (t("areaLevel")[area.level] ?? area.level)
      : this.places.name(area.parent);
  }

  /** Make rows and tiles for the areas of a new copy. */
  #build() {
    this.#built = true;
    const { copy } = this.feed;
    this.table.keep(new Set(copy.keys()));
    const counties = new Map();
    for (const area of copy.values()) {
      if (!this.places.children(area.area).some(this.places.isUnit) || area.area === this.places.root)
        continue;
      const above = copy.get(area.parent) ?? area;
      if (!counties.has(above.area)) counties.set(above.area, { area: above, municipalities: [] });
      counties.get(above.area).municipalities.push(area);
    }
    this.tiles.build([...counties.values()]);
    this.tiles.hint();
    for (const id of copy.keys()) this.#dirty.add(id);
    this.#levels();
    show(byId("overview"), this.area.id === null);
  }

  #levels() {
    const select = byId("levels");
    const chosen = select.value;
    const levels = [
      ...new Set(
        [...this.feed.copy.values()].filter((area) => area.parent !== null).map((area) => area.level),
      ),
    ];
    select.replaceChildren(
      h("option", { value: "" }, t("levelAll")),
      ...levels.map((level) => h("option", { value: level }, t("levelNames")[level] ?? level)),
    );
    select.value = levels.includes(chosen) ? chosen : "";
  }

  /** Filter and sort; while counts come in, now and then. */
  #order(asked) {
    const now = performance.now();
    if (!asked && now - this.#orderAt < ORDER_MS) {
      this.#orderLater ||= setTimeout(() => {
        this.#orderLater = 0;
        this.#order(false);
      }, ORDER_MS);
      return;
    }
    this.#orderAt = now;
    const words = byId("search").value.trim().toLocaleLowerCase();
    const level = byId("levels").value;
    this.table.filter = ({ area, place }) =>
      (!level || area.level === level) &&
      (!words || `${area.name} ${area.area} ${place}`.toLocaleLowerCase().includes(words));
    this.table.limit = this.#everyRow ? Infinity : ROWS;
    const shown = this.table.order(asked);
    show(byId("areas-all"), !this.#everyRow && shown > ROWS);
    text(byId("areas-all"), t("showAll")(number(shown)));
    text(byId("matches"), words || level ? t("matches")(number(shown), number(this.feed.copy.size - 1)) : "");
    show(byId("matches"), Boolean(words || level));
  }

  #corrections() {
    const country = this.feed.copy.get(this.places.root);
    const found = [...this.feed.copy.values()].filter(
      (area) => area.last_correction && this.places.children(area.area).some(this.places.isUnit),
    );
    found.sort((a, b) => b.last_correction.sequence - a.last_correction.sequence);
    show(byId("corrections"), country.corrections > 0);
    const list = byId("corrections-list");
    const key = `${current()} ${country.last_correction?.sequence ?? 0}`;
    if (list.dataset.key === key) return; // someone may stand on a link in it
    list.dataset.key = key;
    text(byId("corrections-title"), t("correctionsTitle")(number(country.corrections)));
    list.replaceChildren(
      ...found
        .slice(0, CORRECTIONS)
        .map(({ area, name, last_correction: last }) =>
          h(
            "li",
            null,
            h(
              "strong",
              null,
              h("a", { href: this.places.link(area) }, name),
              ` · ${this.places.name(last.unit)}`,
            ),
            ` – ${explained(last.ballots, last.reason)}`,
          ),
        ),
    );
  }

  /** What changes with the clock alone. */
  tick() {
    drawStatus(this.feed);
    const left = this.#drawEmbargo();
    if (left !== null && (left <= 0 || Math.round(left / 1000) % 30 === 0)) this.#renew();
  }

  /** Count down to the release; returns the milliseconds left, null once it is over. */
  #drawEmbargo() {
    const { released_at, publish_from } = this.election;
    show(byId("embargo"), !released_at);
    if (released_at) return null;
    const left = Date.parse(publish_from) - this.clock.now();
    text(byId("countdown"), left > 0 ? countdown(left) : t("embargoNow"));
    text(byId("embargo-until"), left > 0 ? t("embargoUntil")(moment(publish_from)) : "");
    return left;
  }

  /** Show the area that the address names, or all. */
  route(moved) {
    const match = /^#\/area\/(.+)$/.exec(location.hash);
    const id = match ? decodeURIComponent(match[1]) : null;
    this.area.open(id === this.places.root ? null : id);
    show(byId("overview"), this.area.id === null && this.#built);
    show(byId("area"), this.area.id !== null);
    this.#title();
    if (moved) {
      scrollTo(0, 0);
      if (this.area.id !== null) byId("area-title").focus();
      else byId("main").focus();
    }
  }

  #title() {
    const name = this.election.name;
    document.title = this.area.id === null ? name : `${this.places.name(this.area.id)} · ${name}`;
  }

  /** Draw a map from here on. */
  map(shapes) {
    this.tiles.shapes = shapes;
    this.#built = false;
    this.#soon();
  }

  /** Everything, in the language of now. */
  redraw() {
    rehearsal(this.election.rehearsal);
    text(byId("title"), this.election.name);
    text(
      byId("subtitle"),
      [this.places.name(this.places.root), this.election.date && date(this.election.date)]
        .filter(Boolean)
        .join(" · "),
    );
    this.table.titles();
    this.tiles.hint();
    this.#levels();
    this.#all();
    this.area.redraw();
    this.#title();
    this.tick();
  }
}

let page = null;
translate(() => page?.redraw());
const found = await election();
page = new Results(found);
page.route(false);
page.redraw();
const shapes = await readShapes(page.places.has);
if (shapes.size) page.map(shapes);
