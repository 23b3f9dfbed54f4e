// A municipality's own counts, by its token, from the push door. The token is kept in a variable and nowhere else.

import { byId, show, text } from "./dom.js";
import { number, t, time } from "./format.js";
import { address } from "./shell.js";
import { LiveTable } from "./table.js";
import { ownColumns } from "./transfer_columns.js";

const EACH_MS = 2000;

export class Own {
  #token = null;
  #transfers = null;
  #timer = 0;
  #told = () => "";

  constructor(election, clock, changed) {
    this.election = election;
    this.changed = changed;
    this.table = new LiveTable(byId("own"), ownColumns(clock));
    const push = new URLSearchParams(location.search).get("push");
    this.push = push === null ? null : URL.parse(push, location.href);
    byId("own-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#begin(byId("token").value.trim());
    });
    byId("own-forget").addEventListener("click", () => this.#end(() => ""));
  }

  /** Of those that this token may see: municipalities and counts that wait for the release. Null without a token. */
  get waiting() {
    if (!this.#transfers) return null;
    const waiting = this.#transfers.filter((row) => row.embargoed > 0);
    return { municipalities: waiting.length, counts: waiting.reduce((sum, row) => sum + row.embargoed, 0) };
  }

  #begin(token) {
    byId("token").value = "";
    if (this.push === null) return this.#tell(() => t("ownNoPush"));
    if (this.push.origin !== location.origin) return this.#tell(() => t("ownElsewhere")(this.push.origin));
    this.#token = token;
    show(byId("own-forget"), true);
    clearTimeout(this.#timer);
    return this.#ask();
  }

  #end(told) {
    this.#token = null;
    this.#transfers = null;
    clearTimeout(this.#timer);
    show(byId("own"), false);
    show(byId("own-forget"), false);
    this.table.clear();
    this.table.order(true);
    this.#tell(told);
    this.changed();
  }

  async #ask() {
    const token = this.#token;
    if (token === null) return;
    this.#timer = setTimeout(() => this.#ask(), EACH_MS);
    if (document.hidden && this.#transfers) return;
    const url = this.push.href.replace(/\/$/, "") + address(this.election, "/transfers");
    let response;
    try {
      response = await fetch(url, {
        headers: { Authorization: `Bearer ${token}` },
        cache: "no-store",
        credentials: "omit",
      });
      if (response.ok) this.#transfers = (await response.json()).transfers;
    } catch {
      this.#tell(() => t("ownFailed")("–"));
      return;
    }
    if (token !== this.#token) return;
    if (response.status === 401 || response.status === 403) this.#end(() => t("ownRefused"));
    else if (!response.ok) this.#tell(() => t("ownFailed")(number(response.status)));
    else {
      const at = Date.now();
      this.#tell(() => t("ownUpdated")(time(at)));
      this.#draw();
    }
  }

  #draw() {
    show(byId("own"), true);
    for (const row of this.#transfers) this.table.set(row.municipality, row);
    this.table.order();
    this.changed();
  }

  #tell(told) {
    this.#told = told;
    text(byId("own-told"), told());
  }

  redraw() {
    this.table.titles();
    this.#tell(this.#told);
    if (this.#transfers) this.#draw();
  }
}
