// Where the reader of the API page is, and names of an election there, for samples that work as they are shown.

import { electionInAddress, parameter } from "./address.js";
import { categoriesOf } from "./categories.js";
import { fetchElection, fetchElections } from "./shell.js";

/** @import { ElectionAndRegistry } from "../documents" */
/** @import { Place, SampleReport } from "./samples.js" */
/** @typedef {ElectionAndRegistry["registry"]["areas"][number]} RegistryArea */

const PUSH_PORT = "8081";

/** Return the port of the push door: as `serve` was started here, or its usual one. */
export function pushPort() {
  return document.querySelector('meta[name="push-port"]')?.getAttribute("content") ?? PUSH_PORT;
}

/**
 * Return the address at which the push door probably is: as the address says, or on its port of this host. An address
 * that names another host is not used: anyone can make such a link, and the samples send a token there.
 */
export function guessedPush() {
  const named = URL.parse(parameter("push") ?? "", location.href);
  if (parameter("push") !== null && named?.hostname === location.hostname) {
    return named.href.replace(/\/$/, "");
  }
  const url = new URL(location.origin);
  url.port = pushPort();
  return url.origin;
}

/**
 * Return the election that samples are about: the one in the address or the first; null where there is none.
 *
 * @returns {Promise<ElectionAndRegistry | null>}
 */
export async function sampledElection() {
  const elections = await fetchElections();
  const wanted = electionInAddress();
  const found = elections.find(({ id }) => id === wanted) ?? elections[0];
  return found ? fetchElection(found.id) : null;
}

/**
 * Return the place of an election, or one with the names of the examples.
 *
 * @param {ElectionAndRegistry | null} election
 * @param {string} push
 * @returns {Place}
 */
export function placeOf(election, push) {
  const ofLog = { history: "1", size: "1", level: "0", tile: "000", sequence: "1" };
  const names = { version: "0", name: "app.css", range: "1-1000", type: "st", ...ofLog };
  const place = { feed: location.origin, push };
  if (election === null) {
    return {
      ...place,
      names: {
        ...names,
        election: "no-storting-2025",
        area: "46",
        unit: "4651-0004",
        municipality: "4651",
        county: "14",
        year: "2025",
      },
      level: "municipality",
      report: reportOf("4651-0004", "election_day", "A", "2025-09-08"),
    };
  }
  const { areas, parties } = election.registry;
  const parents = new Set(areas.map(({ parent }) => parent));
  const byId = new Map(areas.map((area) => [area.id, area]));
  const root = areas.find(({ parent }) => parent === null);
  const unit = areas.find(({ id }) => !parents.has(id)) ?? root;
  const path = unit ? pathOf(unit, byId) : [];
  const municipality = path.find(({ level }) => level === "municipality") ?? path[1] ?? unit;
  const party = path.find((area) => area.parties?.length)?.parties?.[0] ?? parties[0]?.code ?? "";
  return {
    ...place,
    names: {
      ...names,
      election: election.id,
      area: root?.id ?? "",
      unit: unit?.id ?? "",
      municipality: municipality?.id ?? "",
      county: path.at(-2)?.id ?? "",
      year: (election.date ?? election.publish_from).slice(0, 4),
    },
    level: municipality?.level ?? "",
    report: reportOf(
      unit?.id ?? "",
      categoriesOf(election.registry)[0] ?? "",
      party,
      election.date ?? "2025-09-08",
    ),
  };
}

/**
 * Return an area and those above it, nearest first.
 *
 * @param {RegistryArea} area
 * @param {Map<string, RegistryArea>} byId
 */
function pathOf(area, byId) {
  const path = [];
  for (let each = /** @type {RegistryArea | undefined} */ (area); each; each = byId.get(each.parent ?? "")) {
    path.push(each);
  }
  return path;
}

/**
 * @param {string} unit
 * @param {string} category
 * @param {string} party
 * @param {string} date
 * @returns {SampleReport}
 */
function reportOf(unit, category, party, date) {
  const counts = { [category]: { ballots: 12, blank: 2, rejected: 1, votes: { [party]: 10 } } };
  return { unit, revision: 1, counted_at: `${date}T22:00:00Z`, status: "preliminary", counts };
}
