// Sentences about the last seat of a district: who has it, who is next, by how many votes, and where a lot decides.

import { h, show } from "./dom.js";
import { seatTexts } from "./seat_texts.js";

/** @import { DistrictSeats } from "./house.js" */
/** @import { Parties } from "./parties.js" */

export class SeatMargins {
  #drawn = "";

  /** @param {Parties} parties */
  constructor(parties) {
    this.parties = parties;
    this.element = h("ul", { class: "margins" });
  }

  /**
   * @param {DistrictSeats | null} seats null: there is nothing to say
   * @param {number} levelling seats of the district
   * @param {string[] | null} own parties with these, none if they are not given yet; null if that is not known
   */
  draw(seats, levelling, own) {
    const sentences = seats ? this.#sentences(seats, levelling, own) : [];
    show(this.element, sentences.length > 0);
    const shown = sentences.join("\n");
    if (this.#drawn === shown) return;
    this.#drawn = shown;
    this.element.replaceChildren(...sentences.map((sentence) => h("li", null, sentence)));
  }

  /**
   * @param {DistrictSeats} seats
   * @param {number} levelling
   * @param {string[] | null} own
   */
  #sentences({ last, next, tied = [] }, levelling, own) {
    const texts = seatTexts();
    const name = (/** @type {string} */ party) => this.parties.name(party);
    /** @type {string[]} */
    const sentences = [];
    if (last) sentences.push(texts.last(name(last.party), last.spare, levelling > 0));
    if (next) sentences.push(texts.next(name(next.party), next.lacks));
    if (tied.length) sentences.push(texts.tied(tied.map(name)));
    if (own?.length) sentences.push(texts.districtLevelling(own.map(name)));
    else if (own && levelling) sentences.push(texts.districtLevellingWaits(levelling));
    return sentences;
  }
}
