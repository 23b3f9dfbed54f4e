// PURE: the figures of all areas at any position of the public record, folded as the gateway folds it
// (gateway/election/state.py). Every publication is kept as what it changed, so that a state can be moved forward
// and back; copies of whole states at intervals make every position near to one of them.

import { categoriesOf } from "./categories.js";
import { RecordComparison } from "./record_comparison.js";

/** @import { Area, AreaAndChildren, Counts, PreviousDocument, Publication, RegistryDocument } from "../documents" */

const STATUSES = [
  "not_counted",
  "counting",
  "preliminary",
  "final",
  "controlled",
  "settled",
  "counted_elsewhere",
  "unstated",
];
/** The status as which an unknown status is counted and shown. */
const UNKNOWN_STATUS = STATUSES.length - 1;
const REASONS = new Set(["recount", "revoked", "late_ballots", "booking_error", "control", "other"]);
/** The reason as which an unknown reason is shown. */
const UNKNOWN_REASON = "other";
/** The counts of a category, in the order in which they are shown; what is not in every report is optional. */
const COUNTS = /** @type {const} */ (["ballots", "blank", "rejected", "voters"]);
const OPTIONAL = new Set(["voters"]);

// Places from the start of a category: the number of units that have it, the number of units that have each optional
// count, the sums of all counts, and the votes of each party in the registry's order.
const COUNTED = 0;
const FIRST_SUM = 1 + OPTIONAL.size;
const BALLOTS = FIRST_SUM;
const PARTIES = FIRST_SUM + COUNTS.length;

const PUBLICATIONS_MAX = 1_000_000;
/** Changed figures that are kept, of 8 bytes each. */
const CHANGES_MAX = 16_000_000;
/** Figures of all areas together, of 8 bytes each. */
const FIGURES_MAX = 16_000_000;
const COPIES_MAX = 16;
const COPIES_BYTES_MAX = 64 * 2 ** 20;
/** Publications between two copies, until there would be too many. */
const COPY_INTERVAL = 2000;

/** A record that is not the continuation of what was added before. */
export class RecordBroken extends Error {}

/** A record or an election that is larger than what is kept in memory. */
export class RecordTooLarge extends Error {}

/** @typedef {RegistryDocument["areas"][number]} RegistryArea */
/**
 * @typedef {object} Place an area of the election
 * @property {RegistryArea} area
 * @property {number[]} path indices of the area and of all areas above it
 * @property {number[]} children
 * @property {number} units
 * @property {Set<string>} ballot codes of the parties on its ballot; above units, on a ballot below
 */
/**
 * @typedef {object} Copy of a state
 * @property {number} sequence
 * @property {Float64Array} figures
 * @property {Uint32Array} last
 * @property {Uint32Array} falls
 * @property {Uint32Array} lastFall
 */
/** @typedef {{reason: string | null, previous: {[category: string]: {ballots: number}}}} Fall */

/** A typed array that grows.
 *
 * @template {Uint8Array | Uint32Array | Int32Array | Float64Array} T
 */
class Column {
  /** @param {{new (length: number): T}} type */
  constructor(type) {
    this.type = type;
    this.length = 0;
    this.values = new type(1024);
  }

  /** @param {number} value */
  push(value) {
    if (this.length === this.values.length) {
      const values = this.values;
      this.values = new this.type(2 * values.length);
      this.values.set(values);
    }
    this.values[this.length++] = value;
  }

  /** @param {number} index of a value that was pushed */
  at = (index) => this.values[index] ?? 0;
}

export class RecordFold {
  /** Parents before their children; the first is above all others.
   *
   * @type {Place[]}
   */
  #places = [];
  /** @type {Map<string, number>} */
  #indices = new Map();
  #categories;
  #parties;
  /** Figures of one area. */
  #size;

  // The record. Of publication n, the values are at n - 1, and its changes end at `#ends` n - 1.
  #unit = new Column(Uint32Array);
  #revision = new Column(Float64Array);
  /** The previous publication of the same unit, and its correction before this publication; 0: none. */
  #previous = new Column(Uint32Array);
  #previousFall = new Column(Uint32Array);
  #ends = new Column(Uint32Array);
  #changedPlace = new Column(Uint32Array);
  #change = new Column(Int32Array);
  /** @type {string[]} */
  #times = [];
  /** The publications after which figures were lower than before, by sequence.
   *
   * @type {Map<number, Fall>}
   */
  #fallAt = new Map();

