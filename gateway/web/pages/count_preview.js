// The changes that a file would make, before anything is sent: each unit before and now, and what is unusual.

import { drawCards, unitName } from "./count_cards.js";
import { messageText } from "./count_messages.js";
import { byId, h, setText, show } from "./dom.js";
import { categoryName, findingText, statusName } from "./findings.js";
import { number, signedNumber, t } from "./format.js";
import { holdTexts } from "./hold_texts.js";
import { ruleSentence, useHoldAreas } from "./hold_words.js";
import { nameOfArea } from "./own_areas.js";

/** @import { Change, Comparison, Finding, FiredRule, Preview, PreviewedReport } from "../push_documents" */
/** @typedef {{kind: string, text: string}} Remark */

const SHOWN_MAX = 300;
const RED_LINES_MAX = 50; // nobody reads more before accepting them
const UNITS_MAX = 20; // of one red line, by name
const SEVERITIES = ["red_line", "hold", "warning", "note"];

export class PreviewView {
  /** @type {Preview | null} */
  #preview = null;

  /** @param {Preview | null} preview */
  show(preview) {
    this.#preview = preview;
    for (const { comparison } of preview?.reports ?? []) useHoldAreas(comparison.areas);
    show(byId("preview"), preview !== null);
    byId("accept", HTMLInputElement).value = "";
    this.draw();
  }

  /** Whether the red lines are accepted, or there are none. */
  get accepted() {
    const { size } = this.#redLines();
    if (size === 0) return true;
    if (size > RED_LINES_MAX) return false;
    const typed = byId("accept", HTMLInputElement).value.trim().toLocaleLowerCase();
    return typed === t("acceptWord").toLocaleLowerCase();
  }

  /** Say that the red lines have to be accepted, and lead there. */
  askToAccept() {
    const field = byId("accept", HTMLInputElement);
    if (this.#redLines().size > RED_LINES_MAX) {
      byId("red-lines-title").focus();
      return;
    }
    field.setAttribute("aria-invalid", "true");
    setText(byId("accept-error"), t("acceptMissing")(t("acceptWord")));
    field.focus();
  }

  /** Draw everything again, after a change of the language too. */
  draw() {
    const preview = this.#preview;
    if (preview === null) return;
    setText(byId("preview-summary"), summary(preview.reports));
    const empty = preview.empty_units ? [{ text: t("emptyUnits")(preview.empty_units), english: false }] : [];
    const notes = [...preview.notes.map(messageText), ...empty];
    byId("preview-notes").replaceChildren(
      ...notes.map(({ text, english }) => h("li", english ? { lang: "en" } : null, text)),
    );
    const held = preview.reports.filter(({ comparison }) => isHeld(comparison)).length;
    show(byId("preview-holds"), held > 0);
    setText(byId("preview-holds"), held > 0 ? t("wouldHold")(held) : "");
    this.#drawRedLines();
    const worst = preview.reports
      .map(({ comparison }) => ({ comparison, said: remarks(comparison) }))
      .toSorted((a, b) => severity(a.said) - severity(b.said));
    drawCards(
      byId("preview-table", HTMLTableElement),
      ["colUnit", "colStatus", "colBallots", "colTurnout", "colFindings"],
      worst.slice(0, SHOWN_MAX).map(({ comparison, said }) => row(comparison, said)),
    );
    const more = preview.reports.length - SHOWN_MAX;
    setText(byId("preview-more"), more > 0 ? t("moreReports")(more) : "");
    setText(byId("send"), t("send")(preview.reports.length));
  }

  #drawRedLines() {
    const lines = this.#redLines();
    show(byId("red-lines"), lines.size > 0);
    byId("red-lines-list").replaceChildren(
      ...[...lines]
        .slice(0, RED_LINES_MAX)
        .map(([text, units]) =>
          h(
            "li",
            null,
            h(
              "strong",
              null,
              `${units.slice(0, UNITS_MAX).join(", ")}${units.length > UNITS_MAX ? " …" : ""}: `,
            ),
            text,
          ),
        ),
    );
    const most = lines.size > RED_LINES_MAX;
    show(byId("accept-field"), !most);
    setText(byId("accept-label"), t("acceptLabel")(t("acceptWord")));
    byId("accept").removeAttribute("aria-invalid");
    setText(byId("accept-error"), most ? t("acceptTooMany")(lines.size) : "");
  }

  /** Return the units of each red line, by its text: one of a municipality may concern many. */
  #redLines() {
    /** @type {Map<string, string[]>} */
    const lines = new Map();
    for (const { comparison } of this.#preview?.reports ?? []) {
      for (const finding of comparison.findings.filter(({ severity }) => severity === "red_line")) {
        const text = findingText(finding);
        const unit = nameOfArea(comparison.unit, comparison.name);
        lines.set(text, [...(lines.get(text) ?? []), unit]);
      }
    }
    return lines;
  }
}

