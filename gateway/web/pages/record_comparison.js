// PURE: the change of each area since the previous election at any position of the public record, computed as the gateway
// does it (gateway/election/comparison.py, previous.py).

/** @import { Change, PreviousDocument } from "../documents" */
/** @import { Place } from "./record_fold.js" */

/** The statuses of units that are counted even if they have no ballots. */
const DONE = new Set(["final", "controlled", "settled", "counted_elsewhere"]);

/**
 * @typedef {object} Before an area at the previous election
 * @property {Float64Array} figures the votes of each party, those of all others, and for each party in how many of the
 *   areas that were added up it stood for election
 * @property {number | null} ballots
 * @property {number | null} eligible
 */
/**
 * @typedef {object} Now an area at a position of the record
 * @property {number[]} votes of each party in the registry's order
 * @property {number} ballots
 * @property {boolean} counting whether a unit is still counting
 */

export class RecordComparison {
  #places;
  #parties;
  /** The areas of the document, and those that follow from all areas below them.
   *
   * @type {Map<number, Before>}
   */
  #before = new Map();
  /** Whether each unit is counted, by area. */
  #counted;
  /** How many counted units are at or below an area: with votes of the previous election, and without. */
  #with;
  #without;
  /** The figures at the previous election of the counted units at or below an area.
   *
   * @type {Map<number, Float64Array>}
   */
  #sums = new Map();

  /**
   * @param {PreviousDocument} document
   * @param {Place[]} places parents before their children
   * @param {string[]} parties codes in the registry's order
   */
  constructor(document, places, parties) {
    this.#places = places;
    this.#parties = parties;
    this.#counted = new Uint8Array(places.length);
    this.#with = new Uint32Array(places.length);
    this.#without = new Uint32Array(places.length);
    for (let index = places.length - 1; index >= 0; index--) {
      const place = places[index];
      if (!place) continue;
      const own = document.areas[place.area.id];
      const before = own ? this.#read(own) : this.#addUp(place.children);
      if (before) this.#before.set(index, before);
    }
  }

  /**
   * @param {PreviousDocument["areas"][string]} area
   * @returns {Before}
   */
  #read({ votes, other = 0, blank, ballots, eligible }) {
    const parties = this.#parties.length;
    const figures = new Float64Array(2 * parties + 1);
    for (const [index, party] of this.#parties.entries()) {
      if (!Object.hasOwn(votes, party)) continue;
      figures[index] = votes[party] ?? 0;
      figures[parties + 1 + index] = 1;
    }
    const all = other + Object.values(votes).reduce((sum, each) => sum + each, 0);
    figures[parties] = all - sumOf(figures, 0, parties); // votes for parties that the registry does not have are others
    const cast = ballots ?? (blank === undefined ? null : all + blank);
    return { figures, ballots: cast, eligible: eligible ?? null };
  }

  /**
   * Return the sums of areas; null unless all are known.
   *
   * @param {number[]} children
   * @returns {Before | null}
   */
  #addUp(children) {
    const areas = children.flatMap((child) => this.#before.get(child) ?? []);
    if (!children.length || areas.length < children.length) return null;
    const figures = new Float64Array(2 * this.#parties.length + 1);
    for (const area of areas) addTo(figures, area.figures, 1);
    const total = (/** @type {(number | null)[]} */ values) =>
      values.reduce((sum, value) => (sum === null || value === null ? null : sum + value), 0);
    return {
      figures,
      ballots: total(areas.map(({ ballots }) => ballots)),
      eligible: total(areas.map(({ eligible }) => eligible)),
    };
  }

  /**
   * Follow the record: a unit has ballots, and this status.
   *
   * @param {number} unit
   * @param {number} ballots
   * @param {string | null} status
   */
  follow(unit, ballots, status) {
    const counted = ballots > 0 || (status !== null && DONE.has(status));
    if (counted === (this.#counted[unit] === 1)) return;
    this.#counted[unit] = counted ? 1 : 0;
    const before = this.#before.get(unit);
    const counts = before ? this.#with : this.#without;
    const sign = counted ? 1 : -1;
    for (const area of this.#places[unit]?.path ?? []) {
      counts[area] = (counts[area] ?? 0) + sign;
      if (!before) continue;
      let sums = this.#sums.get(area);
      if (!sums) {
        sums = new Float64Array(before.figures.length);
        this.#sums.set(area, sums);
      }
      addTo(sums, before.figures, sign);
    }
  }

  /**
   * Return the change of an area; null where nothing can be compared.
   *
   * @param {number} index
   * @param {Now} now
   * @returns {Change | null}
   */
  change(index, now) {
    const place = this.#places[index];
    const same = (this.#with[index] ?? 0) > 0 && !this.#without[index];
    const before = same ? this.#sums.get(index) : this.#before.get(index)?.figures;
    if (!place || !before) return null;
    const parties = this.#parties.length;
    const votesBefore = sumOf(before, 0, parties + 1);
    const votes = now.votes.reduce((sum, each) => sum + each, 0);
    if (!votesBefore || !votes) return null;
    /** @type {Change["shares"]} */
    const shares = {};
    for (const [party, code] of this.#parties.entries()) {
      if (!place.ballot.has(code)) continue;
      const difference =
        hundredths(now.votes[party] ?? 0, votes) - hundredths(before[party] ?? 0, votesBefore);
      shares[code] = before[parties + 1 + party] ? difference / 100 : null;
    }
    return { basis: same ? "same_units" : "whole", shares, turnout: this.#turnout(index, now) };
  }

  /**
   * @param {number} index
   * @param {Now} now
   */
  #turnout(index, { ballots, counting }) {
    const place = this.#places[index];
    const before = this.#before.get(index);
    const complete = (this.#with[index] ?? 0) + (this.#without[index] ?? 0) === place?.units;
    if (!before || !place?.children.length || !complete || counting) return null;
    const { eligible } = place.area;
    if (!before.eligible || before.ballots === null || !eligible) return null;
    return (hundredths(ballots, eligible) - hundredths(before.ballots, before.eligible)) / 100;
  }
}

/**
 * Return hundredths of a percent, rounded half up.
 *
 * @param {number} part
 * @param {number} whole
 */
function hundredths(part, whole) {
  const dividend = 20_000 * part + whole;
  return (dividend - (dividend % (2 * whole))) / (2 * whole);
}

/**
 * @param {Float64Array} figures
 * @param {number} from
 * @param {number} to
 */
function sumOf(figures, from, to) {
  let sum = 0;
  for (let index = from; index < to; index++) sum += figures[index] ?? 0;
  return sum;
}

/**
 * @param {Float64Array} sums
 * @param {Float64Array} figures
 * @param {1 | -1} sign
 */
function addTo(sums, figures, sign) {
  for (const [index, value] of figures.entries()) sums[index] = (sums[index] ?? 0) + sign * value;
}
