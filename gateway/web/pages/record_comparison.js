// PURE: the change of each area since the previous election at any position of the public record, computed as the gateway
// does it (gateway/election/comparison.py, previous.py).

/** @import { Change, PreviousDocument } from "../documents" */
/** @import { Place } from "./record_fold.js" */

/** The statuses of units that are counted even if they have no ballots. */
const DONE = new Set(["final", "controlled", "settled", "counted_elsewhere"]);

/**
 * @typedef {object} Before an area at the previous election
 * @property {Float64Array} figures the votes of each party, those of all others, for each party in how many of the areas
 *   that were added up it stood for election, and 0
 * @property {number | null} ballots
 * @property {number | null} eligible
 */
/**
 * @typedef {object} Now an area at a position of the record
 * @property {number[]} votes of each party in the registry's order
 * @property {number} ballots
 * @property {boolean} counting whether a unit is still counting
 */

/** An area is compared with what is known of its counted units if the votes of the others are at most 1 in so many. */
const OPEN_MOST = 20;

export class RecordComparison {
  #places;
  #parties;
  /** The areas of the document, and those that follow from all areas below them.
   *
   * @type {Map<number, Before>}
   */
  #before = new Map();
  /** The areas above units that the document has.
   *
   * @type {Set<number>}
   */
  #given = new Set();
  /** How many counted units are at or below each area. */
  #counted;
  /** The votes of each counted unit without earlier ones. */
  #open;
  /** By area, the earlier figures of what is counted below it, and the votes now of counted units without earlier ones:
   * of units themselves, and of areas above them the sum of what is known of those directly below.
   *
   * @type {Map<number, Float64Array>}
   */
  #sums = new Map();
  #nothing;

  /**
   * @param {PreviousDocument} document
   * @param {Place[]} places parents before their children
   * @param {string[]} parties codes in the registry's order
   */
  constructor(document, places, parties) {
    this.#places = places;
    this.#parties = parties;
    this.#counted = new Uint32Array(places.length);
    this.#open = new Float64Array(places.length);
    this.#nothing = new Float64Array(2 * parties.length + 2);
    for (let index = places.length - 1; index >= 0; index--) {
      const place = places[index];
      if (!place) continue;
      const own = document.areas[place.area.id];
      const before = own ? this.#read(own) : this.#addUp(place.children);
      if (before) this.#before.set(index, before);
      if (own && place.children.length) this.#given.add(index);
    }
  }

  /**
   * @param {PreviousDocument["areas"][string]} area
   * @returns {Before}
   */
  #read({ votes, other = 0, blank, ballots, eligible }) {
    const parties = this.#parties.length;
    const figures = this.#nothing.slice();
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
    const total = (/** @type {(number | null)[]} */ values) =>
      values.reduce((sum, value) => (sum === null || value === null ? null : sum + value), 0);
    return {
      figures: areas.reduce((sum, { figures }) => plus(sum, figures), this.#nothing),
      ballots: total(areas.map(({ ballots }) => ballots)),
      eligible: total(areas.map(({ eligible }) => eligible)),
    };
  }

  /**
   * Follow the record: a unit has these figures.
   *
   * @param {number} unit
   * @param {Now} now
   * @param {string | null} status
   */
  follow(unit, { votes, ballots }, status) {
    const counted = ballots > 0 || (status !== null && DONE.has(status)) ? 1 : 0;
    const turned = counted - (this.#counted[unit] ?? 0);
    const before = this.#before.get(unit);
    if (before) {
      if (turned) this.#add(unit, plus(this.#nothing, before.figures, turned), turned);
      return;
    }
    const open = counted ? votes.reduce((sum, each) => sum + each, 0) : 0;
    const more = open - (this.#open[unit] ?? 0);
    if (!more && !turned) return;
    this.#open[unit] = open;
    const change = this.#nothing.slice();
    change[change.length - 1] = more;
    this.#add(unit, change, turned);
  }

  /**
   * Add to what is known of a unit and of the areas above it.
   *
   * @param {number} unit
   * @param {Float64Array} change
   * @param {number} turned 1: the unit is counted now, -1: it is no longer, 0: otherwise
   */
  #add(unit, change, turned) {
    for (const area of this.#places[unit]?.path ?? []) {
      const before = this.#known(area) ?? this.#nothing;
      this.#sums.set(area, plus(this.#sums.get(area) ?? this.#nothing, change));
      this.#counted[area] = (this.#counted[area] ?? 0) + turned;
      if (this.#given.has(area)) change = plus(this.#known(area) ?? this.#nothing, before, -1);
    }
  }

  /**
   * Return what the counted units at or below an area are compared with; undefined before the first.
   *
   * @param {number} index
   */
  #known(index) {
    if (this.#given.has(index) && this.#isComplete(index)) return this.#before.get(index)?.figures;
    return this.#sums.get(index);
  }

  /** @param {number} index */
  #isComplete = (index) => this.#counted[index] === this.#places[index]?.units;

  /**
   * Return the change of an area; null where nothing can be compared.
   *
   * @param {number} index
   * @param {Now} now
   * @returns {Change | null}
   */
  change(index, now) {
    const place = this.#places[index];
    const parties = this.#parties.length;
    const votes = now.votes.reduce((sum, each) => sum + each, 0);
    const known = this.#known(index);
    const same =
      known && sumOf(known, 0, parties + 1) > 0 && (known[known.length - 1] ?? 0) * OPEN_MOST <= votes;
    const before = same ? known : this.#before.get(index)?.figures;
    const votesBefore = before ? sumOf(before, 0, parties + 1) : 0;
    if (!place || !before || !votesBefore || !votes) return null;
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
    if (!before || !place?.children.length || !this.#isComplete(index) || counting) return null;
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
 * @param {number} [times]
 */
const plus = (sums, figures, times = 1) => sums.map((each, index) => each + times * (figures[index] ?? 0));
