// A tile a municipality, laid out by county: coloured by the leading party or by the share of units counted.
// With the keyboard it is one stop; arrows go from tile to tile. The table below tells the same in words.
//
// Where there is a map, municipalities that it has are shapes on it, and only the others are tiles. All else is the same.

import { h, svg, text } from "./dom.js";
import { compare, number, share, t } from "./format.js";
import { sums } from "./parties.js";
import { layOut } from "./shapes.js";

const ROOM = 34;

export class Tiles {
  #tiles = new Map();
  #counties = new Map();
  #order = [];
  #at = 0;
  #by = "leader";
  #shapes = new Map();

  constructor(container, told, legend, parties, link) {
    this.container = container;
    this.told = told;
    this.legend = legend;
    this.parties = parties;
    this.link = link;
    container.addEventListener("keydown", (event) => this.#move(event));
    container.addEventListener("focusin", (event) => this.#tell(event.target));
    container.addEventListener("pointerover", (event) => this.#tell(event.target));
    container.addEventListener("pointerleave", () => this.#tell(null));
  }

  set by(by) {
    this.#by = by;
  }

  /** What is drawn on a map: geometries by municipality. Takes effect when they are laid out. */
  set shapes(shapes) {
    this.#shapes = shapes;
  }

  /** Lay the tiles out: `counties` is a list of {area, municipalities}. */
  build(counties) {
    this.#tiles.clear();
    this.#counties.clear();
    this.#order = [];
    const map = this.#map(counties);
    const groups = counties.map(({ area, municipalities }) => {
      const sorted = municipalities
        .filter((each) => !this.#tiles.has(each.area))
        .toSorted((a, b) => compare(a.name, b.name));
      if (!sorted.length) return null;
      const grid = h("div", null, ...sorted.map((each) => this.#make(each, area)));
      grid.style.setProperty(
        "--columns",
        Math.min(8, Math.max(1, Math.ceil(Math.sqrt(sorted.length * 1.6)))),
      );
      const heading = h("a", { href: this.link(area.area), tabindex: "-1" }, area.name);
      this.#counties.set(area.area, heading);
      return h("section", { class: "county", "aria-label": area.name }, h("h3", null, heading), grid);
    });
    this.container.replaceChildren(...[map, ...groups].filter((each) => each !== null));
    if (this.#order.length) this.#order[0].tabIndex = 0;
    this.#at = 0;
  }

  /** The municipalities that have a shape, as links in one picture; null where none has. */
  #map(counties) {
    const found = counties.flatMap(({ area, municipalities }) =>
      municipalities
        .filter((each) => this.#shapes.has(each.area))
        .toSorted((a, b) => compare(a.name, b.name))
        .map((each) => ({ area: each, county: area })),
    );
    if (!found.length) return null;
    const { width, height, places } = layOut(found.map(({ area }) => this.#shapes.get(area.area)));
    const shapes = found.map(({ area, county }, index) => this.#shape(area, county, places[index]));
    const labels = shapes.map(({ label }) => label);
    return svg(
      "svg",
      { class: "map", viewBox: `0 0 ${width} ${height}`, role: "presentation" },
      ...shapes.map(({ element }) => element),
      svg("g", { "aria-hidden": "true", class: "labels" }, ...labels),
    );
  }

  #shape(area, county, { path, x, y, room }) {
    const label = svg("text", { x, y, class: room < ROOM ? "small" : "" });
    const element = svg(
      "a",
      { class: "shape", href: this.link(area.area), tabindex: "-1", "data-tile": area.area },
      svg("path", { d: path }),
    );
    this.#keep(element, label, area, county);
    return { element, label };
  }

  #make(area, county) {
    const tile = h("a", {
      class: "tile",
      href: this.link(area.area),
      tabindex: "-1",
      "data-tile": area.area,
    });
    this.#keep(tile, tile, area, county);
    return tile;
  }

  #keep(element, label, area, county) {
    this.#tiles.set(area.area, {
      element,
      label,
      county: county.name,
      place: this.#order.push(element) - 1,
      area,
    });
  }

  draw(area) {
    const tile = this.#tiles.get(area.area);
    if (!tile) return;
    tile.area = area;
    const { element, label: place } = tile;
    const part = area.units.reported / (area.units.total || 1);
    const [leader] = sums(area).ranked;
    const led = this.#by === "leader" && leader !== undefined;
    let label = part ? `${Math.floor(100 * part)}` : "";
    if (this.#by === "leader") label = leader ? leader[0] : "";
    text(place, label);
    for (const each of new Set([element, place])) {
      each.classList.toggle("led", led);
      each.classList.toggle("partly", led && part < 1);
      each.classList.toggle("counted", this.#by === "counted" && part > 0);
      each.classList.toggle("deep", this.#by === "counted" && part > 0.55);
      each.classList.toggle("long", label.length > 3);
      each.style.setProperty("--part", part.toFixed(3));
      if (led) this.parties.colour(each, leader[0]);
    }
    element.setAttribute("aria-label", this.#words(tile));
  }

  /** Explain the colours. */
  drawLegend() {
    if (this.#by === "counted") {
      text(this.legend, t("legendCounted"));
      return;
    }
    const leaders = new Map();
    for (const { area } of this.#tiles.values()) {
      const [leader] = sums(area).ranked;
      if (leader) leaders.set(leader[0], (leaders.get(leader[0]) ?? 0) + 1);
    }
    this.legend.replaceChildren(
      ...[...leaders]
        .sort((a, b) => b[1] - a[1])
        .map(([party, count]) => {
          const swatch = h("i", { class: "party" });
          this.parties.colour(swatch, party);
          return h("span", null, swatch, `${this.parties.name(party)} ${number(count)}`);
        }),
    );
  }

  #words({ area, county }) {
    const words = [t("tile")(area.name, county)];
    const { reported, total } = area.units;
    words.push(reported ? t("tileCounted")(number(reported), number(total)) : t("noneYet"));
    const found = sums(area);
    if (found.ranked.length)
      words.push(
        t("tileLeads")(this.parties.name(found.ranked[0][0]), share(found.ranked[0][1], found.votes)),
      );
    return words.join(" · ");
  }

  #tell(element) {
    const tile = element && this.#tiles.get(element.closest("[data-tile]")?.dataset.tile);
    text(
      this.told,
      tile ? this.#words(tile) : t(this.container.querySelector(".map") ? "mapHint" : "tileHint"),
    );
  }

  hint() {
    this.#tell(null);
  }

  #move(event) {
    const from = this.#tiles.get(event.target.dataset?.tile)?.place;
    if (from === undefined) return;
    const to = {
      ArrowRight: from + 1,
      ArrowLeft: from - 1,
      Home: 0,
      End: this.#order.length - 1,
      ArrowDown: this.#below(from, 1),
      ArrowUp: this.#below(from, -1),
    }[event.key];
    if (to === undefined || !this.#order[to]) return;
    event.preventDefault();
    this.#order[this.#at].tabIndex = -1;
    this.#at = to;
    this.#order[to].tabIndex = 0;
    this.#order[to].focus();
  }

  /** The nearest tile in the next row of tiles, up or down. */
  #below(from, direction) {
    const here = this.#order[from].getBoundingClientRect();
    let best;
    let least = Infinity;
    this.#order.forEach((tile, place) => {
      const box = tile.getBoundingClientRect();
      const down = direction * (box.top - here.top);
      const far = down + 3 * Math.abs(box.left - here.left);
      if (down > 5 && far < least) [least, best] = [far, place];
    });
    return best;
  }
}
