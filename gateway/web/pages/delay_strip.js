// Delays since the page was opened, as a strip: one column per span of time, as high and as red as the
// longest delay in it. Columns are merged as time passes, so that the strip never needs more room.

import { h } from "./dom.js";
import { duration, t, time } from "./format.js";

const COLUMNS_MAX = 240;
const COLUMNS_SHOWN_MIN = 60;
/** Colours of delays below so many seconds, and of all others. */
const COLOURS = /** @type {const} */ ([
  [0.1, "#7fb98f"],
  [0.3, "#a5bd6a"],
  [1, "#d0b54a"],
  [3, "#d99640"],
  [10, "#cf6a3c"],
  [30, "#b93a34"],
]);
const LONGEST = { above_s: 30, colour: "#8c1d28" };

export class DelayStrip {
  /** The longest delay of each span, in seconds; null where there was none.
   *
   * @type {(number | null)[]}
   */
  #columns = [];
  #span_ms = 1000;
  #start = Date.now();
  #longest = { delay_s: -1, at: 0 };
  #drawnLabel = "";

  /**
   * @param {HTMLElement} container
   * @param {HTMLElement} legend
   */
  constructor(container, legend) {
    this.container = container;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    container.replaceChildren(this.canvas);
    this.legend = legend;
    new ResizeObserver(() => this.draw()).observe(container);
  }

  /** @param {number} delay_s that ended just now */
  add(delay_s) {
    const column = this.#currentColumn();
    this.#columns[column] = Math.max(this.#columns[column] ?? 0, delay_s);
    if (delay_s > this.#longest.delay_s) this.#longest = { delay_s, at: Date.now() };
  }

  /**
   * Note that another second has passed.
   *
   * @param {number} oldest_s how long the oldest count has waited by now; 0: none waits
   */
  tick(oldest_s) {
    if (oldest_s > 0) this.add(oldest_s);
    else this.#columns[this.#currentColumn()] ??= null;
    this.draw();
  }

  #currentColumn() {
    const column = () => Math.floor((Date.now() - this.#start) / this.#span_ms);
    while (column() >= COLUMNS_MAX) this.#merge();
    return column();
  }

  #merge() {
    const merged = [];
    for (let index = 0; index < this.#columns.length; index += 2) {
      const pair = [this.#columns[index] ?? null, this.#columns[index + 1] ?? null].filter(
        (delay_s) => delay_s !== null,
      );
      merged.push(pair.length ? Math.max(...pair) : null);
    }
    this.#columns = merged;
    this.#span_ms *= 2;
  }

  draw() {
    const { canvas } = this;
    const ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    const pen = canvas.getContext("2d");
    if (!width || !pen) return;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const each = width / Math.max(COLUMNS_SHOWN_MIN, this.#columns.length);
    for (const [index, delay_s] of this.#columns.entries()) {
      if (delay_s === null || delay_s === undefined) continue;
      const magnitude = (Math.log10(Math.max(delay_s, 0.01)) + 2) / 4; // 10 ms: 0, 100 s: 1
      const tall = height * (0.12 + 0.88 * Math.min(1, Math.max(0, magnitude)));
      pen.fillStyle = COLOURS.find(([below_s]) => delay_s < below_s)?.[1] ?? LONGEST.colour;
      pen.fillRect(index * each, height - tall, Math.max(1, each - (each > 3 ? 1 : 0)), tall);
    }
    const { delay_s, at } = this.#longest;
    const label = delay_s >= 0 ? t("stripLabel")(duration(delay_s), time(at)) : t("stripEmpty");
    this.container.setAttribute("aria-label", label);
    this.#drawLegend(label);
  }

  /** @param {string} label */
  #drawLegend(label) {
    if (label === this.#drawnLabel) return;
    this.#drawnLabel = label;
    this.legend.replaceChildren(
      ...COLOURS.map(([below_s, colour]) => legendEntry(colour, `< ${duration(below_s)}`)),
      legendEntry(LONGEST.colour, `≥ ${duration(LONGEST.above_s)}`),
      h("span", null, label),
    );
  }
}

/**
 * @param {string} colour
 * @param {string} label
 */
function legendEntry(colour, label) {
  const swatch = h("i");
  swatch.style.setProperty("background", colour);
  return h("span", null, swatch, label);
}
