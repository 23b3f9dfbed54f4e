// The seats of one area as a part of another page: on a screen (kiosk.js) and in a frame (embed.js). The chamber for
// the country, otherwise the seats of the district; nothing for other areas.

import { DistrictSeats } from "./district_seats.js";
import { House } from "./house.js";
import { HouseSeats } from "./house_seats.js";

/** @import { Area, RegistryDocument } from "../documents" */
/** @import { ChamberOptions } from "./chamber_view.js" */
/** @import { Parties } from "./parties.js" */

export class SeatsPart {
  /**
   * @param {HTMLElement} section
   * @param {RegistryDocument} document
   * @param {Parties} parties
   * @param {string} area
   * @param {Omit<ChamberOptions, "hemicycle">} [options]
   */
  constructor(section, document, parties, area, options) {
    this.section = section;
    const house = new House(document);
    const whole = area === house.root ? new HouseSeats(section, house, parties, options) : null;
    const district = whole ? null : new DistrictSeats(section, house, parties, options);
    /** @param {ReadonlyMap<string, Area>} areas */
    this.draw = (areas) => {
      whole?.draw(areas);
      district?.draw(areas, area);
    };
  }

  /** Whether there is anything to see. */
  get visible() {
    return !this.section.hidden;
  }
}
