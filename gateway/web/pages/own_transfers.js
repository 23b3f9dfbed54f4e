// A municipality's own transfers, read from the push door with its token (token_polling.js).

import { byId, setText, show } from "./dom.js";
import { BadAnswer } from "./fetching.js";
import { t, time } from "./format.js";
import { electionPath } from "./shell.js";
import { isFile } from "./source.js";
import { LiveTable } from "./table.js";
import { pollWithToken } from "./token_polling.js";
import { ownColumns } from "./transfer_columns.js";

/** @import { Transfer } from "../documents" */
/** @import { Clock } from "./feed.js" */
/** @import { Registry } from "./registry.js" */

const INTERVAL_MS = 2000;

export class OwnTransfers {
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
    show(byId("own-section"), !isFile); // of a mirror; the push door is elsewhere
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
      this.#showing.abort();
      this.#showing = new AbortController();
      show(byId("own-forget"), true);
      const url = pushUrl.href.replace(/\/$/, "") + electionPath(this.election, "/transfers");
      pollWithToken(url, token, {
        signal: this.#showing.signal,
        interval_ms: INTERVAL_MS,
        onDocument: ({ transfers }) => this.#update(transfers),
        onError: (error) => this.#failed(error),
      });
    }
  }

  /** @param {() => string} status */
  #stop(status) {
    this.#transfers = null;
    this.#showing.abort();
    show(byId("own"), false);
    show(byId("own-forget"), false);
    this.table.clear();
    this.table.arrange(true);
    this.#setStatus(status);
    this.onChange();
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
