// The current reports of the token's own units, also under embargo.

import { drawCards, unitName } from "./count_cards.js";
import { Refused } from "./count_session.js";
import { byId, setText, show } from "./dom.js";
import { Pauses, pause, visible } from "./fetching.js";
import { statusName } from "./findings.js";
import { compare, moment, number, t, time } from "./format.js";
import { nameOf } from "./names.js";

/** @import { OwnReports, OwnUnit } from "../push_documents" */

const SHOWN_MAX = 500;

const EVERY_MS = 15_000;

export class OwnView {
  #following = new AbortController();
  /** @type {OwnReports | null} */
  #reports = null;
  #at = 0;
  #failed = false;

  /**
   * @param {() => Promise<OwnReports>} ask
   * @param {(reports: OwnReports) => void} keep called with what was read
   */
  constructor(ask, keep) {
    this.ask = ask;
    this.keep = keep;
  }

  /** @param {OwnReports} reports */
  update(reports) {
    this.#reports = reports;
    this.#at = Date.now();
    this.#failed = false;
    this.draw();
  }

  /** Read again and again, until `clear` or the next call; not while the page is hidden. */
  async follow() {
    this.#following.abort();
    this.#following = new AbortController();
    const { signal } = this.#following;
    const pauses = new Pauses();
    while (!signal.aborted) {
      await pause(EVERY_MS, EVERY_MS, signal);
      await visible(signal);
      const error = signal.aborted ? null : await this.read();
      if (error === null) pauses.reset();
      else if (error instanceof Refused && error.ofToken) return;
      else await pauses.wait(error, signal);
    }
  }

  /** Read now; return the error if there is no answer, or null. */
  async read() {
    const { signal } = this.#following;
    try {
      const reports = await this.ask();
      if (!signal.aborted) this.keep(reports);
      return null;
    } catch (error) {
      if (signal.aborted) return null;
      this.#failed = true;
      this.draw();
      return error;
    }
  }

  clear() {
    this.#following.abort();
    this.#reports = null;
    show(byId("own"), false);
    byId("own-table", HTMLTableElement).tBodies[0]?.replaceChildren();
  }

  draw() {
    const reports = this.#reports;
    if (reports === null) return;
    show(byId("own"), true);
    const { units } = reports;
    const reported = units.filter(({ revision }) => revision !== null);
    const embargoed = units.filter(({ state }) => state === "embargoed").length;
    setText(byId("own-summary"), t("ownSummary")(reported.length, units.length, embargoed));
    setText(byId("own-status"), t(this.#failed ? "ownStale" : "ownUpdated")(time(this.#at)));
    const sorted = units.toSorted(
      (a, b) => Number(a.revision !== null) - Number(b.revision !== null) || compare(a.id, b.id),
    );
    const places = new Map(reports.municipalities.map((each) => [each.id, nameOf(each)]));
    const place = (/** @type {OwnUnit} */ unit) =>
      places.size > 1 ? `, ${places.get(unit.municipality)}` : "";
    drawCards(
      byId("own-table", HTMLTableElement),
      ["colUnit", "colStatus", "colBallots", "colRevision", "colAnswer", "colTime"],
      sorted.slice(0, SHOWN_MAX).map((unit) => row(unit, nameOf(unit) + place(unit))),
    );
    setText(byId("own-more"), units.length > SHOWN_MAX ? t("moreUnits")(units.length - SHOWN_MAX) : "");
  }
}

/**
 * @param {OwnUnit} unit
 * @param {string} name
 */
function row({ id, revision, status, ballots, accepted_at, state }, name) {
  return {
    key: id,
    kind: revision === null ? "waits" : state === "rejected" ? "refused" : "receipt",
    contents: [
      unitName(name, id),
      statusName(status ?? "no_report"),
      ballots === null ? null : number(ballots),
      revision === null ? null : number(revision),
      state === null ? null : (t("answerStates")[state] ?? state),
      accepted_at === null ? null : moment(accepted_at),
    ],
  };
}
