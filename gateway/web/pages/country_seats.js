// The seats on the page of the country: those of the whole house, the seats that are close, the parties around the
// threshold, and the levelling seats.

import { areaLink } from "./address.js";
import { CloseSeats } from "./close_seats.js";
import { h, setText, show } from "./dom.js";
import { drawDownloads } from "./downloads.js";
import { number } from "./format.js";
import { HouseSeats } from "./house_seats.js";
import { seatLanguage, seatTexts } from "./seat_texts.js";
import { documents } from "./source.js";
import { partyLabel, ThresholdList } from "./threshold_list.js";

/** @import { Area } from "../documents" */
/** @import { House } from "./house.js" */
/** @import { Parties } from "./parties.js" */
/** @import { Registry } from "./registry.js" */

export class CountrySeats {
  #levellingDrawn = "";

  /**
   * @param {HTMLElement} section
   * @param {House} house
   * @param {Parties} parties
   * @param {Registry} registry
   */
  constructor(section, house, parties, registry) {
    this.house = house;
    this.parties = parties;
    this.registry = registry;
    this.whole = new HouseSeats(section, house, parties);
    this.toWin = new CloseSeats("toWin", parties, registry);
    this.toLose = new CloseSeats("toLose", parties, registry);
    this.threshold = new ThresholdList(house, parties);
    this.why = h("p", { class: "quiet" });
    this.levelling = h("details", { class: "levelling-seats" });
    this.downloads = h("p", { class: "quiet downloads" });
    const { element } = this.threshold;
    section.append(
      h("div", { class: "columns" }, this.toWin.element, this.toLose.element, element),
      this.why,
      this.levelling,
      this.downloads,
    );
  }

  /**
   * Draw what has changed.
   *
   * @param {ReadonlyMap<string, Area>} areas
   */
  draw(areas) {
    if (!this.whole.draw(areas)) return;
    const texts = seatTexts();
    const root = areas.get(this.house.root);
    const { toWin, toLose } = this.house.close(areas);
    this.toWin.draw(toWin);
    this.toLose.draw(toLose);
    show(this.why, toWin.length + toLose.length > 0);
    setText(this.why, [texts.closeWhy, this.house.perDistrict ? texts.closeLevelling : ""].join(" ").trim());
    this.threshold.draw(root?.seats);
    this.#drawLevelling(this.house.levelling(root) ?? []);
    const { election } = this.house;
    drawDownloads(this.downloads, [
      { name: "", links: documents().seatFiles(election, `${election}-seats`) },
    ]);
  }

  /** @param {{district: string, party: string}[]} seats */
  #drawLevelling(seats) {
    const key = JSON.stringify([seatLanguage(), seats]);
    if (key === this.#levellingDrawn) return; // the focus may be on a link
    this.#levellingDrawn = key;
    const texts = seatTexts();
    show(this.levelling, seats.length > 0);
    const rows = seats.map(({ district, party }, index) => {
      const name = h("a", { href: areaLink(district) }, this.registry.name(district));
      return h(
        "tr",
        null,
        h("td", null, number(index + 1)),
        h("th", { scope: "row", class: "left" }, name),
        h("td", { class: "left" }, partyLabel(this.parties, party)),
      );
    });
    const titles = [
      h("th", { scope: "col" }, texts.colOrder),
      h("th", { scope: "col", class: "left" }, texts.colDistrict),
      h("th", { scope: "col", class: "left" }, texts.colParty),
    ];
    this.levelling.replaceChildren(
      h("summary", null, `${texts.levelling} (${number(seats.length)})`),
      h("p", { class: "quiet" }, texts.levellingWhy),
      h(
        "table",
        { class: "wide" },
        h("caption", { class: "unseen" }, texts.levelling),
        h("thead", null, h("tr", null, ...titles)),
        h("tbody", null, ...rows),
      ),
    );
  }
}
