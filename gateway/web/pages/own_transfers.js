// A municipality's own transfers, read from the push door with its token. The token is kept in a variable and
// nowhere else.

import { byId, setText, show } from "./dom.js";
import { BadAnswer, fetchJson, Pauses, pause, visible } from "./fetching.js";
import { t, time } from "./format.js";
import { electionPath } from "./shell.js";
import { LiveTable } from "./table.js";
import { ownColumns } from "./transfer_columns.js";

/** @import { Transfer } from "../documents" */
/** @import { Clock } from "./feed.js" */
/** @import { Registry } from "./registry.js" */

const INTERVAL_MS = 2000;

export class OwnTransfers {
  /** @type {string | null} */
  #token = null;
  /** @type {Transfer[] | null} */
  #transfers = null;
  /** Aborted when the token is forgotten or replaced. */
  #showing = new AbortController();
  /** Return the text of the status line in the current language. */
  #status = () => "";

  /**
   * @param {string} election
   * @param {Registry} registry
   * @param {Clock} clock
   * @param {() => void} onChange called when there are other transfers than before
   */
  constructor(election, registry, clock, onChange) {
    this.election = election;
    this.registry = registry;
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
      this.#showing.abort();
      this.#showing = new AbortController();
      show(byId("own-forget"), true);
      this.#poll(pushUrl);
    }
  }

  /** @param {() => string} status */
  #stop(status) {
    this.#token = null;
    this.#transfers = null;
    this.#showing.abort();
    show(byId("own"), false);
    show(byId("own-forget"), false);
    this.table.clear();
    this.table.arrange(true);
    this.#setStatus(status);
    this.onChange();
  }

  /** @param {URL} pushUrl */
  async #poll(pushUrl) {
    const url = pushUrl.href.replace(/\/$/, "") + electionPath(this.election, "/transfers");
    const { signal } = this.#showing;
    const headers = { Authorization: `Bearer ${this.#token}` };
    const pauses = new Pauses();
    while (!signal.aborted) {
      try {
        const { transfers } = await fetchJson(url, { headers, cache: "no-store", credentials: "omit" });
        if (signal.aborted) return;
        this.#update(transfers);
        pauses.reset();
        await pause(INTERVAL_MS, INTERVAL_MS, signal);
        await visible(signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#failed(error);
        await pauses.wait(error, signal);
      }
    }
  }

  /** @param {Transfer[]} transfers */
  #update(transfers) {
    const at = Date.now();
    this.#transfers = transfers;
    this.#setStatus(() => t("ownUpdated")(time(at)));
    this.#draw(transfers);
  }

  /** @param {unknown} error */
  #failed(error) {
    if (!(error instanceof BadAnswer)) {
      this.#setStatus(() => t("ownUnreachable"));
    } else if (error.status === 401 || error.status === 403) {
      this.#stop(() => t("ownRefused"));
    } else {
      this.#setStatus(() => t("ownFailed")(error.status));
    }
  }

  /** @param {Transfer[]} transfers */
  #draw(transfers) {
    show(byId("own"), true);
    for (const row of transfers) {
      this.table.set(row.municipality, { ...row, name: this.registry.name(row.municipality) });
    }
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
