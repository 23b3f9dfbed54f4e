// A count over time as a line of steps; where it fell, a ring.

import { svg } from "./dom.js";
import { briefTime, moment, number } from "./format.js";

const HEIGHT = 272;
const EDGE = { left: 8, right: 14, top: 18, bottom: 30 };
const FALLS_MAX = 200;

/** Draw `points` [{at (ms), value}] in a container as wide as it is. */
export function plot(container, points, label) {
  const width = Math.max(260, container.clientWidth);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label });
  const from = points[0].at;
  const until = Math.max(points.at(-1).at, from + 1000);
  const most = Math.max(1, ...points.map((point) => point.value));
  const { step, top } = scale(most);
  const widest = number(top).length * 8 + 6;
  const left = EDGE.left + widest;
  const x = (at) => left + ((at - from) / (until - from)) * (width - left - EDGE.right);
  const y = (value) => HEIGHT - EDGE.bottom - (value / top) * (HEIGHT - EDGE.top - EDGE.bottom);

  for (let value = 0; value <= top; value += step) {
    picture.append(
      svg("line", { class: "grid", x1: left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
    );
    picture.append(svg("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, number(value)));
  }
  const told = until - from > 20 * 3600e3 ? moment : until - from > 600e3 ? briefTime : moment;
  const ticks = Math.max(1, Math.min(5, Math.floor((width - left) / 150)));
  for (let tick = 0; tick <= ticks; tick++) {
    const at = from + ((until - from) * tick) / ticks;
    const anchor = tick === 0 ? "start" : tick === ticks ? "end" : "middle";
    picture.append(svg("text", { x: x(at), y: HEIGHT - 8, "text-anchor": anchor }, told(at)));
  }

  let path = `M${x(from).toFixed(1)} ${y(0).toFixed(1)}`;
  for (const point of points) path += `H${x(point.at).toFixed(1)}V${y(point.value).toFixed(1)}`;
  picture.append(
    svg("path", { class: "under", d: `${path}V${y(0)}Z` }),
    svg("path", { class: "line", d: path }),
  );
  let falls = 0;
  points.forEach((point, place) => {
    if (place && point.value < points[place - 1].value && falls++ < FALLS_MAX) {
      picture.append(
        svg("circle", { class: "fall", cx: x(point.at).toFixed(1), cy: y(point.value).toFixed(1), r: 5 }),
      );
    }
  });
  container.replaceChildren(picture);
}

/** Steps of 1, 2 or 5 times a power of ten, about four of them. */
function scale(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, most / 4)));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each * 5 >= most);
  return { step, top: step * Math.ceil(most / step) };
}
