// The seats of the whole house: the chamber, what is not allocated yet, and where the whole country is one district,
// its last seat. Marked as a projection.

import { ChamberView, SeatsHead } from "./chamber_view.js";
import { h, setText, show } from "./dom.js";
import { isHidden } from "./hidden.js";
import { SeatMargins } from "./seat_margins.js";
import { seatLanguage, seatTexts } from "./seat_texts.js";

/** @import { Area } from "../documents" */
/** @import { ChamberOptions } from "./chamber_view.js" */
/** @import { House } from "./house.js" */
/** @import { Parties } from "./parties.js" */

export class HouseSeats {
  /** @type {Area | undefined} */
  #drawnFor;
  #drawnIn = "";

  /**
   * @param {HTMLElement} section
   * @param {House} house
   * @param {Parties} parties
   * @param {Omit<ChamberOptions, "hemicycle">} [options]
   */
  constructor(section, house, parties, options) {
    this.section = section;
    this.house = house;
    this.parties = parties;
    this.head = new SeatsHead(section);
    this.note = h("p", { class: "seats-note" });
    this.margins = new SeatMargins(parties);
    this.chamber = new ChamberView(parties, { hemicycle: true, below: this.margins.element, ...options });
    section.replaceChildren(this.head.element, this.note, this.chamber.element);
  }

  /**
   * Draw what has changed: a change in any district changes the root, too. Return whether anything was drawn.
   *
   * @param {ReadonlyMap<string, Area>} areas
   */
  draw(areas) {
    const root = areas.get(this.house.root);
    const shown = root?.seats !== undefined && !isHidden();
    show(this.section, shown);
    const language = seatLanguage();
    if (!shown || (root === this.#drawnFor && language === this.#drawnIn)) return false;
    this.#drawnFor = root;
    this.#drawnIn = language;
    const chamber = this.house.chamber(root);
    const any = chamber.allocated > 0;
    this.head.draw();
    this.#drawNote(areas, any);
    show(this.chamber.element, any);
    this.margins.draw(any ? this.house.districtSeats(root) : null, 0, null);
    if (any) this.chamber.draw(chamber, chamber.total > 1 ? this.house.majority : null, language);
    return true;
  }

  /**
   * Say which seats are missing, and why, and where a lot decides on levelling seats.
   *
   * @param {ReadonlyMap<string, Area>} areas
   * @param {boolean} any whether there are seats
   */
  #drawNote(areas, any) {
    const texts = seatTexts();
    const waiting = this.house.waiting(areas);
    const levelling = this.house.perDistrict * this.house.districts.size;
    const words = any ? [] : [texts.noneYet];
    if (any && waiting) words.push(texts.waiting(waiting));
    const root = areas.get(this.house.root);
    if (any && levelling && !this.house.levelling(root)) words.push(texts.levellingWaits(levelling));
    const tied = this.house.districtSeats(root) ? [] : (root?.seats?.tied ?? []);
    if (tied.length) words.push(texts.tied(tied.map((party) => this.parties.name(party))));
    show(this.note, words.length > 0);
    setText(this.note, words.join(" "));
  }
}
