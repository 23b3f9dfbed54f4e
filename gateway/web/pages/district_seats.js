// The seats of one district: by party, who has the last one, who is next, and by how many votes. Marked as a
// projection.

import { ChamberView, SeatsHead } from "./chamber_view.js";
import { h, setText, show } from "./dom.js";
import { isHidden } from "./hidden.js";
import { hasSeats } from "./house.js";
import { SeatMargins } from "./seat_margins.js";
import { seatLanguage, seatTexts } from "./seat_texts.js";
import { ThresholdList } from "./threshold_list.js";

/** @import { Area } from "../documents" */
/** @import { ChamberOptions } from "./chamber_view.js" */
/** @import { DistrictSeats as Seats, House } from "./house.js" */
/** @import { Parties } from "./parties.js" */

export class DistrictSeats {
  #drawn = "";

  /**
   * @param {HTMLElement} section
   * @param {House} house
   * @param {Parties} parties
   * @param {Omit<ChamberOptions, "hemicycle">} [options]
   */
  constructor(section, house, parties, options) {
    this.section = section;
    this.house = house;
    this.head = new SeatsHead(section);
    this.note = h("p", { class: "seats-note" });
    this.why = h("p", { class: "quiet" });
    this.margins = new SeatMargins(parties);
    const below = h("div", null, this.margins.element, this.why);
    this.chamber = new ChamberView(parties, { hemicycle: false, below, ...options });
    this.threshold = new ThresholdList(house, parties);
    section.replaceChildren(
      this.head.element,
      this.note,
      this.chamber.element,
      h("div", { class: "columns" }, this.threshold.element),
    );
  }

  /**
   * Draw the seats of an area, if it is a district and they have changed. Return whether it is one.
   *
   * @param {ReadonlyMap<string, Area>} areas
   * @param {string | null} id
   */
  draw(areas, id) {
    const seats = id === null ? null : this.house.districtSeats(areas.get(id));
    const shown = id !== null && seats !== null && !isHidden();
    show(this.section, shown);
    if (!shown) return false;
    const own = this.house.levellingOf(areas, id);
    const key = JSON.stringify([seatLanguage(), id, seats, own]);
    if (key !== this.#drawn) this.#draw(id, seats, own);
    this.#drawn = key;
    return true;
  }

  /**
   * @param {string} id
   * @param {Seats} seats
   * @param {string[] | null} own parties with the levelling seats of the district; null if the root is not known
   */
  #draw(id, seats, own) {
    const texts = seatTexts();
    const total = this.house.districts.get(id) ?? seats.ordinary;
    const levelling = total - seats.ordinary;
    const any = hasSeats(seats);
    const words = levelling ? texts.districtOrdinary(seats.ordinary, levelling) : texts.seats(total);
    this.head.draw();
    setText(this.note, any ? `${words}.` : texts.noneYetHere(total));
    this.margins.draw(any ? seats : null, levelling, own);
    setText(this.why, texts.otherThingsEqual);
    show(this.chamber.element, any);
    if (any) {
      const chamber = this.house.ofDistrict(seats, own ?? [], own === null ? seats.ordinary : total);
      this.chamber.draw(chamber, null, seatLanguage());
    }
    this.threshold.draw(seats);
  }
}
