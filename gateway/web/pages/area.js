// The page of one area: its figures, its corrections, how they came over time, and what lies below it.

import { areaColumns } from "./columns.js";
import { explained, explainedUnit } from "./corrections.js";
import { byId, h, show, text } from "./dom.js";
import { change, current, moment, number, t } from "./format.js";
import { sums } from "./parties.js";
import { plot } from "./plot.js";
import { address, ask } from "./shell.js";
import { Summary } from "./summary.js";
import { LiveTable } from "./table.js";

const ROWS = 50;
const AGAIN_MS = 3000;

export class AreaPage {
  #id = null;
  #found = null; // as plain reading shows it, with children
  #asking = false;
  #askAgain = 0;
  #wanted = 0;
  #children = null;
  #rows = ROWS;
  #events = [];
  #drawnEvents = "";

  /** `places` knows the registry; `record()` the history; `sequence()` how far the feed is. */
  constructor({ election, places, parties, record, sequence }) {
    Object.assign(this, { election, places, parties, record, sequence });
    this.summary = new Summary(byId("area-summary"), parties);
    this.history = new LiveTable(byId("history"), [
      {
        title: "colTime",
        value: (row) => row.sequence,
        falling: true,
        draw: (cell, row) => text(cell, moment(row.at)),
      },
      {
        title: "colUnit",
        kind: "left",
        value: (row) => places.name(row.unit),
        draw: (cell, row) => text(cell, places.name(row.unit)),
      },
      {
        title: "colStatus",
        kind: "left second",
        draw: (cell, row) => text(cell, t("statuses")[row.status] ?? row.status),
      },
      {
        title: "colBallots",
        kind: "slim",
        value: (row) => row.ballots,
        falling: true,
        draw: (cell, row) => text(cell, number(row.ballots)),
      },
      {
        title: "colChange",
        value: (row) => row.change,
        draw(cell, row) {
          text(cell, change(row.change));
          cell.classList.toggle("late", row.change < 0);
        },
      },
      {
        title: "colReason",
        kind: "left second",
        value: (row) => row.reason,
        draw: (cell, row) => text(cell, row.reason ? (t("reasons")[row.reason] ?? row.reason) : ""),
      },
      { title: "colSequence", kind: "third", draw: (cell, row) => text(cell, number(row.sequence)) },
    ]);
    byId("history-more").addEventListener("click", () => {
      this.#rows += 500;
      this.#drawTable();
    });
    new ResizeObserver(() => this.#drawPlot()).observe(byId("plot"));
  }

  get id() {
    return this.#id;
  }

  /** Show an area, or none. */
  open(id) {
    clearTimeout(this.#askAgain);
    this.#id = id;
    this.#found = null;
    this.#children = null;
    this.#rows = ROWS;
    this.#events = [];
    this.#drawnEvents = "";
    byId("plot").replaceChildren();
    byId("children").tBodies[0].replaceChildren();
    byId("history").tBodies[0].replaceChildren();
    if (id === null) return;
    this.redraw();
    if (this.places.has(id)) {
      this.#ask();
      this.#readHistory();
    }
  }

  /** What a block changed; asks for the units below where this area is among it. */
  changed(areas, sequence) {
    if (this.#id === null) return;
    const id = this.places.isUnit(this.#id) ? this.places.parent(this.#id) : this.#id;
    if (areas.some((area) => area.area === id)) {
      this.#wanted = sequence;
      this.#ask();
      this.#readHistory();
    }
  }

  async #ask() {
    if (this.#asking) return;
    this.#asking = true;
    const id = this.#id;
    const atLeast = this.sequence();
    const { document } = await ask(
      address(this.election, `/areas/${encodeURIComponent(id)}?at_least=${atLeast}`),
    );
    this.#asking = false;
    if (this.#id !== id) {
      if (this.#id !== null) this.#ask();
      return;
    }
    if (document) {
      this.#found = document;
      this.draw();
    }
    clearTimeout(this.#askAgain);
    if (!document) this.#askAgain = setTimeout(() => this.#ask(), AGAIN_MS);
    else if (this.#wanted > document.record.sequence) this.#askAgain = setTimeout(() => this.#ask(), 1000);
  }

  async #readHistory() {
    const id = this.#id;
    const units = this.places.unitsOf(id);
    const state = byId("history-state");
    const record = this.record();
    try {
      while (record.sequence < this.sequence() && this.#id === id) {
        const before = record.sequence;
        await record.read(this.sequence(), (part) => {
          if (this.#id === id && !this.#events.length)
            text(state, t("historyReading")(`${Math.round(100 * part)} %`));
        });
        if (record.sequence === before) break;
      }
    } catch {
      if (this.#id !== id) return;
      text(state, t("historyFailed"));
      setTimeout(() => this.#id === id && this.#readHistory(), AGAIN_MS);
      return;
    }
    if (this.#id !== id) return;
    this.#events = record.of(units);
    this.#drawHistory();
  }

  /** All of it, in the language of now. */
  redraw() {
    if (this.#id === null) return;
    const known = this.places.has(this.#id);
    this.history.titles();
    this.#children?.titles();
    this.#drawnEvents = "";
    for (const id of ["area-summary", "children-section"]) show(byId(id), known);
    show(byId("history-title").parentElement, known);
    text(byId("area-title"), known ? this.places.name(this.#id) : t("unknownArea")(this.#id));
    byId("crumbs").replaceChildren(
      ...this.places
        .above(this.#id)
        .map((each, place) => h("a", { href: place ? this.places.link(each) : "#" }, this.places.name(each))),
      ...(known ? [] : [h("a", { href: "#" }, t("backToAll"))]),
    );
    if (!known) {
      text(byId("area-subtitle"), "");
      return;
    }
    this.draw();
    this.#drawHistory();
  }

  draw() {
    const area = this.#found;
    if (!area) {
      this.summary.draw(this.places.now(this.#id));
      return;
    }
    const unit = this.places.isUnit(area.area);
    const kind = t("areaLevel")[area.level] ?? area.level;
    const what = [unit ? t("areaUnit")(this.places.name(area.parent)) : kind, t("codeOf")(area.area)];
    if (unit && area.status) what.push(t("statuses")[area.status] ?? area.status);
    if (area.published_at) what.push(`${t("colUpdated").toLowerCase()} ${moment(area.published_at)}`);
    text(byId("area-subtitle"), what.join(" · "));
    this.summary.draw(area);
    this.#drawCorrections(area, unit);
    this.#drawChildren(area);
  }

  #drawCorrections(area, unit) {
    const of = unit ? [area] : area.children;
    const items = of
      .filter((each) => each.correction || each.last_correction)
      .sort((a, b) => place(b) - place(a));
    const count = unit ? items.length : area.corrections;
    show(byId("area-corrections"), count > 0);
    text(byId("area-corrections-title"), t("correctionsTitle")(number(count)));
    const list = byId("area-corrections").querySelector("ol");
    const key = `${current()} ${area.area} ${items.map((each) => `${place(each)}-${each.sequence}`).join(" ")}`;
    if (list.dataset.key === key) return;
    list.dataset.key = key;
    list.replaceChildren(
      ...items.slice(0, 12).map((each) => {
        const { correction, last_correction: last } = each;
        if (correction)
          return h(
            "li",
            null,
            h("strong", null, each.name),
            ` – ${explainedUnit(each)} (${moment(correction.at)})`,
          );
        return h(
          "li",
          null,
          h(
            "strong",
            null,
            h("a", { href: this.places.link(each.area) }, each.name),
            ` · ${this.places.name(last.unit)}`,
          ),
          ` – ${explained(last.ballots, last.reason)}`,
        );
      }),
    );
  }

  #drawChildren(area) {
    const section = byId("children-section");
    show(section, area.children.length > 0);
    if (!area.children.length) return;
    const units = this.places.isUnit(area.children[0].area);
    text(byId("children-title"), t("childrenTitle")[area.children[0].level] ?? t("childrenOther"));
    this.#children ??= new LiveTable(byId("children"), areaColumns(this.parties, { units }));
    for (const child of area.children)
      this.#children.set(child.area, {
        area: child,
        sums: sums(child),
        place: child.area,
        href: this.places.link(child.area),
      });
    this.#children.order();
  }

  #drawHistory() {
    const events = this.#events;
    const key = `${this.#id} ${events.at(-1)?.sequence ?? 0}`;
    if (key === this.#drawnEvents) return;
    this.#drawnEvents = key;
    const state = byId("history-state");
    show(byId("history-details"), events.length > 0);
    show(byId("plot"), events.length > 0);
    if (!events.length) {
      text(state, this.record().sequence >= this.sequence() ? t("historyNone") : t("historyReading")(""));
      return;
    }
    text(state, t("historySome")(number(events.length), moment(events[0].at), moment(events.at(-1).at)));
    this.#drawPlot();
    this.#drawTable();
  }

  #drawPlot() {
    const events = this.#events;
    if (!events.length) return;
    const falls = events.filter((event) => event.change < 0).length;
    const label = t("plotLabel")(
      number(events.length),
      moment(events[0].at),
      moment(events.at(-1).at),
      number(events.at(-1).sum),
      number(falls),
    );
    plot(
      byId("plot"),
      events.map((event) => ({ at: event.at, value: event.sum })),
      label,
    );
  }

  #drawTable() {
    const newest = this.#events.slice(-this.#rows);
    this.history.clear();
    for (const event of newest) this.history.set(event.sequence, event);
    this.history.order(true);
    show(byId("history-more"), this.#events.length > newest.length);
  }
}

const place = (area) => (area.correction ?? area.last_correction).sequence;
