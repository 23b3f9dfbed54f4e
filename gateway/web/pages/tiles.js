// One tile per municipality, laid out by county and coloured as tile_colours.js or swing.js say. Municipalities that a map has are shapes on it instead of tiles; all else is the same. With the
// keyboard all tiles are one stop, and arrow keys move between them. The table below them says the same in
// words.

import { areaLink } from "./address.js";
import { h, setText, svg } from "./dom.js";
import { compare, t } from "./format.js";
import { hiddenUntil, unlessHidden } from "./hidden.js";
import { layOut } from "./shapes.js";
import { byLeader, TILE_CLASSES } from "./tile_colours.js";

/** @import { Area, Polygon } from "../documents" */
/** @import { Parties } from "./parties.js" */
/** @import { Registry } from "./registry.js" */
/** @import { Shape } from "./shapes.js" */
/** @import { Colouring } from "./tile_colours.js" */

/** @typedef {{area: Area, municipalities: Area[]}} County */
/**
 * @typedef {object} Tile
 * @property {HTMLElement | SVGAElement} element
 * @property {HTMLElement | SVGTextElement} label the same element, for a tile that is not on the map
 * @property {string} county its name
 * @property {number} index in the order of the keyboard
 * @property {Area} area as it is now
 */

const LABEL_WIDTH_MIN = 34;

