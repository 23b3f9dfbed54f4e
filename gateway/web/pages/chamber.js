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
/** The largest radius of a seat: a house of few seats is still a half circle. */
const DOT_MAX = 0.1;

/**
 * Return how many seats are a majority: more than half.
 *
 * @param {number} seats of the house
 */
export const majorityOf = (seats) => Math.floor(seats / 2) + 1;

/**
 * Return the places of seats in a half circle, from left to right: with as few rows as they fit in, so that seats are
 * large. Each row has seats in proportion to its length.
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
  return { dot: Math.min(DOT_MAX, (distance * FILLED) / 2), places };
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
 * `apart` from one another. Null for labels for which there is no room: the lightest are left out until no label is
 * further than `away` from where it should be.
 *
 * @param {Label[]} labels in the order of `at`
 * @param {number} apart
 * @param {number} [away]
 * @returns {(number | null)[]}
 */
export function spread(labels, apart, away = Infinity) {
  const most = Math.max(1, Math.floor(1 / apart + 1e-9) + 1);
  const byWeight = [...labels.keys()].sort((a, b) => weightOf(labels, b) - weightOf(labels, a) || a - b);
  let kept = byWeight.slice(0, most).sort((a, b) => a - b);
  /** @type {(number | null)[]} */
  const found = labels.map(() => null);
  for (;;) {
    const places = keepApart(
      kept.map((label) => labels[label]?.at ?? 0),
      apart,
    );
    const moved = kept.filter(
      (label, index) => Math.abs((places[index] ?? 0) - (labels[label]?.at ?? 0)) > away,
    );
    if (!moved.length) {
      for (const [index, label] of kept.entries()) found[label] = places[index] ?? null;
      return found;
    }
    const near = new Set(moved.flatMap((label) => neighbours(kept, places, label, apart)));
    const lightest = byWeight.findLast((label) => near.has(label));
    kept = kept.filter((label) => label !== lightest);
  }
}

/** @param {Label[]} labels @param {number} label */
const weightOf = (labels, label) => labels[label]?.weight ?? 0;

/**
 * Return the labels that are pushed against one, itself included.
 *
 * @param {number[]} kept
 * @param {number[]} places
 * @param {number} label
 * @param {number} apart
 */
function neighbours(kept, places, label, apart) {
  let [first, last] = [kept.indexOf(label), kept.indexOf(label)];
  const touch = (/** @type {number} */ index) =>
    (places[index + 1] ?? 2) - (places[index] ?? 0) < apart + 1e-9;
  while (first > 0 && touch(first - 1)) first--;
  while (last < kept.length - 1 && touch(last)) last++;
  return kept.slice(first, last + 1);
}

/**
 * Move rising values as little as possible so that they are `apart` from one another, from 0 to 1. Source: isotonic
 * regression, by pooling neighbours.
 *
 * @param {number[]} wanted
 * @param {number} apart
 */
function keepApart(wanted, apart) {
  /** @type {{sum: number, size: number}[]} */
  const pools = [];
  for (const [index, at] of wanted.entries()) {
    pools.push({ sum: at - index * apart, size: 1 });
    for (;;) {
      const [before, last] = pools.slice(-2);
      if (!before || !last || before.sum / before.size <= last.sum / last.size) break;
      pools.splice(-2, 2, { sum: before.sum + last.sum, size: before.size + last.size });
    }
  }
  const room = Math.max(0, 1 - (wanted.length - 1) * apart);
  const starts = pools.flatMap(({ sum, size }) =>
    Array.from({ length: size }, () => Math.min(room, Math.max(0, sum / size))),
  );
  return starts.map((start, index) => start + index * apart);
}
