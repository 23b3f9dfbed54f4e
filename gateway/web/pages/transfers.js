// "Where are the counts?": per municipality what has been accepted, what is published and what has reached
// this very page, with one sentence above it all. The table is polled each second. The page is a client of
// the feed too, so what it calls delivered has been delivered.

import { DelayStrip } from "./delay_strip.js";
import { byId, h, setText } from "./dom.js";
import { Clock, EVERYTHING, Feed } from "./feed.js";
import { BadAnswer, fetchWithin, Pauses, pause, visible } from "./fetching.js";
import { age, clockTime, countdown, duration, number, share, t, time } from "./format.js";
import { isHidden } from "./hidden.js";
import { nameOf } from "./names.js";
import { OwnTransfers } from "./own_transfers.js";
import { Registry } from "./registry.js";
import { announce, showRehearsal, translate, waitForElection } from "./shell.js";
import { documents } from "./source.js";
import { drawStatus } from "./status.js";
import { Figure } from "./summary.js";
import { TransferList } from "./transfer_list.js";

/** @import { Area, Block, ElectionAndRegistry, Transfers } from "../documents" */
/** @import { TransferRow } from "./transfer_columns.js" */

/** @typedef {{municipality: string, delay_s: number, at: number}} Delivery `at` in milliseconds since 1970 */
/** @typedef {[kind: "good" | "waits" | "bad", words: string]} Sentence */

const INTERVAL_MS = 1000;
const RECENT_MS = 600_000;
const STALE_MS = 5000;

class TransfersPage {
  #etag = "";
  /** @type {Transfers | null} */
  #document = null;
  #answeredAt = 0;
  /** @type {Delivery[]} */
  #deliveries = [];
  /** The municipalities of the list: the feed has other areas too.
   *
   * @type {Set<string>}
   */
  #listed = new Set();
  #sentenceKind = "";

  /** @param {ElectionAndRegistry} election */
  constructor(election) {
    this.election = election;
    this.clock = new Clock();
    this.registry = new Registry(election.registry);
    this.totals = {
      accepted: new Figure("accepted"),
      published: new Figure("published"),
      delivered: new Figure("delivered"),
      waiting: new Figure("waiting"),
      units: new Figure("units"),
    };
    byId("totals").replaceChildren(...Object.values(this.totals).map(({ element }) => element));
    this.list = new TransferList(this.registry, this.clock);
    this.strip = new DelayStrip(byId("strip"), byId("strip-legend"));
    this.own = new OwnTransfers(election.id, this.registry, this.clock, () => this.draw());
    this.feed = new Feed(election.id, EVERYTHING, this.clock, {
      onBlock: (changed, block) => this.#noteDeliveries(changed, block),
      onState: () => drawStatus(this.feed),
    });
    setInterval(() => document.hidden || this.draw(), INTERVAL_MS);
    this.#poll();
  }

  /**
   * Note how long areas took from their publication to this page.
   *
   * @param {Area[]} changed
   * @param {Block} block
   */
  #noteDeliveries(changed, block) {
    if (block.snapshot) return;
    const now = this.clock.now();
    for (const { area, published_at } of changed) {
      if (!published_at || !this.#listed.has(area)) continue;
      const delay_s = Math.max(0, (now - Date.parse(published_at)) / 1000);
      this.#deliveries.push({ at: Date.now(), municipality: area, delay_s });
      this.strip.add(delay_s);
    }
  }

  /** Poll for ever; after failures with growing pauses. The sentence shows since when there has been no answer. */
  async #poll() {
    const pauses = new Pauses();
    for (;;) {
      try {
        await this.#fetch();
        pauses.reset();
        this.draw();
        await pause(this.#interval_ms(), INTERVAL_MS);
      } catch (error) {
        await pauses.wait(error);
      }
      await visible();
    }
  }

  /** A file is read as often as it may be written. */
  #interval_ms = () => (documents().isMirror ? 1000 * (this.feed.mirror?.every_s ?? 1) : INTERVAL_MS);