/** Return the pattern of shapes without a comparison, which the style sheet refers to. */
function hatching() {
  const square = { width: 9, height: 9, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" };
  const line = svg("line", { x1: 0, y1: 0, x2: 0, y2: 9 });
  return svg("defs", {}, svg("pattern", { id: "incomparable", ...square }, line));
}

export class Tiles {
  /** @type {Map<string, Tile>} */
  #tiles = new Map();
  /** @type {(HTMLElement | SVGAElement)[]} */
  #order = [];
  #focused = 0;
  #descriptionHeight = 0;
  /** What the colours show. Takes effect with the next `draw` of each area.
   *
   * @type {Colouring}
   */
  colouring;
  /** Shapes by municipality. Takes effect with the next `build`.
   *
   * @type {Map<string, Polygon[]>}
   */
  shapes = new Map();

  /**
   * @param {HTMLElement} container
   * @param {HTMLElement} description where the tile is described that is pointed at or has the focus
   * @param {HTMLElement} legend
   * @param {{parties: Parties, registry: Registry}} names
   */
  constructor(container, description, legend, { parties, registry }) {
    this.container = container;
    this.description = description;
    this.legend = legend;
    this.parties = parties;
    this.registry = registry;
    this.colouring = byLeader(parties);
    container.addEventListener("keydown", (event) => this.#moveFocus(event));
    container.addEventListener("focusin", (event) => this.#describe(this.#tileAt(event)));
    container.addEventListener("pointerover", (event) => this.#describe(this.#tileAt(event)));
    container.addEventListener("pointerleave", () => this.#describe(undefined));
  }

  /**
   * Lay the tiles out.
   *
   * @param {County[]} counties
   */
  build(counties) {
    this.#tiles.clear();
    this.#order = [];
    const map = this.#makeMap(counties);
    const groups = counties.map((county) => this.#makeGroup(county));
    this.container.replaceChildren(...[map, ...groups].filter((each) => each !== null));
    this.#order[0]?.setAttribute("tabindex", "0");
    this.#focused = 0;
  }

  /**
   * Return the tiles of a county's municipalities that are not on the map; null where there are none.
   *
   * @param {County} county
   */
  #makeGroup({ area: county, municipalities }) {
    const missing = municipalities.filter(({ area }) => !this.#tiles.has(area)).toSorted(this.#byName);
    if (!missing.length) return null;
    const grid = h("div", null, ...missing.map((area) => this.#makeTile(area, county)));
    const columns = Math.min(8, Math.max(1, Math.ceil(Math.sqrt(missing.length * 1.6))));
    grid.style.setProperty("--columns", String(columns));
    const name = this.registry.name(county.area);
    const heading = h("a", { href: areaLink(county.area), tabindex: "-1" }, name);
    return h("section", { class: "county", "aria-label": name }, h("h3", null, heading), grid);
  }

  /**
   * Return the municipalities that have a shape as links in one picture; null where none has.
   *
   * @param {County[]} counties
   */
  #makeMap(counties) {
    const drawn = counties.flatMap(({ area: county, municipalities }) =>
      municipalities.toSorted(this.#byName).flatMap((area) => {
        const polygons = this.shapes.get(area.area);
        return polygons ? [{ area, county, polygons }] : [];
      }),
    );
    if (!drawn.length) return null;
    const { width, height, shapes } = layOut(drawn.map(({ polygons }) => polygons));
    const links = [];
    const labels = [];
    for (const [index, shape] of shapes.entries()) {
      const found = drawn[index];
      if (!found) continue;
      const { element, label } = this.#makeShape(found.area, found.county, shape);
      links.push(element);
      labels.push(label);
    }
    return svg(
      "svg",
      { class: "map", viewBox: `0 0 ${width} ${height}`, role: "presentation" },
      hatching(),
      ...links,
      svg("g", { "aria-hidden": "true", class: "labels" }, ...labels),
    );
  }

  /**
   * @param {Area} area
   * @param {Area} county
   * @param {Shape} shape
   */
  #makeShape(area, county, { path, x, y, width }) {
    const label = svg("text", { x, y, class: width < LABEL_WIDTH_MIN ? "small" : "" });
    const attributes = {
      class: "shape",
      href: areaLink(area.area),
      tabindex: "-1",
      "data-tile": area.area,
    };
    const element = svg("a", attributes, svg("path", { d: path }));
    this.#add(element, label, area, county);
    return { element, label };
  }

  /**
   * @param {Area} area
   * @param {Area} county
   */
  #makeTile(area, county) {
    const attributes = { class: "tile", href: areaLink(area.area), tabindex: "-1", "data-tile": area.area };
    const tile = h("a", attributes);
    this.#add(tile, tile, area, county);
    return tile;
  }

  /**
   * @param {Tile["element"]} element
   * @param {Tile["label"]} label
   * @param {Area} area
   * @param {Area} county
   */
  #add(element, label, area, county) {
    const index = this.#order.push(element) - 1;
    this.#tiles.set(area.area, { element, label, county: this.registry.name(county.area), index, area });
  }

  /** @param {Area} area as it is now; one without a tile is ignored */
  draw(area) {
    const tile = this.#tiles.get(area.area);
    if (!tile) return;
    tile.area = area;
    this.#paint(tile);
  }

  /** @param {Tile} tile */
  #paint(tile) {
    const { area } = tile;
    const { label, classes, party, swing } = this.colouring.look(area);
    const part = area.units.reported / (area.units.total || 1);
    setText(tile.label, label);
    for (const element of new Set([tile.element, tile.label])) {
      for (const name of TILE_CLASSES) element.classList.toggle(name, classes.includes(name));
      element.classList.toggle("long", label.length > 3 || swing !== undefined); // all changes in one size
      element.style.setProperty("--part", part.toFixed(3));
      if (party !== undefined) this.parties.colour(element, party);
      if (swing === undefined) delete element.dataset.swing;
      else element.dataset.swing = String(swing);
    }
    tile.element.setAttribute("aria-label", this.#describeInWords(tile));
  }

  /**
   * @param {Area} a
   * @param {Area} b
   */
  #byName = (a, b) => compare(this.registry.name(a.area), this.registry.name(b.area));

  /** Draw what the colours mean, after the tiles of all areas that have changed. */
  drawLegend() {
    const areas = [...this.#tiles.values()].map(({ area }) => area);
    if (this.colouring.follow(areas)) for (const tile of this.#tiles.values()) this.#paint(tile);
    this.colouring.drawLegend(this.legend, areas);
  }

  /** Draw how to use the tiles. */
  drawHint() {
    this.#keepHeight(0);
    this.#describe(undefined);
  }

  /** @param {Tile | undefined} pointedAt without one, the tile that has the focus is described */
  #describe(pointedAt) {
    const tile = pointedAt ?? this.#tileOf(document.activeElement);
    const hint = t(this.container.querySelector(".map") ? "mapHint" : "tileHint");
    setText(this.description, tile ? this.#describeInWords(tile) : hint);
    // The tiles are below: if the description became shorter again, they would move away from the pointer and back.
    const { height } = this.description.getBoundingClientRect();
    if (height > this.#descriptionHeight) this.#keepHeight(height);
  }

  /** @param {number} height_px of the description, which it keeps with shorter texts */
  #keepHeight(height_px) {
    this.#descriptionHeight = height_px;
    this.description.style.minHeight = height_px ? `${height_px}px` : "";
  }

  /** @param {Tile} tile */
  #describeInWords({ area, county }) {
    const { reported, total } = area.units;
    const words = [
      t("tile")(this.registry.name(area.area), county),
      reported ? t("tileCounted")(reported, total) : unlessHidden(t("noneYet"), hiddenUntil()),
    ];
    return [...words, this.colouring.words(area)].filter(Boolean).join(" · ");
  }

  /** @param {Event} event */
  #tileAt({ target }) {
    return this.#tileOf(target);
  }

  /** @param {EventTarget | null} target */
  #tileOf(target) {
    const element = target instanceof Element ? target.closest("[data-tile]") : null;
    return this.#tiles.get(element?.getAttribute("data-tile") ?? "");
  }

  /** @param {KeyboardEvent} event */
  #moveFocus(event) {
    const from = this.#tileAt(event)?.index;
    if (from === undefined) return;
    const to = this.#destination(event.key, from);
    const next = to === undefined ? undefined : this.#order[to];
    if (to === undefined || !next) return;
    event.preventDefault();
    this.#order[this.#focused]?.setAttribute("tabindex", "-1");
    this.#focused = to;
    next.setAttribute("tabindex", "0");
    next.focus();
  }

  /**
   * @param {string} key
   * @param {number} from
   */
  #destination(key, from) {
    if (key === "ArrowRight") return from + 1;
    if (key === "ArrowLeft") return from - 1;
    if (key === "ArrowDown") return this.#nearestInNextRow(from, 1);
    if (key === "ArrowUp") return this.#nearestInNextRow(from, -1);
    if (key === "Home") return 0;
    if (key === "End") return this.#order.length - 1;
    return undefined;
  }

  /**
   * @param {number} from
   * @param {1 | -1} direction down or up
   */
  #nearestInNextRow(from, direction) {
    const here = this.#order[from]?.getBoundingClientRect();
    if (!here) return undefined;
    let nearest;
    let least = Infinity;
    for (const [index, tile] of this.#order.entries()) {
      const box = tile.getBoundingClientRect();
      const away = direction * (box.top - here.top);
      const distance = away + 3 * Math.abs(box.left - here.left);
      if (away > 5 && distance < least) [least, nearest] = [distance, index];
    }
    return nearest;
  }
}
