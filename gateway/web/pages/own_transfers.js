// A municipality's own transfers, read from the push door with its token. The token is kept in a variable and
// nowhere else.

import { byId, setText, show } from "./dom.js";
import { t, time } from "./format.js";
import { electionPath } from "./shell.js";
import { LiveTable } from "./table.js";
import { ownColumns } from "./transfer_columns.js";

/** @import { Transfer } from "../documents" */
/** @import { Clock } from "./feed.js" */

const INTERVAL_MS = 2000;

export class OwnTransfers {
  /** @type {string | null} */
  #token = null;
  /** @type {Transfer[] | null} */
  #transfers = null;
  #timer = 0;
  /** Return the text of the status line in the current language. */
  #status = () => "";

  /**
   * @param {string} election
   * @param {Clock} clock
   * @param {() => void} onChange called when there are other transfers than before
   */
  constructor(election, clock, onChange) {
    this.election = election;
    this.onChange = onChange;
    /** @type {LiveTable<Transfer>} */
    this.table = new LiveTable(byId("own", HTMLTableElement), ownColumns(clock));
    const push = new URLSearchParams(location.search).get("push");
    this.pushUrl = push === null ? null : URL.parse(push, location.href);
    byId("own-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#start(byId("token", HTMLInputElement).value.trim());
    });
    byId("own-forget").addEventListener("click", () => this.#stop(() => ""));
  }

  /** How many municipalities of the token, and counts of theirs, wait for the release; null without a token. */
  get waiting() {
    if (!this.#transfers) return null;
    const waiting = this.#transfers.filter((row) => row.embargoed > 0);
    return { municipalities: waiting.length, counts: waiting.reduce((sum, row) => sum + row.embargoed, 0) };
  }

  /** @param {string} token */
  #start(token) {
    byId("token", HTMLInputElement).value = "";
    const { pushUrl } = this;
    if (pushUrl === null) {
      this.#setStatus(() => t("ownNoPush"));
    } else if (pushUrl.origin !== location.origin) {
      this.#setStatus(() => t("ownElsewhere")(pushUrl.origin));
    } else {
      this.#token = token;
      show(byId("own-forget"), true);
      clearTimeout(this.#timer);
      this.#poll(pushUrl);
    }
  }

  /** @param {() => string} status */
  #stop(status) {
    this.#token = null;
    this.#transfers = null;
    clearTimeout(this.#timer);
    show(byId("own"), false);
    show(byId("own-forget"), false);
    this.table.clear();
    this.table.arrange(true);
    this.#setStatus(status);
    this.onChange();
  }

  /** @param {URL} pushUrl */
  async #poll(pushUrl) {
    const token = this.#token;
    if (token === null) return;
    this.#timer = setTimeout(() => this.#poll(pushUrl), INTERVAL_MS);
    if (document.hidden && this.#transfers) return;
    const url = pushUrl.href.replace(/\/$/, "") + electionPath(this.election, "/transfers");
    const headers = { Authorization: `Bearer ${token}` };
    let response;
    let transfers = null;
    try {
      response = await fetch(url, { headers, cache: "no-store", credentials: "omit" });
      if (response.ok) ({ transfers } = await response.json());
    } catch {
      if (token === this.#token) this.#setStatus(() => t("ownUnreachable"));
      return;
    }
    if (token !== this.#token) return;
    const { status } = response;
    if (status === 401 || status === 403) {
      this.#stop(() => t("ownRefused"));
    } else if (transfers === null) {
      this.#setStatus(() => t("ownFailed")(status));
    } else {
      const at = Date.now();
      this.#transfers = transfers;
      this.#setStatus(() => t("ownUpdated")(time(at)));
      this.#draw(transfers);
    }
  }

  /** @param {Transfer[]} transfers */
  #draw(transfers) {
    show(byId("own"), true);
    for (const row of transfers) this.table.set(row.municipality, row);
    this.table.arrange();
    this.onChange();
  }

  /** @param {() => string} status */
  #setStatus(status) {
    this.#status = status;
    setText(byId("own-status"), status());
  }

  /** Draw everything again, after a change of the language. */
  redraw() {
    this.table.drawTitles();
    this.#setStatus(this.#status);
    if (this.#transfers) this.#draw(this.#transfers);
  }
}
