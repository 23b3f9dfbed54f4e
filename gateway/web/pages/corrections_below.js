// The corrections at and below an area. A door lists them for each area; a mirror has one file with those of the whole
// country, of which this selects, and groups them as gateway/wire/corrections.py does. PURE.

/** @import { CorrectionGroup, Corrections, PublicCorrection } from "../documents" */

const GROUP_MS = 30_000;
const GROUP_PART = 10;

/**
 * Return the corrections of a list at and below an area; the list itself if it is of this area.
 *
 * @param {Corrections} list
 * @param {string} area
 * @param {number} total how many there are in the area
 * @param {(id: string) => string[]} ancestors
 * @returns {Corrections}
 */
export function correctionsBelow(list, area, total, ancestors) {
  if (list.area === area) return list;
  const isBelow = (/** @type {string} */ id) => id === area || ancestors(id).includes(area);
  const selected = list.corrections.filter(({ unit }) => isBelow(unit));
  const groups = grouped(selected);
  const corrections = selected.map((each) => ({ ...each, group: numberOf(groups, each) }));
  const isComplete = list.corrections.length === list.total; // of many, it has the largest
  const counted = isComplete ? selected.length : total;
  return { ...list, area, total: counted, before_release: 0, groups: groups.map(described), corrections };
}

/**
 * Return the groups of two and more corrections, the largest first.
 *
 * @param {PublicCorrection[]} largestFirst
 */
function grouped(largestFirst) {
  const free = new Set(largestFirst);
  /** @type {PublicCorrection[][]} */
  const groups = [];
  for (const largest of largestFirst) {
    if (!free.has(largest)) continue;
    const at = Date.parse(largest.at);
    const group = [...free].filter(
      (each) => Math.abs(Date.parse(each.at) - at) <= GROUP_MS && each.size * GROUP_PART >= largest.size,
    );
    for (const each of group) free.delete(each);
    if (group.length > 1) groups.push(group);
  }
  return groups.sort((a, b) => sizeOf(b) - sizeOf(a) || (b[0]?.sequence ?? 0) - (a[0]?.sequence ?? 0));
}

/**
 * @param {PublicCorrection[][]} groups
 * @param {PublicCorrection} correction
 */
function numberOf(groups, correction) {
  const place = groups.findIndex((group) => group.includes(correction));
  return place < 0 ? null : place + 1;
}

/** @param {PublicCorrection[]} group */
const sizeOf = (group) => group.reduce((sum, { size }) => sum + size, 0);

/**
 * @param {PublicCorrection[]} group the largest first
 * @param {number} place
 * @returns {CorrectionGroup}
 */
function described(group, place) {
  const times = group.map(({ at }) => at).sort((a, b) => Date.parse(a) - Date.parse(b));
  return {
    group: place + 1,
    size: sizeOf(group),

    municipalities: new Set(group.map(({ municipality }) => municipality)).size,
    ballots: group.reduce((sum, { ballots }) => sum + ballots, 0),
    first_at: times[0] ?? "",
    last_at: times.at(-1) ?? "",
  };
}