  async #fetch() {
    const { isMirror } = documents();
    const path = documents().transfers(this.election.id);
    // For a file, the browser itself asks whether there is a newer one.
    /** @type {HeadersInit} */
    const headers = this.#etag && !isMirror ? { "If-None-Match": this.#etag } : {};
    const response = await fetchWithin(path, { headers, cache: isMirror ? "no-cache" : "no-store" });
    if (response.status !== 200 && response.status !== 304) throw new BadAnswer(response);
    if (response.status === 200) {
      /** @type {Transfers} */
      const document = await response.json();
      this.#etag = isMirror ? "" : (response.headers.get("ETag") ?? "");
      this.#document = document;
      this.#listed = new Set(document.transfers.map(({ municipality }) => municipality));
      if (!isMirror) this.clock.observe(document.server_time);
      this.#noteEmbargo(document);
    }
    this.#answeredAt = Date.now();
  }

  /**
   * Note the end of the embargo, which may be moved, and the release.
   *
   * @param {Transfers} document
   */
  #noteEmbargo({ hidden_until, server_time }) {
    const { election } = this;
    if (hidden_until) election.publish_from = hidden_until;
    election.released_at = hidden_until ? null : (election.released_at ?? server_time);
  }

  draw() {
    drawStatus(this.feed);
    if (!this.#document) return;
    const { transfers, late_after_s } = this.#document;
    const rows = transfers.map((transfer) => ({
      ...transfer,
      name: this.registry.name(transfer.municipality),
      county: this.registry.parentName(transfer.municipality),
      delivered: this.feed.areas.get(transfer.municipality)?.units.reported ?? null,
      late: (transfer.oldest_unpublished_s ?? 0) > late_after_s,
    }));
    const oldest_s = Math.max(0, ...rows.map(({ oldest_unpublished_s }) => oldest_unpublished_s ?? 0));
    this.strip.tick(oldest_s);
    this.list.draw(rows);
    this.#drawTotals(rows, oldest_s);
    this.#drawSentence(rows);
  }

  /**
   * @param {TransferRow[]} rows
   * @param {number} oldest_s
   */
  #drawTotals(rows, oldest_s) {
    const sum = (/** @type {(row: TransferRow) => number} */ value) =>
      rows.reduce((all, row) => all + value(row), 0);
    const units = sum((row) => row.units);
    const reported = sum((row) => row.reported);
    const accepted = sum((row) => row.accepted);
    const published = sum((row) => row.published);
    const delivered = sum((row) => row.delivered ?? 0);
    const waiting = accepted - published;
    const { totals } = this;
    if (isHidden()) {
      totals.accepted.drawHidden("totalsAccepted");
      totals.published.drawHidden("totalsPublished");
      totals.delivered.drawHidden("totalsDelivered");
      totals.waiting.drawHidden("totalsWaiting");
      totals.units.drawHidden("totalsUnits");
      return;
    }
    totals.accepted.draw("totalsAccepted", number(accepted), t("totalsReports")(accepted), null);
    totals.published.draw("totalsPublished", number(published), t("totalsReports")(published), null);
    const known = Math.max(reported, delivered); // the feed is ahead of the document by up to a second
    totals.delivered.draw("totalsDelivered", number(delivered), t("totalsOf")(known), null);
    const oldest = waiting ? t("totalsOldest")(duration(oldest_s)) : t("totalsNone");
    totals.waiting.draw("totalsWaiting", number(waiting), oldest, null);
    totals.units.draw("totalsUnits", share(reported, units), t("totalsToCome")(units - reported), null);
  }

  /**
   * Return the state of all transfers in one sentence.
   *
   * @param {TransferRow[]} rows
   * @returns {Sentence}
   */
  #sentence(rows) {
    if (Date.now() - this.#answeredAt > Math.max(STALE_MS, 3 * this.#interval_ms()))
      return ["bad", t("sentenceUnknown")(time(this.#answeredAt))];
    if (isHidden()) return this.#embargoSentence();
    const late = rows.filter((row) => row.accepted > row.published && row.late);
    late.sort((a, b) => (b.oldest_unpublished_s ?? 0) - (a.oldest_unpublished_s ?? 0));
    const [first, ...others] = late;
    if (first) {
      const waited = age(first.oldest_unpublished_s ?? 0);
      const words = t("sentenceWaits")(first.accepted - first.published, first.name, waited);
      return ["bad", words + (others.length ? t("sentenceMoreWait")(others.length) : "")];
    }
    const sum = (/** @type {(row: TransferRow) => number} */ value) =>
      rows.reduce((all, row) => all + value(row), 0);
    const accepted = sum((row) => row.accepted);
    const held = sum((row) => row.held ?? 0);
    const checked = held ? t("sentenceChecked")(held) : "";
    if (!accepted) return ["waits", checked.trim() || t("sentenceNothing")];
    const units = sum((row) => row.units);
    const toCome = units - sum((row) => row.reported);
    const waiting = accepted - sum((row) => row.published);
    const published = held ? t("sentencePublishedElse")(toCome) : t("sentencePublished")(toCome, units);
    const state = checked + (waiting ? t("sentenceUnderWay")(waiting, toCome) : published);
    const kind = held ? "waits" : "good";
    const slowest = this.#slowestDelivery();
    if (!slowest) return [kind, state];
    const name = this.registry.name(slowest.municipality);
    return [kind, state + t("sentenceSlowest")(name, duration(slowest.delay_s))];
  }

  /** @returns {Sentence} */
  #embargoSentence() {
    const left_ms = Date.parse(this.election.publish_from) - this.clock.now();
    if (left_ms <= 0) return ["waits", t("sentenceReleasing")];
    const own = this.own.waiting;
    if (own?.municipalities) return ["waits", t("sentenceEmbargoOwn")(own.municipalities, own.counts)];
    return ["waits", t("sentenceEmbargo")(clockTime(this.election.publish_from), countdown(left_ms))];
  }

  #slowestDelivery() {
    const since = Date.now() - RECENT_MS;
    this.#deliveries = this.#deliveries.filter(({ at }) => at > since);
    /** @type {Delivery | null} */
    let slowest = null;
    for (const delivery of this.#deliveries) {
      if (slowest === null || delivery.delay_s > slowest.delay_s) slowest = delivery;
    }
    return slowest;
  }

  /** @param {TransferRow[]} rows */
  #drawSentence(rows) {
    const [kind, words] = this.#sentence(rows);
    const element = byId("sentence");
    element.className = `sentence ${kind}`;
    setText(element, words);
    if (this.#sentenceKind !== kind) announce(words); // announce the state, not each figure in it
    this.#sentenceKind = kind;
  }

  /** Draw everything again, after a change of the language. */
  redraw() {
    showRehearsal(this.election.rehearsal);
    document.title = `${t("throughTitle")} · ${nameOf(this.election)}`;
    setText(byId("title"), nameOf(this.election));
    byId("words").replaceChildren(
      ...t("words").flatMap(([word = "", meaning = ""]) => [h("dt", null, word), h("dd", null, meaning)]),
    );
    this.list.redraw();
    this.strip.draw();
    this.own.redraw();
    this.#sentenceKind = "";
    this.draw();
  }
}

/** @type {TransfersPage | null} */
let page = null;
translate(() => {
  if (page) page.redraw();
  else setText(byId("sentence"), t("sentenceReading"));
});
page = new TransfersPage(await waitForElection());
page.redraw();
