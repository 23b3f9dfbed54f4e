// Pictures of a chamber: a half circle with a dot for each seat, and a bar with the blocs above it. Parties have labels
// and are separated by gaps, so that colours are not needed to tell them apart. Sizes are in pixels.

import { hemicycle, INNER, pieces, spread } from "./chamber.js";
import { setAttribute, svg } from "./dom.js";
import { number } from "./format.js";
import { nameOf } from "./names.js";

/** @import { Chamber } from "./house.js" */
/** @import { Parties } from "./parties.js" */
/** @import { SeatTexts } from "./seat_texts.js" */

/** @typedef {{parties: Parties, texts: SeatTexts, width: number, majority: number | null}} Look no majority: no marker */
/** @typedef {{text: string, party: string, seats: number, at: number, to: number}} PlacedLabel angles */

const DOTS_MAX = 1200; // of more seats, each party is one area
const LABEL_HEIGHT = 32;
const LETTER = 10; // the width of a bold letter, at most
const SMALL_LETTER = 6.5; // of the small text about the majority, on average
const LETTERS_MAX = 9;
const NARROW = { width: 480, letters: 6 }; // long labels would leave no room for the seats
const LABEL_GAP = 9;
const AWAY = 1.5; // how many labels a label may be away from its seats; lighter ones nearby are left out before
const HOLE_MIN = 78; // radius in which the number of seats fits below the majority
const RADIUS_MAX = 300;
const BAR = { above: 30, height: 44, below: 30, gap: 2 };
const BAR_LETTER = 9;

/**
 * Draw the half circle.
 *
 * @param {Chamber} chamber
 * @param {Look} look
 */
export function hemicyclePicture(chamber, look) {
  const { width, texts, majority } = look;
  const most = width < NARROW.width ? NARROW.letters : LETTERS_MAX;
  const letters = Math.max(2, ...chamber.parties.map(({ party }) => shortened(party, most).length));
  const half = (letters * LETTER) / 2;
  const radius = Math.max(40, Math.min(RADIUS_MAX, width / 2 - LABEL_GAP - 2 * half));
  const top = radius + LABEL_GAP + LABEL_HEIGHT;
  const height = top + LABEL_HEIGHT / 2 + 4;
  const picture = framed(chamber, look, height);
  const middle = svg("g", { transform: `translate(${round(width / 2)} ${round(top)})` });
  const ends = drawSeats(middle, chamber, look, radius, most);
  if (majority !== null) {
    const hole = INNER * radius;
    const low = hole > HOLE_MIN;
    const textAt = low ? hole - 38 : 6;
    middle.append(
      svg("line", { class: "marker", x1: 0, x2: 0, y1: round(-textAt - 18), y2: round(-radius - 5) }),
    );
    const text = texts.forMajority(majority);
    if (text.length * SMALL_LETTER <= 2 * hole) {
      // otherwise only the bar says it
      middle.append(svg("text", { class: "small", "text-anchor": "middle", y: round(-textAt) }, text));
    }
    if (low) {
      middle.append(
        svg("text", { class: "total", "text-anchor": "middle", y: 4 }, texts.seats(chamber.total)),
      );
    }
  }
  drawLabels(middle, ends, { half, radius });
  picture.append(middle);
  return picture;
}

/**
 * Draw the seats; return where the label of each party should be.
 *
 * @param {SVGGElement} middle
 * @param {Chamber} chamber
 * @param {Look} look
 * @param {number} radius
 * @param {number} most letters of a label
 */
function drawSeats(middle, { groups, total }, look, radius, most) {
  const { dot, places } = hemicycle(total <= DOTS_MAX ? total : 0);
  /** @type {PlacedLabel[]} */
  const labels = [];
  let before = 0;
  for (const { party, seats } of groups) {
    const own = places.slice(before, before + seats);
    const path = own.length
      ? own.map(({ x, y }) => circle(x * radius, -y * radius, dot * radius)).join("")
      : sector(before / total, (before + seats) / total, radius);
    middle.append(groupOf(party, seats, path, look));
    const first = own[0]?.angle ?? Math.PI * (1 - before / total);
    const last = own.at(-1)?.angle ?? Math.PI * (1 - (before + seats) / total);
    const at = (first + last) / 2;
    if (party !== null) labels.push({ text: shortened(party, most), party, seats, at, to: at });
    before += seats;
  }
  return labels;
}

/**
 * @param {SVGGElement} middle
 * @param {PlacedLabel[]} labels
 * @param {{half: number, radius: number}} sizes `half` the width of a label
 */
function drawLabels(middle, labels, { half, radius }) {
  const tall = LABEL_HEIGHT / 2;
  const around = radius + LABEL_GAP + Math.min(half, tall);
  const apart = (2 * Math.max(half, tall)) / around / Math.PI;
  const places = spread(
    labels.map(({ at, seats }) => ({ at: 1 - at / Math.PI, weight: seats })),
    apart,
    AWAY * apart,
  );
  for (const [index, { text, seats, at }] of labels.entries()) {
    const place = places[index] ?? null;
    if (place === null) continue;
    const angle = Math.PI * (1 - place);
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const distance = radius + LABEL_GAP + half * Math.abs(cos) + tall * Math.abs(sin);
    const [x, y] = [round(cos * distance), round(-sin * distance)];
    if (Math.abs(angle - at) > apart / 4) {
      const [from, to] = [radius + 2, radius + LABEL_GAP];
      middle.append(
        svg("line", {
          class: "leader",
          x1: round(Math.cos(at) * from),
          y1: round(-Math.sin(at) * from),
          x2: round(cos * to),
          y2: round(-sin * to),
        }),
      );
    }
    middle.append(
      svg("text", { class: "party-code", "text-anchor": "middle", x, y: y - 3 }, text),
      svg("text", { class: "party-seats", "text-anchor": "middle", x, y: y + 13 }, number(seats)),
    );
  }
}

