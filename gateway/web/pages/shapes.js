// The shapes of a map: read, projected and turned into paths. Degrees are projected so that angles are kept
// (Lambert's conformal conic projection of a sphere); other coordinates are taken as they are, with north up.
// Source: Snyder, Map Projections, section 15.

import { BadAnswer, fetchWithin, LARGE_LIMIT_MS } from "./fetching.js";
import { documents } from "./source.js";

/** @import { MapDocument, Polygon, Position, Ring } from "../documents" */

/** @typedef {{left: number, right: number, top: number, bottom: number}} Box */
/** @typedef {{path: string, x: number, y: number, width: number}} Shape its path, the place of its label, its width */

const WIDTH = 1000;
const HEIGHT_MAX = 1600;

/**
 * Return the polygons of this door's map by area; none where there is no map. Throws without an answer.
 *
 * @param {(id: string) => boolean} isArea whether an identifier is that of an area
 * @returns {Promise<Map<string, Polygon[]>>}
 */
export async function fetchShapes(isArea) {
  /** @type {Map<string, Polygon[]>} */
  const shapes = new Map();
  const response = await fetchWithin(documents().map(), { limit_ms: LARGE_LIMIT_MS });
  if (response.status === 404) return shapes;
  if (!response.ok) throw new BadAnswer(response);
  /** @type {MapDocument} */
  const { features } = await response.json();
  for (const { properties, geometry } of features) {
    const id = properties.ids.find(isArea);
    if (id === undefined) continue;
    const polygons = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
    shapes.set(id, [...(shapes.get(id) ?? []), ...polygons]);
  }
  return shapes;
}

/**
 * Lay shapes out in one picture.
 *
 * @param {Polygon[][]} shapes
 * @returns {{width: number, height: number, shapes: Shape[]}}
 */
export function layOut(shapes) {
  const outlines = shapes.flatMap((polygons) => polygons.map(([outline]) => outline ?? []));
  const project = projection(boxOf(outlines));
  const box = boxOf(outlines.map((outline) => outline.map(project)));
  const scale = Math.min(WIDTH / (box.right - box.left || 1), HEIGHT_MAX / (box.bottom - box.top || 1));
  /** @type {(position: Position) => Position} */
  const toPicture = (position) => {
    const [x, y] = project(position);
    return [(x - box.left) * scale, (y - box.top) * scale];
  };
  return {
    width: round((box.right - box.left) * scale),
    height: round((box.bottom - box.top) * scale),
    shapes: shapes.map((polygons) =>
      shapeOf(polygons.map((rings) => rings.map((ring) => ring.map(toPicture)))),
    ),
  };
}

/**
 * @param {Box} box of all positions
 * @returns {(position: Position) => Position}
 */
function projection({ left, right, top, bottom }) {
  if (left < -180 || right > 180 || top < -90 || bottom > 90) return ([x, y]) => [x, -y];
  const radians = (/** @type {number} */ degrees) => (degrees * Math.PI) / 180;
  const middle = (left + right) / 2;
  const steepness = (/** @type {number} */ latitude) =>
    Math.tan(Math.PI / 4 + radians(Math.max(-89, Math.min(89, latitude))) / 2);
  const [south, north] = [top + (bottom - top) / 6, bottom - (bottom - top) / 6];
  const ratio = Math.log(steepness(north) / steepness(south));
  const cone =
    Math.abs(ratio) < 1e-9
      ? Math.sin(radians(south))
      : Math.log(Math.cos(radians(south)) / Math.cos(radians(north))) / ratio;
  if (Math.abs(cone) < 0.01) return ([x, y]) => [radians(x - middle), -radians(y)];
  const size = (Math.cos(radians(south)) * steepness(south) ** cone) / cone;
  return ([x, y]) => {
    const distance = size / steepness(y) ** cone;
    const angle = cone * radians(x - middle);
    return [distance * Math.sin(angle), distance * Math.cos(angle)];
  };
}

/**
 * Return the smallest box around rings.
 *
 * @param {Ring[]} rings
 * @returns {Box}
 */
function boxOf(rings) {
  const box = { left: Infinity, right: -Infinity, top: Infinity, bottom: -Infinity };
  for (const ring of rings) {
    for (const [x, y] of ring) {
      box.left = Math.min(box.left, x);
      box.right = Math.max(box.right, x);
      box.top = Math.min(box.top, y);
      box.bottom = Math.max(box.bottom, y);
    }
  }
  return box;
}

/**
 * Return the path of polygons; the label is in the middle of the largest of them.
 *
 * @param {Polygon[]} polygons
 * @returns {Shape}
 */
function shapeOf(polygons) {
  let largest = { size: -1, x: 0, y: 0, width: 0 };
  for (const [outline] of polygons) {
    const found = middleOf(outline ?? []);
    if (found.size > largest.size) largest = found;
  }
  const path = polygons.flat().map((ring) => {
    const points = ring.slice(0, -1).map(([x, y]) => `${round(x)} ${round(y)}`);
    return `M${points.join("L")}Z`;
  });
  return { path: path.join(""), x: round(largest.x), y: round(largest.y), width: largest.width };
}

/**
 * Return the centre of gravity of a ring, its size, and the width of its box.
 *
 * @param {Ring} ring
 */
function middleOf(ring) {
  let [size, x, y] = [0, 0, 0];
  let previous = ring[0] ?? [0, 0];
  for (const position of ring.slice(1)) {
    const cross = previous[0] * position[1] - position[0] * previous[1];
    size += cross;
    x += (previous[0] + position[0]) * cross;
    y += (previous[1] + position[1]) * cross;
    previous = position;
  }
  const { left, right, top, bottom } = boxOf([ring]);
  const width = right - left;
  if (!size) return { size: 0, x: (left + right) / 2, y: (top + bottom) / 2, width };
  return { size: Math.abs(size), x: x / (3 * size), y: y / (3 * size), width };
}

/** @param {number} value */
const round = (value) => Math.round(value * 10) / 10;
