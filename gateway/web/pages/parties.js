// Parties: their names and colours, and sums of votes. Each party has two colours: one that stands out from a
// light background and bears white text, and one that stands out from a dark background and bears black text.

import { nameOf } from "./names.js";

/** @import { Area, Party } from "../documents" */

/** @typedef {[light: string, dark: string]} Colours */

/** Norwegian parties.
 *
 * @type {{[code: string]: Colours}}
 */
const KNOWN = {
  A: ["#c4122f", "#ff6b7a"],
  AP: ["#c4122f", "#ff6b7a"],
  H: ["#0a63ad", "#5bb4ff"],
  FRP: ["#1c2f6e", "#8fa3f2"],
  SV: ["#b81f6d", "#ff85bd"],
  SP: ["#2a7435", "#66cf74"],
  V: ["#006b64", "#3fcbbd"],
  KRF: ["#8a5f00", "#f2c453"],
  MDG: ["#496f10", "#a3d147"],
  RØDT: ["#84101a", "#ff9d94"],
  R: ["#84101a", "#ff9d94"],
  INP: ["#7d4512", "#e6a263"],
};
/** @type {Colours[]} */
const OTHERS = [
  ["#1f5fa8", "#6fb1ff"],
  ["#b3261e", "#ff897d"],
  ["#2b7a3d", "#6fd086"],
  ["#8a5a00", "#f0bd4f"],
  ["#6a3fa0", "#c2a0ff"],
  ["#00727a", "#4fd0da"],
  ["#a3356f", "#ff8cc3"],
  ["#4d5f1b", "#b7cf64"],
  ["#7a4028", "#e8a583"],
  ["#3d4f7d", "#a5b9ee"],
  ["#8e2f8e", "#eb95eb"],
  ["#555b63", "#b7bdc6"],
];
/** @type {Colours} */
const UNKNOWN = ["#6d727a", "#9aa1ab"];

export class Parties {
  /** @type {Map<string, Party>} */
  #parties = new Map();
  /** @type {Map<string, Colours>} */
  #colours = new Map();

  /** @param {Party[]} parties */
  constructor(parties) {
    const codes = new Set(parties.map(({ code }) => code));
    const norwegian = (codes.has("A") || codes.has("AP")) && codes.has("H");
    let next = 0;
    for (const party of parties) {
      const { code } = party;
      this.#parties.set(code, party);
      const known = norwegian ? KNOWN[code] : undefined;
      this.#colours.set(code, known ?? OTHERS[next++ % OTHERS.length] ?? UNKNOWN);
    }
  }

  /**
   * Return the name of a party in the language of the page.
   *
   * @param {string} code
   */
  name(code) {
    return nameOf(this.#parties.get(code) ?? { name: code });
  }

  /**
   * Give an element the colours of a party, for the style sheet to choose from.
   *
   * @param {HTMLElement | SVGElement} element
   * @param {string} code
   */
  colour(element, code) {
    if (element.dataset.party === code) return;
    element.dataset.party = code;
    const [light, dark] = this.#colours.get(code) ?? UNKNOWN;
    element.style.setProperty("--on-light", light);
    element.style.setProperty("--on-dark", dark);
  }
}

/** @typedef {[code: string, votes: number]} PartyVotes */
/** @typedef {{ballots: number, blank: number, rejected: number, votes: number, ranked: PartyVotes[]}} Sums */

/**
 * Return the sums of an area over all categories, and the parties that have votes, the largest first.
 *
 * @param {Area} area
 * @returns {Sums}
 */
export function sums(area) {
  const found = { ballots: 0, blank: 0, rejected: 0, votes: 0 };
  /** @type {Map<string, number>} */
  const byParty = new Map();
  for (const counts of Object.values(area.counts)) {
    found.ballots += counts.ballots;
    found.blank += counts.blank;
    found.rejected += counts.rejected;
    for (const [party, votes] of Object.entries(counts.votes)) {
      byParty.set(party, (byParty.get(party) ?? 0) + votes);
      found.votes += votes;
    }
  }
  const ranked = [...byParty].filter(([, votes]) => votes > 0).sort((a, b) => b[1] - a[1]);
  return { ...found, ranked };
}
