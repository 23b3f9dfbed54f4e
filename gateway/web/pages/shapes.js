// A map's shapes: read, laid flat, and as paths. Degrees are projected so that angles are kept (Lambert's conformal cone,
// on a sphere); anything else is taken as it is, with north up. Source: Snyder, Map Projections, section 15.

const WIDTH = 1000;
const TALLEST = 1.6;

/** The shapes of this door's map by area; areas that `has` knows, none where there is no map. */
export async function readShapes(has) {
  const shapes = new Map();
  const response = await fetch("/map.geojson");
  if (!response.ok) return shapes;
  const { features } = await response.json();
  for (const { properties, geometry } of features) {
    const id = properties.ids.find(has);
    if (id === undefined) continue;
    const polygons = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
    shapes.set(id, [...(shapes.get(id) ?? []), ...polygons]);
  }
  return shapes;
}

/** Lay shapes (lists of polygons) out in one picture: its size, and of each a path, a place for a label and its width. */
export function layOut(shapes) {
  const positions = function* () {
    for (const polygons of shapes) for (const rings of polygons) yield* rings[0];
  };
  const flat = projection(box(positions()));
  const around = box(map(positions(), flat));
  const scale = Math.min(
    WIDTH / (around.right - around.left || 1),
    (WIDTH * TALLEST) / (around.bottom - around.top || 1),
  );
  const onto = (position) => {
    const [x, y] = flat(position);
    return [(x - around.left) * scale, (y - around.top) * scale];
  };
  return {
    width: round((around.right - around.left) * scale),
    height: round((around.bottom - around.top) * scale),
    places: shapes.map((polygons) => place(polygons.map((rings) => rings.map((ring) => ring.map(onto))))),
  };
}

function projection({ left, right, top, bottom }) {
  if (left < -180 || right > 180 || top < -90 || bottom > 90) return ([x, y]) => [x, -y];
  const radians = (degrees) => (degrees * Math.PI) / 180;
  const middle = (left + right) / 2;
  const steep = (latitude) => Math.tan(Math.PI / 4 + radians(Math.max(-89, Math.min(89, latitude))) / 2);
  const [south, north] = [top + (bottom - top) / 6, bottom - (bottom - top) / 6];
  const ratio = Math.log(steep(north) / steep(south));
  const cone =
    Math.abs(ratio) < 1e-9
      ? Math.sin(radians(south))
      : Math.log(Math.cos(radians(south)) / Math.cos(radians(north))) / ratio;
  if (Math.abs(cone) < 0.01) return ([x, y]) => [radians(x - middle), -radians(y)];
  const size = (Math.cos(radians(south)) * steep(south) ** cone) / cone;
  return ([x, y]) => {
    const distance = size / steep(y) ** cone;
    const angle = cone * radians(x - middle);
    return [distance * Math.sin(angle), distance * Math.cos(angle)];
  };
}

function box(positions) {
  const found = { left: Infinity, right: -Infinity, top: Infinity, bottom: -Infinity };
  for (const [x, y] of positions) {
    found.left = Math.min(found.left, x);
    found.right = Math.max(found.right, x);
    found.top = Math.min(found.top, y);
    found.bottom = Math.max(found.bottom, y);
  }
  return found;
}

function* map(values, change) {
  for (const each of values) yield change(each);
}

/** The path of polygons, and the middle and width of the largest of them. */
function place(polygons) {
  let largest = { size: -1 };
  for (const [ring] of polygons) {
    const found = middle(ring);
    if (found.size > largest.size) largest = found;
  }
  const path = polygons
    .flat()
    .map(
      (ring) =>
        `M${ring
          .slice(0, -1)
          .map(([x, y]) => `${round(x)} ${round(y)}`)
          .join("L")}Z`,
    )
    .join("");
  return { path, x: round(largest.x), y: round(largest.y), room: largest.room };
}

/** The centre of gravity of a ring, its size, and the width of its box. */
function middle(ring) {
  let [size, x, y] = [0, 0, 0];
  for (let at = 0; at + 1 < ring.length; at++) {
    const [[x0, y0], [x1, y1]] = [ring[at], ring[at + 1]];
    const cross = x0 * y1 - x1 * y0;
    size += cross;
    x += (x0 + x1) * cross;
    y += (y0 + y1) * cross;
  }
  const { left, right, top, bottom } = box(ring);
  const room = right - left;
  if (!size) return { size: 0, x: (left + right) / 2, y: (top + bottom) / 2, room };
  return { size: Math.abs(size), x: x / (3 * size), y: y / (3 * size), room };
}

const round = (value) => Math.round(value * 10) / 10;
