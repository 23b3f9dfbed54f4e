// One held report: why it is held, and its figures beside those of the current report. What has not changed stays, with
// the focus in it.

import { h, setAttribute, setText, show } from "./dom.js";
import { categoryName, statusName } from "./findings.js";
import { age, currentLanguage, dayAndTime, number, signedNumber, t } from "./format.js";
import { ballotsOf, comparisonOf } from "./hold_figures.js";
import { holdTexts, named } from "./hold_texts.js";
import { place, ruleName, ruleSentence } from "./hold_words.js";

/** @import { HeldReport, Hold } from "../push_documents" */
/** @import { CategoryRows } from "./hold_figures.js" */

/**
 * @typedef {object} Actions what a person can do with a held report
 * @property {() => void} onChoose
 * @property {(unit: string) => void} onTogether
 * @property {(decide: "release" | "reject", unit: string) => void} onDecide
 */

/** Older than this, a hold is shown as late. */
const LATE_S = 300;
let cards = 0;

export class HoldCard {
  #number = ++cards;
  #choice = h("input", { type: "checkbox" });
  #toggle = h("button", {
    type: "button",
    class: "expander",
    "aria-expanded": "false",
    "aria-controls": `hold-${this.#number}`,
  });
  #age = h("span", { class: "hold-age" });
  #change = h("span", { class: "hold-change" });
  #evidence = h("ul", { class: "evidence" });
  #together = h("p", { class: "hold-together", hidden: true });
  #togetherText = h("span");
  #togetherButton = h("button", { type: "button", class: "plain" });
  #detail = h("div", { id: `hold-${this.#number}`, hidden: true });
  #asks = h("ul", { class: "asks" });
  #facts = h("p", { class: "quiet" });
  #now = h("p");
  #figures = h("div", { class: "held-figures" });
  #release = h("button", { type: "button" });
  #reject = h("button", { type: "button", class: "reject" });
  #drawn = "";
  #figuresDrawn = "";
  /** The held report. @type {Hold} */
  hold;

  /** @param {Hold} hold @param {Actions} actions */
  constructor(hold, { onChoose, onTogether, onDecide }) {
    this.hold = hold;
    this.#together.append(this.#togetherText, " ", this.#togetherButton);
    this.#detail.append(
      this.#asks,
      this.#facts,
      this.#now,
      this.#figures,
      h("p", { class: "deciding" }, this.#release, " ", this.#reject),
    );
    const head = h(
      "div",
      { class: "hold-head" },
      this.#choice,
      h("h3", null, this.#toggle),
      this.#change,
      this.#age,
    );
    this.element = h("li", { "data-unit": hold.unit }, head, this.#evidence, this.#together, this.#detail);
    this.#choice.addEventListener("change", onChoose);
    this.#toggle.addEventListener("click", () => this.#expand(!this.isOpen));
    this.#togetherButton.addEventListener("click", () => onTogether(this.hold.unit));
    this.#release.addEventListener("click", () => onDecide("release", this.hold.unit));
    this.#reject.addEventListener("click", () => onDecide("reject", this.hold.unit));
  }

  /** Whether the figures are shown. */
  get isOpen() {
    return this.#toggle.getAttribute("aria-expanded") === "true";
  }

  get isChosen() {
    return this.#choice.checked;
  }

  set isChosen(chosen) {
    this.#choice.checked = chosen;
  }

  focus() {
    this.#toggle.focus();
  }

  /** @param {boolean} open */
  #expand(open) {
    setAttribute(this.#toggle, "aria-expanded", String(open));
    show(this.#detail, open);
    this.#drawFigures();
  }

  /**
   * Draw the report.
   *
   * @param {Hold} hold
   * @param {Hold[]} halves reports that should be decided together with it
   */
  update(hold, halves) {
    if (hold.digest !== this.hold.digest) this.isChosen = false;
    this.hold = hold;
    const wanted = JSON.stringify([currentLanguage(), hold, halves.map(({ unit }) => unit)]);
    if (wanted === this.#drawn) return;
    this.#drawn = wanted;
    const texts = holdTexts();
    const [here, before] = [place(hold.unit), hold.stands && ballotsOf(hold.stands)];
    setAttribute(this.#choice, "aria-label", texts.choose(here));
    setText(this.#toggle, here);
    setText(this.#change, before === null ? texts.ballots(hold.ballots) : texts.change(before, hold.ballots));
    this.#evidence.replaceChildren(...hold.rules.map((rule, at) => evidenceElement(hold, rule, at === 0)));
    this.#asks.replaceChildren(...askElements(hold));
    show(this.#together, halves.length > 0);
    setText(
      this.#togetherText,
      halves.length ? texts.together(halves.map(({ unit }) => place(unit, hold.unit))) : "",
    );
    setText(this.#togetherButton, texts.chooseTogether);
    const { token, note } = hold.sender;
    setText(this.#facts, `${texts.sender(token, note)}, ${texts.receivedAt(dayAndTime(hold.accepted_at))}.`);
    show(this.#now, hold.now !== null);
    setText(this.#now, hold.now?.length ? texts.nowHeld(hold.now.map(ruleName)) : texts.nowFree);
    setText(this.#release, texts.release);
    setText(this.#reject, texts.reject);
    setAttribute(this.#release, "aria-label", `${texts.release} ${here}`);
    setAttribute(this.#reject, "aria-label", `${texts.reject} ${here}`);
    this.#drawFigures();
  }

  /** @param {number} now_ms the time of the server */
  tick(now_ms) {
    const age_s = (now_ms - Date.parse(this.hold.since)) / 1000;
    setText(this.#age, holdTexts().waits(age(age_s)));
    this.#age.classList.toggle("late", age_s > LATE_S);
  }

  #drawFigures() {
    const wanted = JSON.stringify([currentLanguage(), this.hold.report, this.hold.stands]);
    if (!this.isOpen || wanted === this.#figuresDrawn) return;
    this.#figuresDrawn = wanted;
    this.#figures.replaceChildren(...figureElements(this.hold));
  }
}

/**
 * Return why a rule fired, as a sentence to be read out on the phone; the first one says the place.
 *
 * @param {Hold} hold
 * @param {Hold["rules"][number]} rule
 * @param {boolean} isFirst
 */
function evidenceElement(hold, rule, isFirst) {
  const said = ruleSentence(rule, hold);
  const text = holdTexts().sentence(isFirst ? `${place(hold.unit)}: ${said}` : said);
  if (rule.do === "hold") return h("li", null, text);
  return h("li", { class: "warns" }, h("span", { class: "quiet" }, holdTexts().warns), text);
}

/** Return what to ask on the phone. @param {Hold} hold */
function askElements({ rules }) {
  const { ask, asks } = holdTexts();
  const questions = rules.flatMap(({ code, do: does }) => (does === "hold" && asks[code]) || []);
  return questions.map((question) => h("li", null, h("strong", null, ask), question));
}

/** @param {Hold} hold */
function figureElements(hold) {
  const texts = holdTexts();
  const { categories, withoutVotes } = comparisonOf(hold);
  const isFirst = hold.stands === null;
  return [
    h(
      "div",
      { class: "facts" },
      table(texts.report, isFirst ? [texts.colHeld] : [texts.colCurrent, texts.colHeld], factRows(hold)),
      isFirst ? h("p", { class: "quiet" }, texts.noCurrent) : null,
    ),
    ...categories.map((each) => categoryTable(each, isFirst)),
    withoutVotes ? h("p", { class: "quiet" }, texts.withoutVotes(withoutVotes)) : null,
  ].filter((each) => each !== null);
}

/** Return the rows of what is not a figure. @param {Hold} hold */
function factRows({ report, stands }) {
  const texts = holdTexts();
  const reasonName = (/** @type {HeldReport} */ { reason }) =>
    reason === undefined ? "" : (t("reasons")[reason] ?? reason);
  /** @type {[string, (report: HeldReport) => string][]} */
  const facts = [
    [texts.revision, ({ revision }) => number(revision)],
    [texts.countedAt, ({ counted_at }) => dayAndTime(counted_at)],
    [texts.status, ({ status }) => statusName(status)],
    [texts.reason, reasonName],
  ];
  return facts
    .map(([name, fact]) => ({ name, cells: (stands ? [stands, report] : [report]).map(fact) }))
    .filter(({ cells }) => cells.some(Boolean))
    .map(({ name, cells }) =>
      row(
        name,
        cells.map((cell) => cell || "–"),
        false,
      ),
    );
}

/** @param {CategoryRows} category @param {boolean} isFirst whether the unit has no current report */
function categoryTable({ category, rows }, isFirst) {
  const texts = holdTexts();
  return table(
    categoryName(category),
    isFirst ? [texts.colHeld] : [texts.colCurrent, texts.colHeld, texts.colDifference],
    rows.map(({ name, isParty, before, after }) => {
      const change = (after ?? 0) - (before ?? 0);
      const shown = isParty ? name : named(texts.counts, name);
      if (isFirst) return row(shown, [figure(after)], false);
      return row(shown, [figure(before), figure(after), change ? signedNumber(change) : "0"], change !== 0);
    }),
  );
}

/** @param {number | null} value */
const figure = (value) => (value === null ? "–" : number(value));

/**
 * @param {string} title
 * @param {string[]} columns
 * @param {HTMLElement[]} rows
 */
const table = (title, columns, rows) =>
  h(
    "table",
    { class: "beside" },
    h("caption", null, title),
    h(
      "thead",
      null,
      h(
        "tr",
        null,
        h("th", { scope: "col" }, h("span", { class: "unseen" }, holdTexts().colFigure)),
        ...columns.map((each) => h("th", { scope: "col" }, each)),
      ),
    ),
    h("tbody", null, ...rows),
  );

/** @param {string} name @param {string[]} cells @param {boolean} differs */
const row = (name, cells, differs) =>
  h(
    "tr",
    { class: differs && "differs" },
    h("th", { scope: "row" }, name),
    ...cells.map((cell) => h("td", null, cell)),
  );
