// The rules as they are applied now, to read; they are changed with a command.

import { commandElement, rulesCommands } from "./commands.js";
import { byId, h, setText } from "./dom.js";
import { currentLanguage, moment } from "./format.js";
import { holdTexts, named } from "./hold_texts.js";
import { ruleName, tokenName } from "./hold_words.js";
import { poll } from "./token_polling.js";

/** @import { PolicyDocument, Setting } from "../push_documents" */
/** @import { Session } from "./count_session.js" */

const INTERVAL_MS = 30_000;

export class PolicyView {
  #reading = new AbortController();
  /** @type {PolicyDocument | null} */
  #policy = null;
  #drawn = "";

  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    byId("policy", HTMLDetailsElement).addEventListener("toggle", () => this.start());
  }

  /** Read the rules again and again while they are shown. */
  start() {
    this.#reading.abort();
    this.draw();
    if (!this.session.active || !byId("policy", HTMLDetailsElement).open) return;
    this.#reading = new AbortController();
    poll(() => this.session.ask("/rules"), {
      signal: this.#reading.signal,
      interval_ms: INTERVAL_MS,
      onDocument: (document) => {
        this.#policy = document;
        this.draw();
      },
      onError: () => this.draw(),
    });
  }

  /** Stop reading, and forget them. */
  stop() {
    this.#reading.abort();
    this.#policy = null;
    this.draw();
  }

  draw() {
    const texts = holdTexts();
    const policy = this.#policy;
    const wanted = JSON.stringify([currentLanguage(), policy]);
    if (wanted === this.#drawn) return;
    this.#drawn = wanted;
    setText(byId("policy-origin"), policy ? origin(policy) : texts.rulesUnread);
    const rows = Object.entries(policy?.rules ?? {}).flatMap(([code, setting]) =>
      typeof setting === "object" ? [row(code, setting)] : [],
    );
    const titles = [texts.colRule, texts.colDoes, texts.colThresholds];
    byId("policy-table", HTMLTableElement).replaceChildren(
      h("caption", { class: "unseen" }, texts.rulesTitle),
      h("thead", null, h("tr", null, ...titles.map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", null, ...rows),
    );
    const commands = policy ? rulesCommands(policy.election) : [];
    byId("policy-commands").replaceChildren(...commands.map((line) => h("li", null, commandElement(line))));
  }
}

/** @param {PolicyDocument} policy */
function origin({ origin: from, changed_at, changed_by, rules }) {
  const texts = holdTexts();
  const said =
    from === "operator" && changed_at && changed_by
      ? texts.rulesChanged(moment(changed_at), tokenName(changed_by))
      : texts.rulesOrigin;
  return typeof rules.most_open === "number" ? `${said} ${texts.rulesMost(rules.most_open)}` : said;
}

/** @param {string} code @param {Setting} setting */
function row(code, { do: does, ...thresholds }) {
  const shown = Object.entries(thresholds).map(([name, value]) => `${name} ${plain(value)}`);
  return h(
    "tr",
    null,
    h("th", { scope: "row" }, ruleName(code), h("code", null, code)),
    h("td", { class: does }, named(holdTexts().does, does)),
    h("td", null, shown.join(", ")),
  );
}

/** Return a threshold as a text: a number, a list of kinds, or a number for each level. @param {unknown} value */
function plain(value) {
  if (Array.isArray(value)) return value.length ? value.join(" ") : "–";
  if (typeof value === "object" && value !== null) {
    return Object.entries(value)
      .map(([name, each]) => `${name} ${each}`)
      .join(" / ");
  }
  return String(value);
}
