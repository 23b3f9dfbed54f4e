// The seats on the page with the results: of the country, and of the district that is shown. Loaded only for elections
// with seats (seats.js).

import { CountrySeats } from "./country_seats.js";
import { DistrictSeats } from "./district_seats.js";
import { DistrictTable } from "./district_table.js";
import { House } from "./house.js";
import { onSeatTexts } from "./seat_texts.js";

/** @import { Area, RegistryDocument } from "../documents" */
/** @import { Parties } from "./parties.js" */
/** @import { Registry } from "./registry.js" */

export class SeatsView {
  /**
   * @param {object} options
   * @param {string} options.election
   * @param {RegistryDocument} options.document
   * @param {Registry} options.registry
   * @param {Parties} options.parties
   * @param {HTMLElement} options.country the section for the whole house
   * @param {HTMLElement} options.area the section for a district
   * @param {() => void} options.redraw called when the texts of another language are there, or other seats
   */
  constructor({ election, document, registry, parties, country, area, redraw }) {
    this.house = new House(document);
    this.country = new CountrySeats(country, this.house, parties, registry);
    this.district = new DistrictSeats(area, this.house, parties);
    this.table = this.house.byCountry ? new DistrictTable(election, redraw) : null;
    onSeatTexts(redraw);
  }

  /**
   * Draw the seats of areas above units.
   *
   * @param {ReadonlyMap<string, Area>} areas
   * @param {string | null} shown the area whose page is shown; null: the country
   * @param {boolean} live whether the areas are as they are now
   */
  draw(areas, shown, live) {
    const known = live && this.table ? this.table.apply(areas, this.house.root) : areas;
    if (shown === null) this.country.draw(known);
    this.district.draw(known, shown);
  }
}
