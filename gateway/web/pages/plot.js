// A count over time as a line of steps, with a ring wherever it fell.

import { svg } from "./dom.js";
import { moment, number, timeInMinutes } from "./format.js";

/** @typedef {{at: number, value: number}} Point `at` in milliseconds since 1970 */

const HEIGHT = 272;
const WIDTH_MIN = 260;
const EDGE = { left: 8, right: 14, top: 18, bottom: 30 };
const FALLS_MAX = 200;

/**
 * Draw points in a container, as wide as it is.
 *
 * @param {HTMLElement} container
 * @param {[Point, ...Point[]]} points in the order of time
 * @param {string} label what the picture shows, for screen readers
 */
export function plot(container, points, label) {
  const width = Math.max(WIDTH_MIN, container.clientWidth);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label });
  const from = points[0].at;
  const until = Math.max(points.at(-1)?.at ?? 0, from + 1000);
  const { step, top } = scale(Math.max(1, ...points.map(({ value }) => value)));
  const left = EDGE.left + number(top).length * 8 + 6;
  /** @param {number} at */
  const x = (at) => left + ((at - from) / (until - from)) * (width - left - EDGE.right);
  /** @param {number} value */
  const y = (value) => HEIGHT - EDGE.bottom - (value / top) * (HEIGHT - EDGE.top - EDGE.bottom);

  for (let value = 0; value <= top; value += step) {
    picture.append(
      svg("line", { class: "grid", x1: left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
      svg("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, number(value)),
    );
  }
  const inMinutes = until - from > 600e3 && until - from <= 20 * 3600e3;
  const ticks = Math.max(1, Math.min(5, Math.floor((width - left) / 150)));
  for (let tick = 0; tick <= ticks; tick++) {
    const at = from + ((until - from) * tick) / ticks;
    const anchor = tick === 0 ? "start" : tick === ticks ? "end" : "middle";
    const label = inMinutes ? timeInMinutes(at) : moment(at);
    picture.append(svg("text", { x: x(at), y: HEIGHT - 8, "text-anchor": anchor }, label));
  }

  let path = `M${x(from).toFixed(1)} ${y(0).toFixed(1)}`;
  for (const { at, value } of points) path += `H${x(at).toFixed(1)}V${y(value).toFixed(1)}`;
  picture.append(
    svg("path", { class: "under", d: `${path}V${y(0)}Z` }),
    svg("path", { class: "line", d: path }),
  );
  const falls = points.filter(({ value }, index) => value < (points[index - 1]?.value ?? 0));
  for (const { at, value } of falls.slice(0, FALLS_MAX)) {
    picture.append(svg("circle", { class: "fall", cx: x(at).toFixed(1), cy: y(value).toFixed(1), r: 5 }));
  }
  container.replaceChildren(picture);
}

/**
 * Return a scale of about four steps, each 1, 2 or 5 times a power of ten.
 *
 * @param {number} max
 */
function scale(max) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, max / 4)));
  const step = [1, 2, 5].map((each) => each * power).find((each) => each * 5 >= max) ?? 10 * power;
  return { step, top: step * Math.ceil(max / step) };
}
