// Which units are being checked. A held report is not public, but readers have to know that figures are incomplete.
// Blocks of the feed say how many lines the public list of holds has; the page reads those that are new.

import { fetchGood, Pauses, pause, visible } from "./fetching.js";
import { documents } from "./source.js";

/** @import { Block, HoldLine } from "../documents" */
/** @import { Registry } from "./registry.js" */

/** All pages learn of a line within ten seconds; their requests are spread over this time. */
const SPREAD_MS = 4000;

export class HeldUnits {
  /** The number of the last line that was read. */
  #number = 0;
  /** How many lines the list has, as the blocks say. */
  #wanted = 0;
  /** @type {Set<string>} */
  #units = new Set();
  /** How many there are at or below each area, from municipalities up.
   *
   * @type {Map<string, number>}
   */
  #counts = new Map();
  #fetching = false;

  /**
   * @param {string} election
   * @param {Registry} registry
   * @param {() => void} onChange
   */
  constructor(election, registry, onChange) {
    this.election = election;
    this.registry = registry;
    this.onChange = onChange;
  }

  /**
   * Return how many units at or below an area are being checked; 0 for areas below municipalities.
   *
   * @param {string} area
   */
  count = (area) => this.#counts.get(area) ?? 0;

  /**
   * Read what is new in the list.
   *
   * @param {Block} block
   */
  follow({ snapshot, holds = 0 }) {
    if (snapshot && holds < this.#number) {
      this.#number = 0; // of another history
      this.#units.clear();
      this.#update();
    }
    this.#wanted = snapshot ? holds : Math.max(holds, this.#wanted);
    this.#fetch();
  }

  async #fetch() {
    if (this.#fetching || this.#number >= this.#wanted) return;
    this.#fetching = true;
    const pauses = new Pauses();
    if (this.#number) await pause(SPREAD_MS * Math.random());
    while (this.#number < this.#wanted) {
      await visible();
      try {
        const before = this.#number;
        this.#apply(await this.#read(before));
        pauses.reset();
        if (this.#number === before) await pause(documents().behind_ms * (1 + Math.random())); // another process answered
      } catch (error) {
        await pauses.wait(error);
      }
    }
    this.#fetching = false;
    this.#update();
  }

  /**
   * @param {number} after
   * @returns {Promise<HoldLine[]>}
   */
  async #read(after) {
    const text = await (await fetchGood(documents().holds(this.election, after))).text();
    return text
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  }

  /** @param {HoldLine[]} lines */
  #apply(lines) {
    for (const { number, unit, state } of lines) {
      if (number <= this.#number) continue; // a file has the whole list
      if (number !== this.#number + 1) return; // the list has begun anew meanwhile
      this.#number = number;
      if (state === "held") this.#units.add(unit);
      else this.#units.delete(unit);
    }
  }

  #update() {
    this.#counts.clear();
    for (const unit of this.#units) {
      const municipality = this.registry.municipality(unit);
      for (const area of [...this.registry.ancestors(municipality), municipality]) {
        this.#counts.set(area, this.count(area) + 1);
      }
    }
    this.onChange();
  }
}
