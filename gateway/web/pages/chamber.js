// The geometry of a chamber: a place for each seat in a half circle, the pieces of a bar, and where labels fit. Pure:
// nothing here knows of elements, parties' colours or languages.

/** @typedef {{x: number, y: number, angle: number}} Place the centre is 0, 0; y points up; π is on the left */
/** @typedef {{dot: number, places: Place[]}} Hemicycle within a radius of 1; `dot` is the radius of one seat */
/** @typedef {{party: string | null, seats: number}} Group neighbours in the chamber; null: not allocated yet */
/** @typedef {{party: string | null, seats: number, from: number, to: number}} Piece from 0 to 1 */
/** @typedef {{at: number, weight: number}} Label where it should be, from 0 to 1; of many, the heaviest are kept */

/** Radius of the empty half circle in the middle, as a part of the outer radius. */
export const INNER = 0.42;
/** Diameter of a seat as a part of the distance to the next one. */
const FILLED = 0.86;

/**
 * Return how many seats are a majority: more than half.
 *
 * @param {number} seats of the house
 */
export const majorityOf = (seats) => Math.floor(seats / 2) + 1;

/**
 * Return the places of seats in a half circle, from left to right: with as few rows as they fit in, so that seats are
 * as large as possible. Each row has seats in proportion to its length.
 *
 * @param {number} seats
 * @returns {Hemicycle}
 */
export function hemicycle(seats) {
  if (seats <= 0) return { dot: 0, places: [] };
  let rows = 1;
  while (capacity(rows) < seats) rows++;
  const radii = radiiOf(rows);
  const inRows = inProportion(seats, radii);
  let distance = (1 - INNER) / rows;
  /** @type {Place[]} */
  const places = [];
  for (const [row, radius] of radii.entries()) {
    const gaps = (inRows[row] ?? 0) - 1;
    if (gaps > 0) distance = Math.min(distance, 2 * radius * Math.sin(Math.PI / gaps / 2));
    for (let seat = 0; seat <= gaps; seat++) {
      const angle = gaps > 0 ? Math.PI * (1 - seat / gaps) : Math.PI / 2;
      places.push({ x: radius * Math.cos(angle), y: radius * Math.sin(angle), angle });
    }
  }
  places.sort((a, b) => b.angle - a.angle);
  return { dot: (distance * FILLED) / 2, places };
}

/** @param {number} rows */
const radiiOf = (rows) =>
  Array.from({ length: rows }, (_, row) => INNER + ((1 - INNER) / rows) * (row + 0.5)).reverse();

/**
 * Return how many seats fit in rows if neighbours in a row are as far apart as the rows.
 *
 * @param {number} rows
 */
const capacity = (rows) =>
  radiiOf(rows).reduce((sum, radius) => sum + Math.floor((Math.PI * radius * rows) / (1 - INNER)) + 1, 0);

/**
 * Distribute a number in proportion to weights, by the largest remainder.
 *
 * @param {number} whole
 * @param {number[]} weights
 */
function inProportion(whole, weights) {
  const sum = weights.reduce((a, b) => a + b, 0);
  const exact = weights.map((weight) => (whole * weight) / sum);
  const parts = exact.map(Math.floor);
  const byRemainder = [...exact.keys()].sort(
    (a, b) => (exact[b] ?? 0) - (parts[b] ?? 0) - (exact[a] ?? 0) + (parts[a] ?? 0) || a - b,
  );
  const left = whole - parts.reduce((a, b) => a + b, 0);
  for (const index of byRemainder.slice(0, left)) parts[index] = (parts[index] ?? 0) + 1;
  return parts;
}

/**
 * Return the pieces of a bar for groups of seats, in their order.
 *
 * @param {Group[]} groups
 * @returns {Piece[]}
 */
export function pieces(groups) {
  const all = groups.reduce((sum, { seats }) => sum + seats, 0) || 1;
  let before = 0;
  return groups.map(({ party, seats }) => {
    const from = before / all;
    before += seats;
    return { party, seats, from, to: before / all };
  });
}

/**
 * Return where labels go on a line from 0 to 1: as near as possible to where they should be, in the same order and
 * `apart` from one another; null for labels for which there is no room. Source: isotonic regression, by pooling
 * neighbours.
 *
 * @param {Label[]} labels in the order of `at`
 * @param {number} apart
 * @returns {(number | null)[]}
 */
export function spread(labels, apart) {
  const most = Math.max(1, Math.floor(1 / apart + 1e-9) + 1);
  const kept = [...labels.keys()]
    .sort((a, b) => (labels[b]?.weight ?? 0) - (labels[a]?.weight ?? 0) || a - b)
    .slice(0, most)
    .sort((a, b) => a - b);
  /** @type {{sum: number, size: number}[]} */
  const pools = [];
  for (const [index, label] of kept.entries()) {
    pools.push({ sum: (labels[label]?.at ?? 0) - index * apart, size: 1 });
    for (;;) {
      const [before, last] = pools.slice(-2);
      if (!before || !last || before.sum / before.size <= last.sum / last.size) break;
      pools.splice(-2, 2, { sum: before.sum + last.sum, size: before.size + last.size });
    }
  }
  const room = Math.max(0, 1 - (kept.length - 1) * apart);
  const starts = pools.flatMap(({ sum, size }) =>
    Array.from({ length: size }, () => Math.min(room, Math.max(0, sum / size))),
  );
  /** @type {(number | null)[]} */
  const found = labels.map(() => null);
  for (const [index, label] of kept.entries()) found[label] = (starts[index] ?? 0) + index * apart;
  return found;
}
