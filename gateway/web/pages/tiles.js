// A tile a municipality, laid out by county: coloured by the leading party or by the share of units counted.
// With the keyboard it is one stop; arrows go from tile to tile. The table below tells the same in words.
//
// A map of areas would be another class with these three methods: build, draw, told.

import { h, text } from "./dom.js";
import { compare, number, share, t } from "./format.js";
import { sums } from "./parties.js";

export class Tiles {
  #tiles = new Map();
  #counties = new Map();
  #order = [];
  #at = 0;
  #by = "leader";

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

  /** Lay the tiles out: `counties` is a list of {area, municipalities}. */
  build(counties) {
    this.#tiles.clear();
    this.#counties.clear();
    this.#order = [];
    const groups = counties.map(({ area, municipalities }) => {
      const sorted = municipalities.toSorted((a, b) => compare(a.name, b.name));
      const grid = h("div", null, ...sorted.map((each) => this.#make(each, area)));
      grid.style.setProperty("--columns", Math.min(8, Math.max(1, Math.ceil(Math.sqrt(sorted.length * 1.6)))));
      const heading = h("a", { href: this.link(area.area), tabindex: "-1" }, area.name);
      this.#counties.set(area.area, heading);
      return h("section", { class: "county", "aria-label": area.name }, h("h3", null, heading), grid);
    });
    this.container.replaceChildren(...groups);
    if (this.#order.length) this.#order[0].tabIndex = 0;
    this.#at = 0;
  }

  #make(area, county) {
    const tile = h("a", { class: "tile", href: this.link(area.area), tabindex: "-1", "data-tile": area.area });
    this.#tiles.set(area.area, { element: tile, county: county.name, place: this.#order.push(tile) - 1, area });
    return tile;
  }

  draw(area) {
    const tile = this.#tiles.get(area.area);
    if (!tile) return;
    tile.area = area;
    const { element } = tile;
    const part = area.units.reported / (area.units.total || 1);
    const [leader] = sums(area).ranked;
    const led = this.#by === "leader" && leader !== undefined;
    let label = part ? `${Math.floor(100 * part)}` : "";
    if (this.#by === "leader") label = leader ? leader[0] : "";
    text(element, label);
    element.classList.toggle("led", led);
    element.classList.toggle("partly", led && part < 1);
    element.classList.toggle("counted", this.#by === "counted" && part > 0);
    element.classList.toggle("deep", this.#by === "counted" && part > 0.55);
    element.classList.toggle("long", label.length > 3);
    element.style.setProperty("--part", part.toFixed(3));
    if (led) this.parties.colour(element, leader[0]);
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
      ...[...leaders].sort((a, b) => b[1] - a[1]).map(([party, count]) => {
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
    if (found.ranked.length) words.push(t("tileLeads")(this.parties.name(found.ranked[0][0]), share(found.ranked[0][1], found.votes)));
    return words.join(" · ");
  }

  #tell(element) {
    const tile = element && this.#tiles.get(element.dataset?.tile);
    text(this.told, tile ? this.#words(tile) : t("tileHint"));
  }

  hint() {
    this.#tell(null);
  }

  #move(event) {
    const from = this.#tiles.get(event.target.dataset?.tile)?.place;
    if (from === undefined) return;
    const to = { ArrowRight: from + 1, ArrowLeft: from - 1, Home: 0, End: this.#order.length - 1, ArrowDown: this.#below(from, 1), ArrowUp: this.#below(from, -1) }[event.key];
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
