// Tiles coloured by the change of one party since the previous election: orange where it fell, purple where it rose, the
// stronger the more. These colours differ for readers with any form of colour blindness. The limits of the classes follow
// from the changes of all tiles, so that small parties have a picture too; the legend has them in figures.

import { areaLink } from "./address.js";
import { basisOf, previousTime, shareChange } from "./change.js";
import { h } from "./dom.js";
import { bound, share, t } from "./format.js";
import { hiddenUntil, isHidden } from "./hidden.js";
import { sums } from "./parties.js";

/** @import { Area } from "../documents" */
/** @import { Parties } from "./parties.js" */
/** @import { Registry } from "./registry.js" */
/** @import { Colouring, Look } from "./tile_colours.js" */

/** @typedef {readonly [number, number, number]} Limits in percentage points, of how much a party has changed */

/** @type {readonly Limits[]} */
const SCALES = [
  [0.1, 0.3, 0.5],
  [0.2, 0.6, 1],
  [0.4, 1, 2],
  [0.5, 1.5, 3],
  [1, 3, 5],
  [1, 4, 8],
  [2, 6, 12],
  [5, 10, 20],
];
const EXTREMES = 3; // so many of the largest rises and falls are named
const SHOWN_MIN = 0.05; // smaller changes are shown as 0.0
const WITHIN = 0.85; // this part of all changes is within the outer limits

/**
 * Return the limits of the classes for some changes.
 *
 * @param {number[]} changes
 * @returns {Limits}
 */
export function scaleOf(changes) {
  const sizes = changes.map(Math.abs).sort((a, b) => a - b);
  const size = sizes[Math.ceil(WITHIN * sizes.length) - 1] ?? 0;
  const found = SCALES.find((limits) => size <= limits[2]) ?? SCALES.at(-1);
  return /** @type {Limits} */ (found);
}

/**
 * Return the class of a change: 0 for hardly any, up to 3 for a large rise and -3 for a large fall.
 *
 * @param {number} change
 * @param {Limits} limits
 */
export function classOf(change, limits) {
  const size = limits.filter((limit) => Math.abs(change) >= limit).length;
  return size ? Math.sign(change) * size : 0;
}

/** @implements {Colouring} */
export class Swing {
  #limits = scaleOf([]);

  /**
   * @param {string} party
   * @param {Parties} parties
   * @param {Registry} registry
   */
  constructor(party, parties, registry) {
    this.party = party;
    this.parties = parties;
    this.registry = registry;
  }

  title() {
    return t("swingTitle")(this.parties.name(this.party), previousTime());
  }

  /** @param {Area} area */
  #change({ change }) {
    return isHidden() ? undefined : change?.shares[this.party];
  }

  /** @param {Area[]} areas */
  #changes(areas) {
    return areas.map((area) => this.#change(area)).filter((change) => typeof change === "number");
  }

  /** @param {Area[]} areas */
  follow(areas) {
    const limits = scaleOf(this.#changes(areas));
    if (limits === this.#limits) return false;
    this.#limits = limits;
    return true;
  }

  /**
   * @param {Area} area
   * @returns {Look}
   */
  look(area) {
    if (!area.units.reported || isHidden()) return { label: "", classes: [] };
    const change = this.#change(area);
    const label = shareChange(area, this.party);
    if (typeof change !== "number") return { label, classes: ["incomparable"] };
    return { label, classes: ["swung"], swing: classOf(change, this.#limits) };
  }

  /** @param {Area} area */
  words(area) {
    const { ranked, votes } = sums(area);
    if (!votes) return "";
    const own = ranked.find(([party]) => party === this.party)?.[1] ?? 0;
    const change = this.#change(area);
    const words = [`${this.parties.name(this.party)} ${share(own, votes)}`];
    if (change === null) words.push(t("isNewInWords")(previousTime()));
    else if (change === undefined) words.push(t("swingNone"));
    else words.push(t("pointsSince")(shareChange(area, this.party), previousTime()));
    if (typeof change === "number") words.push(basisOf(area));
    return words.join(" · ");
  }

  /**
   * @param {HTMLElement} legend
   * @param {Area[]} areas
   */
  drawLegend(legend, areas) {
    if (isHidden()) {
      legend.replaceChildren(hiddenUntil());
      return;
    }
    const changes = this.#changes(areas);
    const [up, down] = [1, -1].map((sign) => changes.filter((change) => sign * change > 0).length);
    const name = this.parties.name(this.party);
    const summary = changes.length
      ? t("swingSummary")(name, up ?? 0, down ?? 0, changes.length, previousTime())
      : t("swingNobody")(name, previousTime());
    const [small, medium, large] = this.#limits;
    const ranges = [
      t("swingBelow")(bound(-large)),
      t("swingRange")(bound(-large), bound(-medium)),
      t("swingRange")(bound(-medium), bound(-small)),
      t("swingRange")(bound(-small), bound(small)),
      t("swingRange")(bound(small), bound(medium)),
      t("swingRange")(bound(medium), bound(large)),
      t("swingAbove")(bound(large)),
    ];
    const scale = ranges.map((range, index) =>
      h("span", null, h("i", { class: "swung", "data-swing": index - 3 }), range),
    );
    const none = h("span", null, h("i", { class: "incomparable" }), t("swingNone"));
    const drawn = [h("p", null, summary), ...scale, none, ...this.#extremes(areas)];
    const words = drawn.map(({ textContent }) => textContent).join("");
    if (legend.textContent === words || legend.contains(document.activeElement)) return;
    legend.replaceChildren(...drawn);
  }

  /**
   * Return the areas with the largest rises and falls, as links.
   *
   * @param {Area[]} areas
   */
  #extremes(areas) {
    const changes = areas
      .map((area) => ({ area, change: this.#change(area) ?? 0 }))
      .sort((a, b) => b.change - a.change);
    const rises = changes.filter(({ change }) => change >= SHOWN_MIN).slice(0, EXTREMES);
    const falls = changes.filter(({ change }) => change <= -SHOWN_MIN).slice(-EXTREMES);
    const lists = [
      { title: t("swingRises"), found: rises },
      { title: t("swingFalls"), found: falls.reverse() },
    ];
    return lists.flatMap(({ title, found }) => {
      if (!found.length) return [];
      const links = found.flatMap(({ area }, index) => [
        index ? " · " : " ",
        h("a", { href: areaLink(area.area) }, this.registry.name(area.area)),
        ` ${shareChange(area, this.party)}`,
      ]);
      return [h("p", { class: "extremes" }, title, ...links)];
    });
  }
}
