// The parties around the threshold, and by how many votes they are above or below it.

import { h, show } from "./dom.js";
import { currentLocales } from "./format.js";
import { aroundThreshold } from "./house.js";
import { seatTexts } from "./seat_texts.js";

/** @import { Seats } from "../documents" */
/** @import { House } from "./house.js" */
/** @import { Parties } from "./parties.js" */

export class ThresholdList {
  /**
   * @param {House} house
   * @param {Parties} parties
   */
  constructor(house, parties) {
    this.house = house;
    this.parties = parties;
    this.element = h("div", { class: "threshold" });
  }

  /** @param {Seats | undefined} seats of the area whose votes count for the threshold */
  draw(seats) {
    const { threshold, perDistrict } = this.house;
    const parties = aroundThreshold(seats);
    show(this.element, threshold !== null && parties.length > 0);
    if (!threshold) return;
    const texts = seatTexts();
    const items = parties.map(({ party, above, votes }) =>
      h(
        "li",
        { "data-threshold": party },
        partyLabel(this.parties, party),
        h("span", { class: "close-votes" }, above ? texts.above(votes) : texts.below(votes)),
        h("span", { class: "quiet close-other" }, this.parties.name(party)),
      ),
    );
    const title = threshold.of === "district" ? texts.thresholdHere : texts.threshold;
    this.element.replaceChildren(
      h("h3", null, title(percent(threshold.percent))),
      h("p", { class: "quiet" }, perDistrict ? texts.thresholdLevelling : texts.thresholdWhy),
      h("ul", { class: "close-seats" }, ...items),
    );
  }
}

/**
 * Return the colour and the code of a party.
 *
 * @param {Parties} parties
 * @param {string} party
 */
export function partyLabel(parties, party) {
  const chip = h("i", { class: "chip party", "aria-hidden": "true" });
  parties.colour(chip, party);
  return h("span", { class: "close-party" }, chip, h("b", { title: parties.name(party) }, party));
}

/** @param {number | string} value */
const percent = (value) =>
  new Intl.NumberFormat(currentLocales(), { style: "percent", maximumFractionDigits: 3 }).format(
    Number(value) / 100,
  );
