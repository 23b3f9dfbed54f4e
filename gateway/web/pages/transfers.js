// "Is every count through?": per municipality what has come in, what is published, what has reached this very page,
// and on top one sentence. The table is asked for each second; this page is a reader of the feed too, so that what it
// calls delivered has been delivered.

import { byId, h, show, text } from "./dom.js";
import { Clock, Feed } from "./feed.js";
import { age, countdown, duration, number, share, t, time } from "./format.js";
import { Own } from "./own.js";
import { Places } from "./places.js";
import { address, election, rehearsal, say, translate } from "./shell.js";
import { drawStatus } from "./status.js";
import { Strip } from "./strip.js";
import { Figure } from "./summary.js";
import { LiveTable } from "./table.js";
import { heard, listColumns } from "./transfer_columns.js";

const EACH_MS = 1000;
const RECENT_MS = 600_000;
const STALE_MS = 5000;

class Transfers {
  #etag = null;
  #document = null;
  #answeredAt = 0;
  #asking = false;
  #delays = []; // {at, municipality, s}

  constructor(found) {
    this.election = found;
    this.clock = new Clock();
    this.places = new Places(found.registry, (id) => this.feed.copy.get(id));
    this.totals = ["accepted", "published", "delivered", "waiting", "units"].map((name) => new Figure(name));
    byId("totals").replaceChildren(...this.totals.map((figure) => figure.element));
    this.table = new LiveTable(
      byId("list"),
      listColumns(this.clock, () => this.#lateAfterS),
      { sort: 5, falling: true },
    );
    this.strip = new Strip(byId("strip"), byId("strip-legend"));
    this.own = new Own(found.id, this.clock, () => this.draw());
    this.feed = new Feed(address(found.id, "/feed?levels=municipality"), this.clock, {
      onBlock: (areas, block) => this.#delivered(areas, block),
      onState: () => drawStatus(this.feed),
    });
    byId("search").addEventListener("input", () => this.#order(true));
    byId("which").addEventListener("change", () => this.#order(true));
    document.addEventListener("visibilitychange", () => document.hidden || this.ask());
    setInterval(() => document.hidden || this.ask(), EACH_MS);
    this.ask();
  }

  /** How old an accepted report may be that is not published; older ones are late. */
  get #lateAfterS() {
    return this.#document.late_after_s;
  }

  /** What came over the feed, and how long it took from its publication to here. */
  #delivered(areas, block) {
    if (block.snapshot) return;
    const now = this.clock.now();
    for (const area of areas) {
      const s = Math.max(0, (now - Date.parse(area.published_at)) / 1000);
      this.#delays.push({ at: Date.now(), municipality: area.area, s });
      this.strip.add(s);
    }
  }

  async ask() {
    if (this.#asking) return;
    this.#asking = true;
    try {
      const headers = this.#etag ? { "If-None-Match": this.#etag } : {};
      const response = await fetch(address(this.election.id, "/transfers"), { headers, cache: "no-store" });
      if (response.status === 200) {
        this.#etag = response.headers.get("ETag");
        this.#document = await response.json();
        this.clock.hear(this.#document.server_time);
      }
      if (response.status === 200 || response.status === 304) this.#answeredAt = Date.now();
      if (!this.election.released_at) await this.#renew();
    } catch {
      // the sentence says since when there is no answer
    }
    this.#asking = false;
    this.draw();
  }

  async #renew() {
    const response = await fetch("/v1/elections");
    const found = (await response.json()).elections.find((each) => each.id === this.election.id);
    if (found) Object.assign(this.election, found);
  }

  draw() {
    drawStatus(this.feed);
    if (!this.#document) return;
    const rows = this.#document.transfers.map((transfer) => {
      const here = this.feed.copy.get(transfer.municipality);
      return {
        ...transfer,
        county: this.places.name(this.places.parent(transfer.municipality)),
        delivered: here ? here.units.reported : null,
      };
    });
    this.rows = rows;
    const oldest = Math.max(0, ...rows.map((row) => row.oldest_unpublished_s ?? 0));
    this.strip.second(oldest);
    for (const row of rows) this.table.set(row.municipality, row);
    this.#order(false);
    this.#drawTotals(rows, oldest);
    this.#drawSentence(rows);
  }

  #drawTotals(rows, oldest) {
    const sum = (value) => rows.reduce((all, row) => all + (value(row) ?? 0), 0);
    const [units, reported, accepted, published, delivered] = [
      "units",
      "reported",
      "accepted",
      "published",
      "delivered",
    ].map((name) => sum((row) => row[name]));
    const waiting = accepted - published;
    const [a, p, d, w, u] = this.totals;
    a.draw("totalsAccepted", number(accepted), t("totalsReports"), null);
    p.draw("totalsPublished", number(published), t("totalsReports"), null);
    d.draw("totalsDelivered", number(delivered), t("totalsOf")(number(reported)), null);
    w.draw(
      "totalsWaiting",
      number(waiting),
      waiting ? t("totalsOldest")(duration(oldest)) : t("totalsNone"),
      null,
    );
    u.draw("totalsUnits", share(reported, units), t("totalsToCome")(number(units - reported)), null);
  }