/**
 * Draw the bar, with blocs above it and the majority below.
 *
 * @param {Chamber} chamber
 * @param {Look} look
 */
export function barPicture(chamber, look) {
  const { width, majority, texts } = look;
  const blocs = chamber.blocs.filter(({ bloc, seats }) => bloc !== null && seats > 0);
  const top = blocs.length ? BAR.above : majority === null ? 0 : 6;
  const height = top + BAR.height + (majority === null ? 0 : BAR.below);
  const picture = framed(chamber, look, height);
  const labels = [];
  for (const { party, seats, from, to } of pieces(chamber.groups)) {
    const [x, piece] = [from * width, Math.max(1, (to - from) * width - BAR.gap)];
    const shape = `M${round(x)} ${top}h${round(piece)}v${BAR.height}h${round(-piece)}Z`;
    picture.append(groupOf(party, seats, shape, look));
    const text = [`${party === null ? "" : shortened(party)} ${number(seats)}`.trim(), number(seats)].find(
      (each) => each.length * BAR_LETTER + 4 <= piece,
    );
    if (text === undefined) continue;
    const middle = { x: round(x + piece / 2), y: top + BAR.height / 2 + 6, "text-anchor": "middle" };
    const label = svg("text", { class: party === null ? "open-label" : "on-party", ...middle }, text);
    if (party !== null) look.parties.colour(label, party);
    labels.push(label);
  }
  for (const each of blocs) picture.append(...blocHead(each, chamber, width, top));
  if (majority !== null) {
    const x = round(width / 2);
    picture.append(
      svg("line", { class: "marker", x1: x, x2: x, y1: top - 6, y2: top + BAR.height + 8 }),
      svg(
        "text",
        { class: "small", x, y: top + BAR.height + 24, "text-anchor": "middle" },
        texts.forMajority(majority),
      ),
    );
  }
  picture.append(...labels); // the marker does not cross them
  return picture;
}

/**
 * Return the line above the seats of a bloc, with its name where there is room.
 *
 * @param {Chamber["blocs"][number]} each
 * @param {Chamber} chamber
 * @param {number} width
 * @param {number} top
 */
function blocHead({ bloc, from, seats }, { total }, width, top) {
  const name = bloc === null ? "" : nameOf(bloc);
  const left = (from / total) * width;
  const right = ((from + seats) / total) * width - BAR.gap;
  const text = [`${name} ${number(seats)}`, number(seats)].find(
    (each) => each.length * BAR_LETTER <= right - left,
  );
  const atLeft = left + right < width;
  const place = { x: round(atLeft ? left : right), y: top - 12, "text-anchor": atLeft ? "start" : "end" };
  return [
    svg("path", { class: "bracket", d: `M${round(left)} ${top - 3}v-4H${round(right)}v4` }),
    ...(text === undefined ? [] : [svg("text", { class: "bloc-name", ...place }, text)]),
  ];
}

/**
 * Return an empty picture that says in words what it shows.
 *
 * @param {Chamber} chamber
 * @param {Look} look
 * @param {number} height
 */
function framed({ groups }, { width, texts, parties }, height) {
  const words = groups.map(({ party, seats }) =>
    texts.partySeats(party === null ? texts.open : parties.name(party), seats),
  );
  const picture = svg("svg", { viewBox: `0 0 ${round(width)} ${round(height)}`, role: "img" });
  setAttribute(picture, "aria-label", texts.chamber(words));
  return picture;
}

/**
 * Return the seats of a party, with its name for those who point at them.
 *
 * @param {string | null} party
 * @param {number} seats
 * @param {string} path
 * @param {Look} look
 */
function groupOf(party, seats, path, { parties, texts }) {
  const name = party === null ? texts.open : parties.name(party);
  const shape = svg("path", { class: party === null ? "seat open" : "seat", d: path });
  shape.append(svg("title", {}, texts.partySeats(name, seats)));
  if (party !== null) parties.colour(shape, party);
  return shape;
}

/**
 * Return a circle of two arcs, which have exactly its diameter: otherwise it would not be round.
 *
 * @param {number} x
 * @param {number} y
 * @param {number} radius
 */
function circle(x, y, radius) {
  const r = round(radius);
  const arc = `a${r} ${r} 0 0 0`;
  return `M${round(x - r)} ${round(y)}${arc} ${round(2 * r)} 0${arc} ${round(-2 * r)} 0Z`;
}

/**
 * Return a part of the ring, between parts of the way from left to right.
 *
 * @param {number} from
 * @param {number} to
 * @param {number} radius
 */
function sector(from, to, radius) {
  const at = (/** @type {number} */ part, /** @type {number} */ r) =>
    `${round(-Math.cos(Math.PI * part) * r)} ${round(-Math.sin(Math.PI * part) * r)}`;
  const inner = round(radius * INNER);
  return `M${at(from, radius)}A${round(radius)} ${round(radius)} 0 0 1 ${at(to, radius)}L${at(to, inner)}A${inner} ${inner} 0 0 0 ${at(from, inner)}Z`;
}

/**
 * @param {string} code
 * @param {number} most letters
 */
const shortened = (code, most = LETTERS_MAX) => (code.length > most ? `${code.slice(0, most - 1)}…` : code);

/** @param {number} value */
const round = (value) => Math.round(value * 10) / 10;
