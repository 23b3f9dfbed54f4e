// The seats of districts that depend on votes elsewhere: with a threshold of the country for all seats, the events of
// districts have none. They are read as a table now and then, while the figures of the country change.

import { fetchJson, Pauses } from "./fetching.js";
import { documents } from "./source.js";

/** @import { Area, Seats, SeatTable } from "../documents" */

const INTERVAL_MS = 10_000;
const JITTER_MS = 5000; // readers do not all ask at the same moment
const LIMIT_MS = 15_000; // the server waits for up to 5 s for the position

export class DistrictTable {
  /** Seats by district, as of the latest answer.
   *
   * @type {Map<string, Seats>}
   */
  #seats = new Map();
  /** @type {{root: Area | undefined, areas: ReadonlyMap<string, Area>} | null} */
  #applied = null;
  #sequence = -1;
  #wanted = 0;
  #reading = false;
  #pauses = new Pauses();

  /**
   * @param {string} election
   * @param {() => void} onRead called when there are other seats
   */
  constructor(election, onRead) {
    this.election = election;
    this.onRead = onRead;
  }

  /**
   * Return areas with the seats of their districts as far as they have been read; read newer ones.
   *
   * @param {ReadonlyMap<string, Area>} areas
   * @param {string} root
   * @returns {ReadonlyMap<string, Area>}
   */
  apply(areas, root) {
    const country = areas.get(root);
    if (country && country.sequence > this.#sequence) {
      this.#wanted = country.sequence;
      if (country.sequence > 0) this.#read();
    }
    if (this.#applied && this.#applied.root === country) return this.#applied.areas;
    const found = new Map(areas);
    for (const [id, seats] of this.#seats) {
      const area = areas.get(id);
      if (area) found.set(id, { ...area, seats });
    }
    if (country) found.set(root, { ...country }); // what is drawn from the table is drawn again
    this.#applied = { root: country, areas: found };
    return found;
  }

  async #read() {
    if (this.#reading) return;
    this.#reading = true;
    while (this.#sequence < this.#wanted) {
      try {
        const path = documents().seats(this.election, this.#wanted);
        /** @type {SeatTable} */
        const { record, districts } = await fetchJson(path, { limit_ms: LIMIT_MS });
        this.#pauses.reset();
        this.#sequence = record.sequence;
        this.#seats = new Map(districts.map((each) => [each.area, seatsOf(each)]));
        this.#applied = null;
        this.onRead();
        await new Promise((done) => setTimeout(done, INTERVAL_MS + JITTER_MS * Math.random()));
      } catch (error) {
        await this.#pauses.wait(error);
      }
    }
    this.#reading = false;
  }
}

/**
 * @param {SeatTable["districts"][number]} district
 * @returns {Seats}
 */
function seatsOf({ ordinary, last, next, tied, parties }) {
  const by_party = Object.fromEntries(
    parties.filter(({ seats }) => seats > 0).map(({ party, seats }) => [party, seats]),
  );
  return { projection: true, ordinary, by_party, last, next, tied };
}
