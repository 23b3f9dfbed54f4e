// The dialog in which held reports are released or rejected: it says what will happen before anything is sent. A decision
// is sent until it is answered, always with the same bytes; the door decides it once and repeats its first answer.

import { Refused } from "./count_session.js";
import { byId, h, setAttribute, setText, show } from "./dom.js";
import { Pauses } from "./fetching.js";
import { time } from "./format.js";
import { conflictText, decidedText, effectText } from "./hold_effects.js";
import { inOrder, otherHalves } from "./hold_figures.js";
import { holdTexts } from "./hold_texts.js";
import { place, ruleName } from "./hold_words.js";

/** @import { Decide, Decided, Hold } from "../push_documents" */
/** @import { Session } from "./count_session.js" */

/** The reasons of a decision. */
const REASONS = /** @type {const} */ ({
  release: ["confirmed", "moved", "rule_too_strict"],
  reject: ["duplicate", "wrong_unit", "typing_error", "other"],
});

/** @param {Hold["rules"][number]} rule */
const ruleOf = ({ code }) => ruleName(code);

/**
 * @typedef {object} Listener
 * @property {() => void} read reads the holds again
 * @property {(lines: string[]) => void} decided shows what was decided
 */
/** @typedef {"asks" | "sending" | "ended"} State */

export class DecisionDialog {
  #session;
  #listener;
  #element = byId("decision", HTMLDialogElement);
  #note = byId("decision-note", HTMLTextAreaElement);
  /** @type {Decide} */
  #decide = "release";
  /** @type {Hold[]} */
  #holds = [];
  /** Reports that may be decided together with these. @type {Hold[]} */
  #halves = [];
  /** @type {string | null} */
  #hiddenUntil = null;
  /** @type {State} */
  #state = "asks";
  #sending = new AbortController();
  #unansweredSince = 0;
  /** Units whose held report is not the one that was looked at. @type {string[]} */
  #gone = [];
  #problem = () => "";

