// The texts about seats in English.

/** @import { SeatTexts } from "../seat_texts.js" */
/** @import { Figures } from "../texts.js" */

/**
 * @param {Figures} figures
 * @returns {SeatTexts}
 */
export const texts = ({ number, count, both, listed }) => {
  const seats = (/** @type {number} */ n) => count(n, "seat", "seats");
  const votes = (/** @type {number} */ n) => count(n, "vote", "votes");
  const lastSeat = (/** @type {boolean} */ ordinary) =>
    ordinary ? "the last district seat" : "the last seat";
  return {
    title: "Seats",
    projection: "Projection",
    why: "Computed from the votes counted so far. The electoral authority determines the seats.",
    waiting: (n) =>
      n === 1
        ? "1 district has no votes, and so no seats yet."
        : `${number(n)} districts have no votes, and so no seats yet.`,
    levellingWaits: (n) =>
      `${count(n, "levelling seat is", "levelling seats are")} allocated when every district has votes.`,
    noneYet: "No seats yet: no votes have been counted.",
    noneYetHere: (n) => `No seats yet: no votes have been counted here. The district will have ${seats(n)}.`,

    seats,
    forMajority: (n) => `${number(n)} for a majority`,
    hasMajority: (over) => (over ? `majority, ${number(over)} more than needed` : "majority"),
    lacksMajority: (n) => `${number(n)} short of a majority`,
    open: "Not allocated yet",
    outside: "In no bloc",
    chamber: (parties) => `The chamber from left to right: ${listed(parties)}.`,
    partySeats: (party, n) => `${party} ${number(n)}`,
    caption: "Seats by party",
    colParty: "Party",
    colSeats: "Seats",
    colLevelling: "of which levelling",
    sum: "Total",

    toWin: "Nearest to winning a seat",
    toLose: "Nearest to losing a seat",
    closeWhy:
      "How many votes the next party lacks for the last seat of each district, and how many the party with that seat can lose, all else equal.",
    closeLevelling: "Levelling seats may still give a party the same number in all.",
    votes,
    from: (party) => `takes it from ${party}`,
    to: (party) => `${party} is next`,
    all: (n) => `Show all ${number(n)}`,
    fewer: "Show fewer",

    threshold: (percent) => `Around the threshold of ${percent}`,
    thresholdHere: (percent) => `Around the threshold of ${percent} here`,
    thresholdWhy: "Only parties above the threshold take part in the allocation of seats.",
    thresholdLevelling: "Only parties above the threshold take part in the allocation of levelling seats.",
    above: (n) => `${votes(n)} above`,
    below: (n) => `${votes(n)} below`,

    levelling: "Levelling seats",
    levellingWhy:
      "In the order in which they are allocated. A vote in one district can move a levelling seat between two others.",
    colOrder: "No.",
    colDistrict: "District",

    districtOrdinary: (n, levelling) =>
      `${count(n, "district seat", "district seats")} and ${count(levelling, "levelling seat", "levelling seats")}`,
    last: (party, spare, ordinary) =>
      spare
        ? `${party} has ${lastSeat(ordinary)} and can lose ${votes(spare)} without losing it.`
        : `${party} has ${lastSeat(ordinary)} and loses it with one vote fewer.`,
    next: (party, lacks) => `${party} is next and takes it with ${count(lacks, "more vote", "more votes")}.`,
    tied: (parties) =>
      `${both(parties)} have equally many votes. A lot decides; until then, the order of the list of parties is used.`,
    districtLevelling: (parties) =>
      `The levelling ${parties.length === 1 ? "seat" : "seats"} here ${parties.length === 1 ? "goes" : "go"} to ${both(parties)}, depending on the votes of the whole country.`,
    districtLevellingWaits: (n) =>
      `The levelling ${n === 1 ? "seat is" : "seats are"} allocated when every district has votes.`,
    otherThingsEqual: "With all other votes as they are now.",
  };
};
