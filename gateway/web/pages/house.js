// The seats of an election as the pages show them: who sits where in the chamber, and which seats are close. Pure: it
// reads the registry and areas, and knows nothing of elements or languages.

import { majorityOf } from "./chamber.js";

/** @import { Area, Bloc, RegistryDocument, Seats } from "../documents" */
/** @import { Group } from "./chamber.js" */

/** @typedef {{bloc: Bloc | null, from: number, seats: number}} BlocSeats `from`: seats before it; null: in no bloc */
/** @typedef {{party: string, seats: number, levelling: number}} PartySeats */
/**
 * @typedef {object} Chamber
 * @property {Group[]} groups from left to right
 * @property {BlocSeats[]} blocs from left to right, those without seats too
 * @property {PartySeats[]} parties those with seats, the most first
 * @property {number} total
 * @property {number} allocated
 */
/** @typedef {{district: string, party: string, votes: number, other: string | null}} Close a seat that few votes move */
/** @typedef {{party: string, above: boolean, votes: number}} NearThreshold */
/** @typedef {Seats & {ordinary: number}} DistrictSeats */

export class House {
  /** Seats by district, levelling seats included.
   *
   * @type {Map<string, number>}
   */
  districts = new Map();
  total = 0;

  /** @param {RegistryDocument} registry of an election with `apportionment` */
  constructor({ election, areas, parties }) {
    const { apportionment, blocs } = election;
    this.election = election.id;
    this.root = areas.find(({ parent }) => parent === null)?.id ?? "";
    this.perDistrict = apportionment?.levelling?.per_district ?? 0;
    this.threshold = apportionment?.threshold ?? null;
    for (const { id, level, seats } of areas) {
      if (level !== apportionment?.districts || seats === undefined) continue;
      this.districts.set(id, seats);
      this.total += seats;
    }
    this.majority = majorityOf(this.total);
    /** Whether the seats of a district depend on votes elsewhere, so that its own events do not have them. */
    this.byCountry = this.threshold?.of === "country" && !this.perDistrict && this.districts.size > 1;
    this.blocs = blocs ?? [];
    this.order = parties.map(({ code }) => code);
  }

  /**
   * Return the seats of the whole house.
   *
   * @param {Area | undefined} root
   * @returns {Chamber}
   */
  chamber(root) {
    return this.arrange(partySeats(root?.seats), this.total);
  }

  /**
   * Return the seats of one district.
   *
   * @param {Seats} seats
   * @param {string[]} levelling parties with its levelling seats, as far as these are known
   * @param {number} total levelling seats included
   * @returns {Chamber}
   */
  ofDistrict(seats, levelling, total) {
    const found = new Map(partySeats(seats).map((each) => [each.party, each]));
    for (const party of levelling) {
      const { seats: before, levelling: given } = found.get(party) ?? { seats: 0, levelling: 0 };
      found.set(party, { party, seats: before + 1, levelling: given + 1 });
    }
    return this.arrange([...found.values()], total);
  }

  /**
   * Arrange parties: by bloc, with parties of no bloc and seats that are not allocated yet between the blocs; without
   * blocs, those with the most seats first.
   *
   * @param {PartySeats[]} found
   * @param {number} total
   * @returns {Chamber}
   */
  arrange(found, total) {
    const parties = found
      .filter(({ seats }) => seats > 0)
      .sort((a, b) => b.seats - a.seats || this.order.indexOf(a.party) - this.order.indexOf(b.party));
    const allocated = parties.reduce((sum, { seats }) => sum + seats, 0);
    const seatsOf = new Map(parties.map(({ party, seats }) => [party, seats]));
    const middle = Math.ceil(this.blocs.length / 2);
    const inBlocs = new Set(this.blocs.flatMap(({ parties: within }) => within));
    const others = parties.map(({ party }) => party).filter((party) => !inBlocs.has(party));
    /** @type {(Bloc | null)[]} */
    const blocs = [...this.blocs.slice(0, middle), null, ...this.blocs.slice(middle)];
    /** @type {Chamber} */
    const chamber = { groups: [], blocs: [], parties, total, allocated };
    let before = 0;
    for (const bloc of blocs) {
      const groups = (bloc?.parties ?? others)
        .filter((party) => seatsOf.has(party))
        .map((party) => ({ party, seats: seatsOf.get(party) ?? 0 }));
      const seats = groups.reduce((sum, each) => sum + each.seats, 0);
      chamber.groups.push(...groups);
      chamber.blocs.push({ bloc, from: before, seats });
      before += seats;
      if (bloc !== null || allocated >= total) continue;
      chamber.groups.push({ party: null, seats: total - allocated });
      before += total - allocated;
    }
    return chamber;
  }