  /** @param {Session} session @param {Listener} listener */
  constructor(session, listener) {
    this.#session = session;
    this.#listener = listener;
    byId("decision-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    byId("decision-cancel").addEventListener("click", () => this.close());
    this.#element.addEventListener("close", () => this.#closed());
    this.#note.addEventListener("input", () => this.#drawNote());
  }

  /**
   * Ask about some reports.
   *
   * @param {Decide} decide
   * @param {Hold[]} holds in the order in which they are decided
   * @param {Hold[]} open all that are held
   * @param {string | null} hiddenUntil the end of the embargo
   */
  open(decide, holds, open, hiddenUntil) {
    const named = new Set(holds.map(({ unit }) => unit));
    const halves = holds.flatMap((hold) => otherHalves(hold, open)).filter(({ unit }) => !named.has(unit));
    this.#decide = decide;
    this.#holds = holds;
    this.#halves = [...new Map(halves.map((hold) => [hold.unit, hold])).values()];
    this.#hiddenUntil = hiddenUntil;
    this.#state = "asks";
    this.#gone = [];
    this.#problem = () => "";
    this.#note.value = "";
    this.#drawReasons();
    this.#drawHalves();
    this.draw();
    this.#element.showModal();
    byId("decision-title").focus();
  }

  close() {
    if (this.#element.open) this.#element.close();
  }

  #closed() {
    if (this.#state === "sending") {
      this.#sending.abort();
      this.#listener.decided([holdTexts().unknown]);
    }
    this.#state = "asks";
    this.#listener.read();
  }

  /** Take the newest list into account. @param {Hold[]} open */
  update(open) {
    if (!this.#element.open || this.#state !== "asks") return;
    const newest = new Map(open.map((hold) => [hold.unit, hold]));
    const renewed = (/** @type {Hold} */ hold) => {
      const now = newest.get(hold.unit);
      return now?.digest === hold.digest ? now : hold;
    };
    this.#holds = this.#holds.map(renewed);
    this.#halves = this.#halves.map(renewed);
    this.#gone = this.#holds.filter((hold) => newest.get(hold.unit) !== hold).map(({ unit }) => unit);
    if (this.#gone.length)
      this.#problem = () => holdTexts().gone(this.#gone.map((unit) => place(unit)).join(", "));
    this.draw();
  }

  /** Draw everything again, after a change of the language too. */
  draw() {
    if (!this.#holds.length) return;
    const texts = holdTexts();
    const isRelease = this.#decide === "release";
    const n = this.#holds.length;
    setText(byId("decision-title"), (isRelease ? texts.releaseTitle : texts.rejectTitle)(n));
    byId("decision-effects").replaceChildren(
      ...this.#holds.map((hold) =>
        h(
          "li",
          { class: this.#gone.includes(hold.unit) && "gone" },
          effectText(this.#decide, hold, this.#hiddenUntil),
          h("small", null, texts.heldFor(hold.rules.filter(({ do: does }) => does === "hold").map(ruleOf))),
        ),
      ),
    );
    const means = isRelease ? texts.releaseMeans : texts.rejectMeans;
    setText(byId("decision-means"), n > 1 ? `${means} ${texts.allOrNone}` : means);
    this.#drawNote();
    this.tick();
  }

  /** Draw what changes while a decision is under way. */
  tick() {
    const texts = holdTexts();
    const sending = this.#state === "sending";
    const count = this.#holds.length;
    const label = (this.#decide === "release" ? texts.confirmRelease : texts.confirmReject)(count);
    const send = byId("decision-send", HTMLButtonElement);
    setText(send, sending ? texts.sending : label);
    setAttribute(send, "aria-disabled", String(sending || this.#gone.length > 0));
    show(send, this.#state !== "ended");
    byId("decision-choices").inert = this.#state !== "asks";
    for (const id of ["decision-choices", "decision-means"]) show(byId(id), this.#state !== "ended");
    setText(
      byId("decision-cancel"),
      this.#state === "ended" ? texts.close : sending ? texts.stop : texts.cancel,
    );
    const trouble = sending && this.#unansweredSince ? texts.trouble(time(this.#unansweredSince)) : "";
    setText(byId("decision-problem"), trouble || this.#problem());
  }

  #drawReasons() {
    byId("decision-reasons").replaceChildren(
      ...REASONS[this.#decide].map((reason) =>
        h(
          "label",
          null,
          h("input", { type: "radio", name: "reason", value: reason }),
          " ",
          h("span", null, holdTexts().reasons[reason] ?? reason),
        ),
      ),
    );
  }

  #drawHalves() {
    byId("decision-halves").replaceChildren(
      ...this.#halves.map((half) => {
        const choice = h("input", { type: "checkbox" });
        choice.addEventListener("change", () => {
          const others = this.#holds.filter(({ unit }) => unit !== half.unit);
          const current = this.#halves.find(({ unit }) => unit === half.unit) ?? half;
          this.#holds = inOrder(this.#decide, choice.checked ? [...others, current] : others);
          this.draw();
        });
        return h("label", null, choice, " ", h("span", null, holdTexts().also(place(half.unit))));
      }),
    );
    show(byId("decision-halves"), this.#halves.length > 0);
  }

  #drawNote() {
    setText(byId("decision-note-hint"), holdTexts().noteHint(this.#note.maxLength - this.#note.value.length));
  }

  #reason() {
    const chosen = this.#element.querySelector("input[name=reason]:checked");
    return chosen instanceof HTMLInputElement ? chosen.value : "";
  }

  /** Send the decision, unless something is missing or it is under way. */
  async #submit() {
    if (this.#state !== "asks" || this.#gone.length) return;
    const reason = this.#reason();
    if (!reason) {
      this.#problem = () => holdTexts().reasonMissing;
      this.tick();
      const first = this.#element.querySelector("input[name=reason]");
      if (first instanceof HTMLElement) first.focus();
      return;
    }
    const body = JSON.stringify({
      decide: this.#decide,
      holds: this.#holds.map(({ unit, revision, digest }) => ({ unit, revision, digest })),
      reason,
      note: this.#note.value.replace(/\s+/g, " ").trim(),
    });
    this.#state = "sending";
    this.#problem = () => "";
    this.#unansweredSince = 0;
    this.#sending = new AbortController();
    const { signal } = this.#sending;
    this.tick();
    try {
      const answer = await this.#send(body, signal);
      if (answer !== null) this.#decided(answer.holds);
    } catch (error) {
      if (error instanceof Refused && !signal.aborted) this.#refused(error);
    }
  }

  /**
   * Send a decision until it is answered; return null if nobody waits for the answer any more. Throws Refused.
   *
   * @param {string} body
   * @param {AbortSignal} signal
   * @returns {Promise<{holds: Decided[]} | null>}
   */
  async #send(body, signal) {
    const pauses = new Pauses();
    for (;;) {
      try {
        const answer = await this.#session.ask("/decisions", {
          method: "POST",
          body,
          type: "application/json",
        });
        return signal.aborted ? null : answer;
      } catch (error) {
        if (signal.aborted) return null;
        if (error instanceof Refused && !error.passing) throw error;
        this.#unansweredSince ||= Date.now();
        this.tick();
        await pauses.wait(error, signal);
        if (signal.aborted) return null;
      }
    }
  }

  /** @param {Decided[]} decided */
  #decided(decided) {
    this.#state = "ended";
    this.close();
    this.#listener.decided(decided.map((each) => decidedText(each, this.#hiddenUntil !== null)));
  }

  /** @param {Refused} error */
  #refused(error) {
    this.#state = "ended";
    this.#problem = () =>
      error.conflicts.length
        ? `${holdTexts().nothingDecided} ${error.conflicts.map(conflictText).join(". ")}.`
        : holdTexts().refused(error.status, error.detail);
    this.tick();
    byId("decision-problem").focus();
    this.#listener.read();
  }
}
