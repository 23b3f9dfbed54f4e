// The history of an area: every publication of its units, as a line over time and as a table.

import { byId, setText, show } from "./dom.js";
import { Pauses } from "./fetching.js";
import { moment, number, signedNumber, t, wholePercent } from "./format.js";
import { hiddenUntil, unlessHidden } from "./hidden.js";
import { plot } from "./plot.js";
import { documents } from "./source.js";
import { LiveTable } from "./table.js";

/** @import { HistoryEntry, PublicRecord } from "./record.js" */
/** @import { Registry } from "./registry.js" */
/** @import { Column } from "./table.js" */

const ROWS = 50;
const MORE_ROWS = 500;
const FILE_BEHIND_MS = 15_000; // what follows the last whole range is written each half minute

export class AreaHistory {
  /** @type {string | null} */
  #id = null;
  #pauses = new Pauses();
  /** Aborted when another area is opened: nothing waits to try again for this one. */
  #opening = new AbortController();
  /** The area for which the record is being read.
   *
   * @type {string | null}
   */
  #readingFor = null;
  #rows = ROWS;
  /** @type {HistoryEntry[]} */
  #whole = [];
  /** What is shown of it. */
  #history = this.#whole;
  #until = Infinity;
  #later = 0;
  #drawn = "";

  /**
   * @param {Registry} registry
   * @param {() => PublicRecord} record
   * @param {() => number} position the sequence up to which the record can be read
   */
  constructor(registry, record, position) {
    this.registry = registry;
    this.record = record;
    this.position = position;
    /** @type {LiveTable<HistoryEntry>} */
    this.table = new LiveTable(byId("history", HTMLTableElement), historyColumns(registry));
    byId("history-more").addEventListener("click", () => {
      this.#rows += MORE_ROWS;
      this.#drawTable();
    });
    new ResizeObserver(() => this.#drawPlot()).observe(byId("plot"));
  }

  /** @param {string | null} id of the area to show; null: none */
  open(id) {
    this.#opening.abort();
    this.#opening = new AbortController();
    this.#id = id;
    this.#rows = ROWS;
    this.#whole = this.#history = [];
    this.#drawn = "";
    byId("plot").replaceChildren();
    byId("history", HTMLTableElement).tBodies[0]?.replaceChildren();
    this.#read();
  }

  /** Read what has been published since. */
  update() {
    this.#read();
  }

  /** @param {number} sequence the last publication to show */
  showUntil(sequence) {
    if (this.#until === sequence) return;
    this.#until = sequence;
    this.#cut();
    this.#draw();
  }

  #cut() {
    const end = this.#whole.findLastIndex(({ sequence }) => sequence <= this.#until) + 1;
    this.#history = end === this.#whole.length ? this.#whole : this.#whole.slice(0, end);
  }

  /** Draw everything again, after a change of the area or of the language. */
  redraw() {
    this.table.drawTitles();
    this.#drawn = "";
    this.#draw();
  }

  /** Read the record up to where the feed is, and draw it. */
  async #read() {
    const id = this.#id;
    if (id === null) return;
    if (this.#readingFor === id) return;
    this.#readingFor = id;
    while (this.#id === id && this.record().sequence < this.position()) {
      const record = this.record();
      const before = record.sequence;
      try {
        await record.read(this.position(), (part) => {
          if (this.#id === id && !this.#whole.length) {
            setText(byId("history-state"), t("historyReading")(wholePercent(part)));
          }
        });
        this.#pauses.reset();
        if (record.sequence === before) {
          this.#readLater();
          break;
        }
      } catch (error) {
        if (this.#id === id) setText(byId("history-state"), t("historyFailed"));
        await this.#pauses.wait(error, this.#opening.signal);
      }
    }
    if (this.#readingFor === id) this.#readingFor = null;
    if (this.#id !== id) return;
    this.#whole = this.record().historyOf(this.registry.unitsOf(id));
    this.#cut();
    this.#draw();
  }

  /** Read again, if a file has less of the record than the feed; from a door, the next change does so. */
  #readLater() {
    clearTimeout(this.#later);
    if (documents().isMirror) this.#later = setTimeout(() => this.#read(), FILE_BEHIND_MS);
  }

  #draw() {
    const history = this.#history;
    const [first, last] = [history[0], history.at(-1)];
    const key = `${this.#id} ${last?.sequence ?? 0}`;
    if (key === this.#drawn) return;
    this.#drawn = key;
    const state = byId("history-state");
    show(byId("history-details"), history.length > 0);
    show(byId("plot"), history.length > 0);
    if (!first || !last) {
      const whole = this.record().sequence >= this.position();
      setText(state, whole ? unlessHidden(t("historyNone"), hiddenUntil()) : t("historyReading")(""));
      return;
    }
    setText(state, t("historySome")(history.length, moment(first.at), moment(last.at)));
    this.#drawPlot();
    this.#drawTable();
  }

  #drawPlot() {
    const history = this.#history;
    const points = history.map(({ at, sum }) => ({ at, value: sum }));
    const [first, ...others] = points;
    const last = points.at(-1);
    if (!first || !last) return;
    const falls = history.filter(({ change }) => change < 0).length;
    const label = t("plotLabel")(history.length, moment(first.at), moment(last.at), last.value, falls);
    plot(byId("plot"), [first, ...others], label);
  }

  #drawTable() {
    const newest = this.#history.slice(-this.#rows);
    this.table.clear();
    for (const entry of newest) this.table.set(String(entry.sequence), entry);
    this.table.arrange(true);
    show(byId("history-more"), this.#history.length > newest.length);
  }
}

/**
 * @param {Registry} registry
 * @returns {Column<HistoryEntry>[]}
 */
const historyColumns = (registry) => [
  {
    title: "colTime",
    descending: true,
    value: (row) => row.sequence,
    draw: (cell, row) => setText(cell, moment(row.at)),
  },
  {
    title: "colUnit",
    kind: "left",
    value: (row) => registry.name(row.unit),
    draw: (cell, row) => setText(cell, registry.name(row.unit)),
  },
  {
    title: "colStatus",
    kind: "left second",
    draw: (cell, row) => setText(cell, t("statuses")[row.status] ?? row.status),
  },
  {
    title: "colBallots",
    kind: "slim",
    descending: true,
    value: (row) => row.ballots,
    draw: (cell, row) => setText(cell, number(row.ballots)),
  },
  {
    title: "colChange",
    value: (row) => row.change,
    draw(cell, row) {
      setText(cell, signedNumber(row.change));
      cell.classList.toggle("late", row.change < 0);
    },
  },
  {
    title: "colReason",
    kind: "left second",
    value: (row) => row.reason,
    draw: (cell, { reason }) => setText(cell, reason ? (t("reasons")[reason] ?? reason) : ""),
  },
  {
    title: "colSequence",
    kind: "third",
    draw: (cell, row) => setText(cell, number(row.sequence)),
  },
];