  // Where the record ends: by area, the figures of units, their last publication and correction.
  #newest;
  #newestLast;
  #newestFall;

  // The state at `#position`, by area.
  #position = 0;
  #figures;
  /** The last publication at or below an area, the number of corrections, and the last of them. */
  #last;
  #falls;
  #lastFall;

  /** @type {RecordComparison | null} */
  #comparison = null;

  /** The state before the first publication, in arrays that are never changed: all figures are 0.
   *
   * @type {Copy}
   */
  #start;
  /** @type {Copy[]} */
  #copies = [];
  #interval;
  #copiesMax;
  /** How many publications the last move applied or took back. */
  moved = 0;

  /**
   * Throws RecordTooLarge.
   *
   * @param {RegistryDocument} registry
   * @param {{interval?: number, copies?: number}} [options] publications between two copies, and copies at most
   */
  constructor(registry, { interval = COPY_INTERVAL, copies = COPIES_MAX } = {}) {
    this.#interval = interval;
    this.#categories = categoriesOf(registry);
    this.#parties = new Map(registry.parties.map(({ code }, index) => [code, index]));
    this.#size = STATUSES.length + this.#categories.length * (PARTIES + this.#parties.size);
    this.#addAreas(registry);
    const areas = this.#places.length;
    if (areas * this.#size > FIGURES_MAX) throw new RecordTooLarge(`${areas} areas`);
    this.#newest = new Int32Array(areas * this.#size);
    this.#newestLast = new Uint32Array(areas);
    this.#newestFall = new Uint32Array(areas);
    this.#figures = new Float64Array(areas * this.#size);
    this.#last = new Uint32Array(areas);
    this.#falls = new Uint32Array(areas);
    this.#lastFall = new Uint32Array(areas);
    const none = new Uint32Array(areas);
    this.#start = {
      sequence: 0,
      figures: new Float64Array(this.#figures.length),
      last: none,
      falls: none,
      lastFall: none,
    };
    this.#copiesMax = Math.min(copies, Math.floor(COPIES_BYTES_MAX / this.#figures.byteLength));
  }

  /** @param {RegistryDocument} registry */
  #addAreas({ areas, parties }) {
    /** @type {Map<string | null, RegistryArea[]>} */
    const below = new Map();
    for (const area of areas) {
      const siblings = below.get(area.parent);
      if (siblings) siblings.push(area);
      else below.set(area.parent, [area]);
    }
    /** The ballots that areas have or inherit.
     *
     * @type {Set<string>[]}
     */
    const ballots = [];
    const add = (/** @type {RegistryArea} */ area, /** @type {number | undefined} */ parent) => {
      const above = parent === undefined ? undefined : this.#places[parent];
      const index = this.#places.length;
      const inherited =
        (parent === undefined ? undefined : ballots[parent]) ?? new Set(parties.map(({ code }) => code));
      ballots.push(area.parties?.length ? new Set(area.parties) : inherited);
      const path = [index, ...(above?.path ?? [])];
      this.#places.push({ area, path, children: [], units: 0, ballot: new Set() });
      this.#indices.set(area.id, index);
      above?.children.push(index);
    };
    for (const root of below.get(null) ?? []) add(root, undefined);
    for (let index = 0; index < this.#places.length; index++) {
      for (const child of below.get(this.#places[index]?.area.id ?? null) ?? []) add(child, index);
    }
    for (const [index, place] of [...this.#places.entries()].reverse()) {
      if (!place.children.length) {
        place.units = 1;
        place.ballot = ballots[index] ?? place.ballot;
      }
      const above = this.#places[place.path[1] ?? -1];
      if (!above) continue;
      above.units += place.units;
      for (const code of place.ballot) above.ballot.add(code);
    }
  }

  /**
   * Compare all areas with a previous election.
   *
   * @param {PreviousDocument} previous
   */
  compareWith(previous) {
    this.#comparison = new RecordComparison(previous, this.#places, [...this.#parties.keys()]);
    this.#compare(this.#places.keys());
  }

  /** How many publications have been added. */
  get sequence() {
    return this.#times.length;
  }

  /** The sequence of the state that can be read. */
  get position() {
    return this.#position;
  }

  /** Return when a publication was made, as the record has it; null before the first. */
  publishedAt = (/** @type {number} */ sequence) => this.#times[sequence - 1] ?? null;

  /**
   * Add the next publication. The state does not move. Throws RecordBroken, RecordTooLarge.
   *
   * @param {Publication} publication
   */
  add({ sequence, published_at, report }) {
    const unit = this.#indices.get(report.unit);
    if (sequence !== this.sequence + 1) throw new RecordBroken(`${sequence} follows ${this.sequence}`);
    if (unit === undefined || this.#places[unit]?.children.length)
      throw new RecordBroken(`unit ${report.unit}`);
    if (sequence > PUBLICATIONS_MAX || this.#change.length > CHANGES_MAX)
      throw new RecordTooLarge(`${sequence} publications`);
    const figures = this.#figuresOf(report);
    const before = this.#newest.subarray(unit * this.#size, (unit + 1) * this.#size);
    const fell = this.#fell(before, figures);
    this.#unit.push(unit);
    this.#revision.push(report.revision);
    this.#previous.push(this.#newestLast[unit] ?? 0);
    this.#previousFall.push(this.#newestFall[unit] ?? 0);
    const last = this.#times.at(-1);
    this.#times.push(published_at === last ? last : published_at);
    this.#newestLast[unit] = sequence;
    if (fell) {
      this.#fallAt.set(sequence, { reason: reasonOf(report.reason), previous: this.#ballotsOf(before) });
      this.#newestFall[unit] = sequence;
    }
    for (let place = 0; place < this.#size; place++) {
      const change = (figures[place] ?? 0) - (before[place] ?? 0);
      if (!change) continue;
      this.#changedPlace.push(place);
      this.#change.push(change);
    }
    this.#ends.push(this.#change.length);
    before.set(figures);
  }

  /**
   * Return the figures of a report, as far as its status, categories and parties are known.
   *
   * @param {Publication["report"]} report
   */
  #figuresOf({ status, counts }) {
    const figures = new Int32Array(this.#size);
    const known = STATUSES.indexOf(status);
    figures[known < 0 ? UNKNOWN_STATUS : known] = 1;
    for (const [category, count] of Object.entries(counts)) {
      const number = this.#categories.indexOf(category);
      if (number < 0) continue;
      const base = this.#base(number);
      figures[base + COUNTED] = 1;
      for (const [index, name] of COUNTS.entries()) {
        const value = count[name];
        if (value === undefined) continue;
        if (OPTIONAL.has(name)) figures[base + placeOfUnits(name)] = 1;
        figures[base + FIRST_SUM + index] = value;
      }
      for (const [party, votes] of Object.entries(count.votes)) {
        const place = this.#parties.get(party);
        if (place !== undefined) figures[base + PARTIES + place] = votes;
      }
    }
    return figures;
  }

  /**
   * Return the place where a category starts.
   *
   * @param {number} category
   */
  #base = (category) => STATUSES.length + category * (PARTIES + this.#parties.size);

  /**
   * Whether ballots or a party's votes are fewer than before.
   *
   * @param {Int32Array} before
   * @param {Int32Array} after
   */
  #fell(before, after) {
    const width = PARTIES + this.#parties.size;
    for (let base = STATUSES.length; base < this.#size; base += width) {
      if ((after[base + BALLOTS] ?? 0) < (before[base + BALLOTS] ?? 0)) return true;
      for (let place = base + PARTIES; place < base + width; place++) {
        if ((after[place] ?? 0) < (before[place] ?? 0)) return true;
      }
    }
    return false;
  }

  /** @param {Int32Array} figures of a unit */
  #ballotsOf(figures) {
    const counted = this.#categories.flatMap((category, number) => {
      const base = this.#base(number);
      return figures[base + COUNTED] ? [[category, { ballots: figures[base + BALLOTS] ?? 0 }]] : [];
    });
    return Object.fromEntries(counted);
  }

  /**
   * Move the state to a position. Return the indices of all areas that may have changed; null: any.
   *
   * @param {number} sequence at most that of the last publication that was added
   * @returns {Set<number> | null}
   */
  seek(sequence) {
    /** @type {Set<number> | null} */
    let changed = new Set();
    const near = this.#nearestCopy(sequence);
    const [fromCopy, fromHere] = [near.sequence, this.#position].map((each) => Math.abs(sequence - each));
    if ((fromCopy ?? 0) < (fromHere ?? 0)) {
      changed = null;
      this.#figures.set(near.figures);
      this.#last.set(near.last);
      this.#falls.set(near.falls);
      this.#lastFall.set(near.lastFall);
      this.#position = near.sequence;
    }
    this.moved = Math.abs(sequence - this.#position);
    while (this.#position < sequence) {
      this.#position += 1;
      this.#apply(this.#position, 1, changed);
      if (this.#position % this.#interval === 0) this.#copy();
    }
    while (this.#position > sequence) {
      this.#apply(this.#position, -1, changed);
      this.#position -= 1;
    }
    this.#addUp();
    this.#compare(changed ?? this.#places.keys());
    return changed;
  }

  /** @param {Iterable<number>} changed areas whose figures may have changed */
  #compare(changed) {
    if (!this.#comparison) return;
    for (const index of changed) {
      if (this.#isUnit(index)) this.#comparison.follow(index, this.#now(index), this.#status(index));
    }
  }

  /**
   * Return the sum of a figure over all categories.
   *
   * @param {number} index
   * @param {number} place from the start of a category
   */
  #sum(index, place) {
    let sum = 0;
    for (const number of this.#categories.keys()) sum += this.#figure(index, this.#base(number) + place);
    return sum;
  }

  /** @param {number} index of a unit */
  #status = (index) => STATUSES.find((_, number) => this.#figure(index, number)) ?? null;

  /** @param {number} sequence */
  #nearestCopy(sequence) {
    let nearest = this.#start;
    for (const copy of this.#copies) {
      if (Math.abs(copy.sequence - sequence) < Math.abs(nearest.sequence - sequence)) nearest = copy;
    }
    return nearest;
  }

  /**
   * Apply a publication, or take it back.
   *
   * @param {number} sequence
   * @param {1 | -1} direction
   * @param {Set<number> | null} changed
   */
  #apply(sequence, direction, changed) {
    const index = sequence - 1;
    const unit = this.#unit.at(index);
    const [from, to] = [index ? this.#ends.at(index - 1) : 0, this.#ends.at(index)];
    const figures = this.#figures;
    const [places, changes] = [this.#changedPlace.values, this.#change.values];
    for (const area of this.#places[unit]?.path ?? []) {
      const base = area * this.#size;
      changed?.add(area);
      for (let each = from; each < to; each++) {
        const place = base + (places[each] ?? 0);
        figures[place] = (figures[place] ?? 0) + direction * (changes[each] ?? 0);
      }
    }
    this.#last[unit] = direction > 0 ? sequence : this.#previous.at(index);
    if (!this.#fallAt.has(sequence)) return;
    this.#falls[unit] = (this.#falls[unit] ?? 0) + direction;
    this.#lastFall[unit] = direction > 0 ? sequence : this.#previousFall.at(index);
  }

  /** Derive the last publications and the corrections of areas above units from those of the units. */
  #addUp() {
    const [last, falls, lastFall] = [this.#last, this.#falls, this.#lastFall];
    for (let index = this.#places.length - 1; index >= 0; index--) {
      const children = this.#places[index]?.children ?? [];
      if (!children.length) continue;
      let [newest, sum, newestFall] = [0, 0, 0];
      for (const child of children) {
        newest = Math.max(newest, last[child] ?? 0);
        sum += falls[child] ?? 0;
        newestFall = Math.max(newestFall, lastFall[child] ?? 0);
      }
      last[index] = newest;
      falls[index] = sum;
      lastFall[index] = newestFall;
    }
  }

  /** Keep a copy of the state, and fewer of the others where there would be too many. */
  #copy() {
    if (!this.#copiesMax || this.#copies.some(({ sequence }) => sequence === this.#position)) return;
    while (this.#copies.length >= this.#copiesMax) {
      this.#interval *= 2;
      this.#copies = this.#copies.filter(({ sequence }) => sequence % this.#interval === 0);
    }
    if (this.#position % this.#interval) return;
    this.#copies.push({
      sequence: this.#position,
      figures: this.#figures.slice(),
      last: this.#last.slice(),
      falls: this.#falls.slice(),
      lastFall: this.#lastFall.slice(),
    });
  }

  /** Return the indices of all areas above units. */
  aboveUnits = () => [...this.#places.keys()].filter((index) => !this.#isUnit(index));

  /** @param {number} index */
  #isUnit = (index) => !this.#places[index]?.children.length;

  /**
   * Return the areas above units among some areas, as the feed sends them.
   *
   * @param {Iterable<number>} indices
   * @returns {Area[]}
   */
  areas = (indices) =>
    [...indices].filter((index) => !this.#isUnit(index)).map((index) => this.#document(index));

  /**
   * Return an area with its children, as the feed door answers; null: the election has no such area.
   *
   * @param {string} id
   * @returns {AreaAndChildren | null}
   */
  area(id) {
    const index = this.#indices.get(id);
    const place = index === undefined ? undefined : this.#places[index];
    if (index === undefined || !place) return null;
    const children = place.children.map((child) => this.#document(child));
    return { ...this.#document(index), record: { sequence: this.#position }, children };
  }

  /**
   * Return the members of an area that follow from its units. What its corrections look like is left out, because
   * later publications may explain them.
   *
   * @param {number} index
   * @returns {Area}
   */
  #document(index) {
    const place = this.#places[index];
    if (!place) throw new RangeError(`no area ${index}`);
    const { id, parent, level, name, eligible = null } = place.area;
    const sequence = this.#last[index] ?? 0;
    const published_at = this.publishedAt(sequence);
    const units = this.#units(index, place.units);
    const counts = this.#counts(index, place.ballot);
    const document = {
      ...{ area: id, parent, level, name, sequence, published_at, eligible, units, counts },
      ...(this.#comparison ? { change: this.#comparison.change(index, this.#now(index)) } : {}),
    };
    if (place.children.length) return { ...document, corrections: this.#falls[index] ?? 0 };
    const status = this.#status(index);
    const revision = sequence ? this.#revision.at(sequence - 1) : null;
    return { ...document, revision, status, correction: this.#correction(this.#lastFall[index] ?? 0) };
  }

  /** @param {number} index */
  #now(index) {
    const votes = [...this.#parties.values()].map((place) => this.#sum(index, PARTIES + place));
    const counting = this.#figure(index, STATUSES.indexOf("counting")) > 0;
    return { votes, ballots: this.#sum(index, BALLOTS), counting };
  }

  /** @param {number} index @param {number} place */
  #figure = (index, place) => this.#figures[index * this.#size + place] ?? 0;

  /** @param {number} index @param {number} total */
  #units(index, total) {
    const reported = STATUSES.reduce((sum, _, number) => sum + this.#figure(index, number), 0);
    /** @type {{[status: string]: number}} */
    const by_status = reported < total ? { no_report: total - reported } : {};
    for (const [number, status] of STATUSES.entries()) {
      const units = this.#figure(index, number);
      if (units) by_status[status] = units;
    }
    return { total, reported, by_status };
  }

  /**
   * Return the figures of each category that some unit has counted, with every party on the ballot.
   *
   * @param {number} index
   * @param {Set<string>} ballot
   * @returns {{[category: string]: Counts}}
   */
  #counts(index, ballot) {
    const counted = this.#categories.flatMap((category, number) => {
      const base = this.#base(number);
      if (!this.#figure(index, base + COUNTED)) return [];
      const votes = [...this.#parties].filter(([party]) => ballot.has(party));
      const sums = COUNTS.map((name, place) => [name, this.#figure(index, base + FIRST_SUM + place)]);
      const known = COUNTS.map((name) => this.#figure(index, base + placeOfUnits(name)) > 0);
      const counts = {
        ...Object.fromEntries(sums.filter((_, place) => known[place])),
        votes: Object.fromEntries(
          votes.map(([party, place]) => [party, this.#figure(index, base + PARTIES + place)]),
        ),
      };
      return [[category, counts]];
    });
    return Object.fromEntries(counted);
  }

  /** @param {number} sequence of a unit's last correction; 0: none */
  #correction(sequence) {
    const fall = this.#fallAt.get(sequence);
    const at = this.publishedAt(sequence);
    return fall && at !== null ? { sequence, at, ...fall, explained: null } : null;
  }
}

/**
 * Return the place, in a category, of the number of units that have a count.
 *
 * @param {string} name
 */
const placeOfUnits = (name) => (OPTIONAL.has(name) ? COUNTED + 1 + [...OPTIONAL].indexOf(name) : COUNTED);

/** @param {string | undefined} reason */
function reasonOf(reason) {
  if (reason === undefined) return null;
  return REASONS.has(reason) ? reason : UNKNOWN_REASON;
}
