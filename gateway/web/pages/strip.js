// The night since the page was opened, as a strip: a column a span of time, as high and as red as the slowest count in it
// was late. Columns are merged as the night grows, so that it never needs more room.

import { h } from "./dom.js";
import { duration, t, time } from "./format.js";

const COLUMNS = 240;
const STEPS = [0.1, 0.3, 1, 3, 10, 30, 100];
const LIGHT = ["#7fb98f", "#a5bd6a", "#d0b54a", "#d99640", "#cf6a3c", "#b93a34", "#8c1d28"];

export class Strip {
  #columns = []; // the slowest of each, in seconds; null where nothing was measured
  #spanMs = 1000;
  #from = Date.now();
  #worst = { s: -1, at: 0 };

  constructor(container, legend) {
    this.container = container;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    container.replaceChildren(this.canvas);
    this.legend = legend;
    new ResizeObserver(() => this.draw()).observe(container);
  }

  /** Note how long something took, just now. */
  add(s) {
    const place = this.#place();
    this.#columns[place] = Math.max(this.#columns[place] ?? 0, s);
    if (s > this.#worst.s) this.#worst = { s, at: Date.now() };
  }

  /** Another second has passed with a count of this age waiting (0: none). */
  second(oldest) {
    if (oldest > 0) this.add(oldest);
    else this.#columns[this.#place()] ??= null;
    this.draw();
  }

  #place() {
    let place = Math.floor((Date.now() - this.#from) / this.#spanMs);
    while (place >= COLUMNS) {
      this.#merge();
      place = Math.floor((Date.now() - this.#from) / this.#spanMs);
    }
    return place;
  }

  #merge() {
    const merged = [];
    for (let place = 0; place < this.#columns.length; place += 2) {
      const pair = [this.#columns[place] ?? null, this.#columns[place + 1] ?? null].filter(
        (each) => each !== null,
      );
      merged.push(pair.length ? Math.max(...pair) : null);
    }
    this.#columns = merged;
    this.#spanMs *= 2;
  }

  draw() {
    const { canvas } = this;
    const ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width) return;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const each = width / Math.max(60, this.#columns.length);
    this.#columns.forEach((s, place) => {
      if (s === null || s === undefined) return;
      const step = stepOf(s);
      const tall = height * (0.12 + 0.88 * Math.min(1, Math.max(0, Math.log10(Math.max(s, 0.01)) + 2) / 4));
      pen.fillStyle = LIGHT[step];
      pen.fillRect(place * each, height - tall, Math.max(1, each - (each > 3 ? 1 : 0)), tall);
    });
    const told =
      this.#worst.s >= 0 ? t("stripLabel")(duration(this.#worst.s), time(this.#worst.at)) : t("stripEmpty");
    this.container.setAttribute("aria-label", told);
    this.#drawLegend(told);
  }

  #drawLegend(told) {
    if (this.legend.dataset.told === told) return;
    this.legend.dataset.told = told;
    const swatches = STEPS.slice(0, 6).map((step, place) => {
      const swatch = h("i");
      swatch.style.setProperty("background", LIGHT[place]);
      return h("span", null, swatch, `< ${duration(step)}`);
    });
    const last = h("i");
    last.style.setProperty("background", LIGHT[6]);
    this.legend.replaceChildren(
      ...swatches,
      h("span", null, last, `≥ ${duration(STEPS[5])}`),
      h("span", null, told),
    );
  }
}

function stepOf(s) {
  const found = STEPS.findIndex((step) => s < step);
  return found < 0 ? 6 : Math.min(6, found);
}
