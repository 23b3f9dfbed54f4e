// A colour a party: one that stands out from a light ground and bears white text, and one from a dark ground for black.

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

export class Parties {
  #names = new Map();
  #colours = new Map();

  constructor(listed) {
    const local =
      listed.some((party) => party.code === "A" || party.code === "AP") &&
      listed.some((party) => party.code === "H");
    let next = 0;
    for (const party of listed) {
      this.#names.set(party.code, party.name);
      this.#colours.set(party.code, (local && KNOWN[party.code]) || OTHERS[next++ % OTHERS.length]);
    }
  }

  name(code) {
    return this.#names.get(code) ?? code;
  }

  /** Give an element the colours of a party, for the sheet to choose from. */
  colour(element, code) {
    if (element.dataset.party === code) return;
    element.dataset.party = code;
    const [light, dark] = this.#colours.get(code) ?? ["#6d727a", "#9aa1ab"];
    element.style.setProperty("--on-light", light);
    element.style.setProperty("--on-dark", dark);
  }
}

/** Votes of an area by party over all categories, and the other sums. */
export function sums(area) {
  const found = { ballots: 0, blank: 0, rejected: 0, votes: 0, byParty: new Map() };
  for (const counts of Object.values(area.counts)) {
    found.ballots += counts.ballots;
    found.blank += counts.blank;
    found.rejected += counts.rejected;
    for (const [party, votes] of Object.entries(counts.votes)) {
      found.byParty.set(party, (found.byParty.get(party) ?? 0) + votes);
      found.votes += votes;
    }
  }
  found.ranked = [...found.byParty].filter(([, votes]) => votes > 0).sort((a, b) => b[1] - a[1]);
  return found;
}
