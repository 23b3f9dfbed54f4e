// PURE: the figures of a held report beside those of the current one, and which holds belong together.

/** @import { Decide, HeldCounts, HeldReport, Hold } from "../push_documents" */

/** The counts of a category besides its votes, in the order in which they are shown. */
const COUNTS = /** @type {const} */ (["ballots", "voters", "blank", "rejected"]);
const MOVED_PERMILLE = 20;

/** @typedef {{name: string, isParty: boolean, before: number | null, after: number | null}} FigureRow */
/** @typedef {{category: string, rows: FigureRow[]}} CategoryRows */
/** @typedef {{categories: CategoryRows[], withoutVotes: number}} Comparison */

/**
 * Return the figures of both reports, category by category. Parties come by their votes, in the same order in every
 * category; those without a vote in either report are counted only.
 *
 * @param {Hold} hold
 * @returns {Comparison}
 */
export function comparisonOf({ report, stands }) {
  const categories = [...new Set([...Object.keys(report.counts), ...Object.keys(stands?.counts ?? {})])];
  /** @type {Map<string, number>} */
  const most = new Map();
  for (const category of categories) {
    for (const { counts } of stands ? [report, stands] : [report]) {
      for (const [party, votes] of Object.entries(counts[category]?.votes ?? {})) {
        most.set(party, Math.max(most.get(party) ?? 0, votes));
      }
    }
  }
  const parties = [...most].filter(([, votes]) => votes > 0).sort((a, b) => b[1] - a[1]);
  return {
    categories: categories.map((category) => ({
      category,
      rows: rowsOf(
        stands?.counts[category],
        report.counts[category],
        parties.map(([party]) => party),
      ),
    })),
    withoutVotes: most.size - parties.length,
  };
}

/**
 * Return the figures of a category: its ballots, and those that are not zero in both reports.
 *
 * @param {HeldCounts | undefined} before
 * @param {HeldCounts | undefined} after
 * @param {string[]} parties
 * @returns {FigureRow[]}
 */
function rowsOf(before, after, parties) {
  const row = (
    /** @type {string} */ name,
    /** @type {boolean} */ isParty,
    /** @type {(counts: HeldCounts) => number | undefined} */ figure,
  ) => ({
    name,
    isParty,
    before: (before && figure(before)) ?? null,
    after: (after && figure(after)) ?? null,
  });
  const rows = [
    ...COUNTS.map((name) => row(name, false, (counts) => counts[name])),
    ...parties.map((party) => row(party, true, (counts) => counts.votes[party])),
  ];
  return rows.filter((each, at) => at === 0 || each.before || each.after);
}

/**
 * Return all ballots of a report; 0 if there is none.
 *
 * @param {HeldReport | null} report
 */
export const ballotsOf = (report) =>
  Object.values(report?.counts ?? {}).reduce((sum, { ballots }) => sum + ballots, 0);

/**
 * Return by how many ballots a hold would change its unit.
 *
 * @param {Hold} hold
 */
export const changeOf = ({ ballots, stands }) => ballots - ballotsOf(stands);

/**
 * Return the open holds that may be the other half of a move: one rises and the other falls, and the evidence of one
 * names the other, or they are of the same municipality and their changes cancel each other.
 *
 * @param {Hold} hold
 * @param {Hold[]} holds
 */
export function otherHalves(hold, holds) {
  return holds.filter(
    (other) =>
      other.unit !== hold.unit &&
      other.state === "open" &&
      changeOf(hold) * changeOf(other) < 0 &&
      (names(hold, other.unit) || names(other, hold.unit) || isMove(hold, other)),
  );
}

/** @param {Hold} hold @param {string} unit */
const names = ({ rules }, unit) =>
  rules.some(({ code, evidence }) => code.startsWith("duplicate_") && evidence.other === unit);

/** @param {Hold} one @param {Hold} other */
function isMove(one, other) {
  if (one.municipality !== other.municipality) return false;
  const [first, second] = [changesOf(one), changesOf(other)];
  const parties = new Set([...first.keys(), ...second.keys()]);
  const left = [...parties].reduce(
    (sum, party) => sum + Math.abs((first.get(party) ?? 0) + (second.get(party) ?? 0)),
    0,
  );
  return 1000 * left <= MOVED_PERMILLE * Math.max(Math.abs(changeOf(one)), Math.abs(changeOf(other)));
}

/**
 * Return by how many votes each party would change, over all categories.
 *
 * @param {Hold} hold
 */
function changesOf({ report, stands }) {
  /** @type {Map<string, number>} */
  const changes = new Map();
  for (const [sign, each] of /** @type {[number, HeldReport | null][]} */ ([
    [1, report],
    [-1, stands],
  ])) {
    for (const { votes } of Object.values(each?.counts ?? {})) {
      for (const [party, n] of Object.entries(votes))
        changes.set(party, (changes.get(party) ?? 0) + sign * n);
    }
  }
  return changes;
}

/**
 * Return holds in the order in which they are decided: of those that are released, falls come first, so that no ballot
 * of a move is public twice.
 *
 * @param {Decide} decide
 * @param {Hold[]} holds
 */
export const inOrder = (decide, holds) =>
  decide === "release" ? holds.toSorted((a, b) => changeOf(a) - changeOf(b)) : [...holds];