  /** The state of the night in one sentence. */
  #sentence(rows) {
    const quietMs = Date.now() - this.#answeredAt;
    if (quietMs > STALE_MS) return ["bad", t("sentenceUnknown")(time(this.#answeredAt))];
    if (!this.election.released_at) return this.#embargoed();
    const late = rows.filter(
      (row) => row.accepted > row.published && (row.oldest_unpublished_s ?? 0) > this.#lateAfterS,
    );
    if (late.length) {
      late.sort((x, y) => y.oldest_unpublished_s - x.oldest_unpublished_s);
      const [first] = late;
      const words = t("sentenceWaits")(
        number(first.accepted - first.published),
        first.name,
        age(first.oldest_unpublished_s),
      );
      return ["bad", words + (late.length > 1 ? t("sentenceWaitMore")(number(late.length - 1)) : "")];
    }
    const heard = rows.filter((row) => row.accepted).length;
    if (!heard) return ["waits", t("sentenceNothing")];
    const slowest = this.#slowest();
    if (slowest && heard === rows.length)
      return [
        "good",
        t("sentenceThrough")(number(heard), this.places.name(slowest.municipality), duration(slowest.s)),
      ];
    return [
      "good",
      heard === rows.length && slowest === null
        ? t("sentenceThroughQuiet")(number(heard))
        : this.#partly(heard, rows.length, slowest),
    ];
  }

  #partly(heard, all, slowest) {
    const words = t("sentenceThroughQuiet")(
      heard === all ? number(all) : t("sentenceSome")(number(heard), number(all)),
    );
    return slowest
      ? words + t("sentenceSlowest")(this.places.name(slowest.municipality), duration(slowest.s))
      : words;
  }

  #embargoed() {
    const left = Date.parse(this.election.publish_from) - this.clock.now();
    if (left <= 0) return ["waits", t("sentenceReleasing")];
    const own = this.own.waiting;
    if (own?.municipalities)
      return ["waits", t("sentenceEmbargoOwn")(number(own.municipalities), number(own.counts))];
    return ["waits", t("sentenceEmbargo")(countdown(left))];
  }

  #slowest() {
    const since = Date.now() - RECENT_MS;
    this.#delays = this.#delays.filter((delay) => delay.at > since);
    return this.#delays.reduce((most, delay) => (most === null || delay.s > most.s ? delay : most), null);
  }

  #drawSentence(rows) {
    const [kind, words] = this.#sentence(rows);
    const element = byId("sentence");
    element.className = `sentence ${kind}`;
    text(element, words);
    if (this.kind !== kind) say(words); // the state, not each figure of it
    this.kind = kind;
  }

  #order(asked) {
    const words = byId("search").value.trim().toLocaleLowerCase();
    const which = byId("which").value;
    const chosen = {
      waiting: (row) => row.accepted > row.published,
      incomplete: (row) => row.reported < row.units,
      silent: (row) => !heard(row),
    }[which];
    this.table.filter = (row) =>
      (!chosen || chosen(row)) &&
      (!words || `${row.name} ${row.county} ${row.municipality}`.toLocaleLowerCase().includes(words));
    const shown = this.table.order(asked);
    show(byId("matches"), Boolean(words || which));
    text(byId("matches"), t("matches")(number(shown), number(this.rows?.length ?? 0)));
  }

  redraw() {
    rehearsal(this.election.rehearsal);
    document.title = `${t("throughTitle")} · ${this.election.name}`;
    text(byId("title"), this.election.name);
    const which = byId("which");
    const chosen = which.value;
    which.replaceChildren(
      ...[
        ["", "whichAll"],
        ["waiting", "whichWaiting"],
        ["incomplete", "whichIncomplete"],
        ["silent", "whichSilent"],
      ].map(([value, key]) => h("option", { value }, t(key))),
    );
    which.value = chosen;
    byId("words").replaceChildren(
      ...t("words").flatMap(([word, meaning]) => [h("dt", null, word), h("dd", null, meaning)]),
    );
    this.table.titles();
    this.strip.draw();
    this.own.redraw();
    this.kind = undefined;
    this.draw();
  }
}

let page = null;
translate(() => {
  if (page) page.redraw();
  else text(byId("sentence"), t("sentenceReading"));
});
page = new Transfers(await election());
page.redraw();