/** @param {Remark[]} said about a report, the most severe first */
function severity([worst]) {
  return worst === undefined ? SEVERITIES.length : SEVERITIES.indexOf(worst.kind);
}

/** @param {Comparison} comparison whether a rule of the gateway would hold it */
const isHeld = ({ rules }) => rules.some((rule) => rule.do === "hold");

/**
 * Return what is unusual about a report, the most severe first: findings, and rules of the gateway that would fire. A
 * rule that fires for what a finding says already is not said again.
 *
 * @param {Comparison} comparison
 * @returns {Remark[]}
 */
function remarks({ unit, findings, rules }) {
  const isSaid = (/** @type {FiredRule} */ rule) =>
    findings.some(
      (finding) => isSame(rule, finding) && (rule.do === "warn" || finding.severity === "red_line"),
    );
  const found = findings.map((finding) => {
    const isRed = finding.severity === "red_line";
    const held = isRed && rules.some((rule) => rule.do === "hold" && isSame(rule, finding));
    const text = findingText(finding);
    return { kind: finding.severity, text: held ? `${text} ${t("heldForThis")}` : text };
  });
  const fired = rules
    .filter((rule) => !isSaid(rule))
    .map((rule) => {
      const text = holdTexts().sentence(ruleSentence(rule, { unit }));
      return rule.do === "hold" ? { kind: "hold", text: t("heldBecause")(text) } : { kind: "warning", text };
    });
  return [...found, ...fired].toSorted((a, b) => SEVERITIES.indexOf(a.kind) - SEVERITIES.indexOf(b.kind));
}

/**
 * Whether a rule fires for what a finding says.
 *
 * @param {FiredRule} rule
 * @param {Finding} finding
 */
const isSame = (rule, finding) => rule.code === finding.code && rule.evidence.area === finding.evidence.area;

/** @param {PreviewedReport[]} reports */
function summary(reports) {
  const of = (/** @type {Comparison["effect"][]} */ ...effects) =>
    reports.filter(({ comparison }) => effects.includes(comparison.effect)).length;
  return t("previewSummary")(reports.length, of("first"), of("replaces"), of("repeats", "older"));
}

/** @param {Comparison} comparison @param {Remark[]} said about it */
function row(comparison, said) {
  const { unit, name, status, status_before, effect, total, turnout, turnout_before } = comparison;
  const found = said.map(({ kind, text }) => h("li", { class: kind }, text));
  const nothing = h("span", { class: "quiet" }, t("effects")[effect] ?? effect);
  const kind = said[0]?.kind;
  return {
    key: unit,
    ...(kind === undefined ? {} : { kind }),
    contents: [
      unitName(nameOfArea(unit, name), unit),
      changed(status_before === null ? null : statusName(status_before), statusName(status)),
      h("span", null, ballots(total), categories(comparison, said.length > 0)),
      turnout === null
        ? null
        : changed(turnout_before === null ? null : permille(turnout_before), permille(turnout)),
      h("div", null, nothing, found.length ? h("ul", { class: "findings" }, ...found) : null),
    ],
  };
}

/** @param {number} value in ‰ */
const permille = (value) => t("percent")(value / 10);

/**
 * Return a value before and now; the same twice is shown once.
 *
 * @param {string | null} before
 * @param {string} now
 */
function changed(before, now) {
  if (before === null || before === now) return now;
  const arrow = h("span", { "aria-hidden": "true" }, " → ");
  return h(
    "span",
    null,
    h("span", { class: "quiet" }, before),
    arrow,
    h("span", { class: "unseen" }, t("now")),
    now,
  );
}

/** @param {Change} change */
function ballots({ before, after }) {
  const now = after?.ballots ?? 0;
  const shown = changed(before === null ? null : number(before.ballots), number(now));
  const difference = before === null ? 0 : now - before.ballots;
  return h("span", null, shown, difference ? ` (${signedNumber(difference)})` : null);
}

/**
 * Return the ballots of each category; null if there is only one, in a report that is not unusual.
 *
 * @param {Comparison} comparison
 * @param {boolean} unusual
 */
function categories(comparison, unusual) {
  const lines = Object.entries(comparison.categories).map(([category, change]) =>
    h(
      "small",
      null,
      `${categoryName(category)}: `,
      change.after === null ? t("categoryMissing") : ballots(change),
    ),
  );
  return lines.length > 1 || unusual ? h("span", null, ...lines) : null;
}