  /**
   * Return the seats that a party would win, or lose, with the fewest votes; over all districts, the closest first.
   * None if the whole country is one district.
   *
   * @param {ReadonlyMap<string, Area>} areas
   * @returns {{toWin: Close[], toLose: Close[]}}
   */
  close(areas) {
    /** @type {Close[]} */
    const toWin = [];
    /** @type {Close[]} */
    const toLose = [];
    for (const district of this.districts.keys()) {
      if (district === this.root) continue;
      const { last = null, next = null } = this.districtSeats(areas.get(district)) ?? {};
      if (next) toWin.push({ district, party: next.party, votes: next.lacks, other: last?.party ?? null });
      if (last) toLose.push({ district, party: last.party, votes: last.spare, other: next?.party ?? null });
    }
    const closest = (/** @type {Close} */ a, /** @type {Close} */ b) => a.votes - b.votes;
    return { toWin: toWin.sort(closest), toLose: toLose.sort(closest) };
  }

  /**
   * Return the seats of a district; null of any other area.
   *
   * @param {Area | undefined} area
   * @returns {DistrictSeats | null}
   */
  districtSeats(area) {
    if (!area?.seats || !this.districts.has(area.area)) return null;
    const { ordinary } = area.seats;
    return ordinary === undefined ? null : { ...area.seats, ordinary };
  }

  /**
   * Return the levelling seats in the order given; null until every district has votes.
   *
   * @param {Area | undefined} root
   */
  levelling(root) {
    return root?.seats?.levelling ?? null;
  }

  /**
   * Return the parties with the levelling seats of a district; null if the root is not known.
   *
   * @param {ReadonlyMap<string, Area>} areas
   * @param {string} id
   */
  levellingOf(areas, id) {
    const root = areas.get(this.root);
    const order = this.levelling(root) ?? [];
    return root ? order.filter(({ district }) => district === id).map(({ party }) => party) : null;
  }

  /**
   * Return how many districts have no votes yet, of those that are known.
   *
   * @param {ReadonlyMap<string, Area>} areas
   */
  waiting(areas) {
    return [...this.districts.keys()].filter((id) => areas.has(id) && !hasVotes(areas.get(id))).length;
  }
}

/** @param {Area | undefined} area */
const hasVotes = (area) =>
  Object.values(area?.counts ?? {}).some(({ votes }) => Object.values(votes).some((each) => each > 0));

/**
 * @param {Seats | undefined} seats
 * @returns {PartySeats[]}
 */
const partySeats = (seats) =>
  Object.entries(seats?.by_party ?? {}).map(([party, each]) =>
    typeof each === "number" ? { party, seats: each, levelling: 0 } : { party, ...each },
  );

/**
 * Return whether there are any seats yet.
 *
 * @param {Seats} seats
 */
export const hasSeats = (seats) => partySeats(seats).some((each) => each.seats > 0);

/**
 * Return the parties around the threshold, the closest first.
 *
 * @param {Seats | undefined} seats
 * @returns {NearThreshold[]}
 */
export const aroundThreshold = (seats) =>
  Object.entries(seats?.threshold ?? {})
    .map(([party, { above, lacks, spare }]) => ({ party, above, votes: (above ? spare : lacks) ?? 0 }))
    .sort((a, b) => a.votes - b.votes);
