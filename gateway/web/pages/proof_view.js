// What a proof file contains, and what was verified, in words.

import { h } from "./dom.js";
import { dayAndTime, number, t } from "./format.js";
import { nameOf } from "./names.js";
import { proofTexts } from "./proof_texts.js";
import { Registry } from "./registry.js";

/** @import { Checked, ProvenReport, State } from "./proof_check.js" */
/** @import { RegistryDocument } from "../documents" */
/** @import { Unproven } from "./unproven.js" */

/** The names of what a report is about, where it is of the election that the page shows. */
export class ReportNames {
  #registry;
  #parties;

  /** @param {RegistryDocument} document */
  constructor(document) {
    this.#registry = new Registry(document);
    this.#parties = new Map(document.parties.map((party) => [party.code, party]));
  }

  /** @param {string} id */
  unit = (id) => (this.#registry.has(id) ? this.#registry.name(id) : id);

  /** @param {string} code */
  party(code) {
    const party = this.#parties.get(code);
    return party ? `${nameOf(party)} (${code})` : code;
  }
}

const ROWS_MAX = 300; // a report may have thousands of parties

/**
 * @param {HTMLElement} result
 * @param {Unproven} problem
 */
export function drawProblem(result, problem) {
  result.replaceChildren(h("p", { class: "sentence bad" }, `${proofTexts().failed} ${sentenceOf(problem)}`));
}

/**
 * @param {HTMLElement} result
 * @param {Checked} checked
 * @param {boolean} ownKeys whether the keys are the reader's
 * @param {ReportNames} names
 */
export function drawChecked(result, checked, ownKeys, names) {
  const texts = proofTexts();
  const { report, problems } = checked;
  const name = names.unit(report.unit);
  const sentence = problems.length
    ? h("p", { class: "sentence bad" }, [texts.failed, ...problems.map(sentenceOf)].join(" "))
    : ownKeys
      ? h("p", { class: "sentence good" }, texts.verified(name, report.revision))
      : h("p", { class: "sentence waits" }, texts.verifiedByDoor(name, report.revision));
  const isRehearsal = /^[^/]+\/rehearsal\//.test(checked.proof.checkpoint.origin);
  result.replaceChildren(
    sentence,
    ...(isRehearsal ? [h("p", { class: "checked" }, texts.rehearsal)] : []),
    h("h3", null, texts.whatIsVerified),
    h("ul", { class: "steps" }, ...steps(checked).map(([state, words]) => h("li", { class: state }, words))),
    h("h3", null, texts.whatIsInIt),
    facts(report, name),
    figures(report, names),
  );
}

/** @param {Unproven} problem */
const sentenceOf = ({ code, value }) => proofTexts().problems[code](value);

/**
 * @param {Checked} checked
 * @returns {[State, string][]}
 */
function steps({ proof, included, signatures }) {
  const texts = proofTexts();
  const { index, checkpoint } = proof;
  const [at, of] = [String(index), String(checkpoint.size)];
  /** @type {[State, string][]} */
  const found = [
    included ? ["good", texts.included(at, of)] : ["bad", texts.notIncludedIn(at, of)],
    signatures.log === "good"
      ? ["good", texts.signedBy(checkpoint.origin)]
      : ["bad", texts.notSignedBy(checkpoint.origin)],
  ];
  if (!signatures.witnesses.length) found.push(["none", texts.noneRequired]);
  for (const { key, at: seconds } of signatures.witnesses) {
    if (seconds !== null) found.push(["good", texts.cosignedBy(key.name, timeOf(seconds))]);
    else found.push([signatures.isMet ? "none" : "bad", texts.notCosignedBy(key.name)]);
  }
  return found;
}

/** @param {number} seconds since 1970 */
function timeOf(seconds) {
  const time = new Date(1000 * seconds);
  return Number.isNaN(time.getTime()) ? String(seconds) : dayAndTime(1000 * seconds);
}

/**
 * @param {ProvenReport} report
 * @param {string} name
 */
function facts(report, name) {
  const texts = proofTexts();
  const { unit, revision, status, counted_at, reason } = report;
  const pairs = [
    [texts.unit, name === unit ? unit : `${name} (${unit})`],
    [texts.revision, number(revision)],
    [texts.status, named(t("statuses"), status)],
    [texts.countedAt, Number.isNaN(Date.parse(counted_at)) ? counted_at : dayAndTime(counted_at)],
    ...(reason === undefined ? [] : [[texts.reason, named(t("reasons"), reason)]]),
  ];
  return h(
    "dl",
    { class: "rows" },
    ...pairs.flatMap(([term = "", words = ""]) => [h("dt", null, term), h("dd", null, words)]),
  );
}

/**
 * @param {{[code: string]: string}} names
 * @param {string} code
 */
const named = (names, code) => (Object.hasOwn(names, code) ? (names[code] ?? code) : code);

/**
 * @param {ProvenReport} report
 * @param {ReportNames} reportNames
 */
function figures({ counts }, reportNames) {
  const texts = proofTexts();
  const categories = Object.keys(counts);
  const names = t("categories");
  const parties = [...new Set(Object.values(counts).flatMap(({ votes }) => Object.keys(votes)))];
  /** @type {[string, (category: string) => number | undefined][]} */
  const rows = [
    [texts.ballots, (category) => counts[category]?.ballots],
    [texts.blank, (category) => counts[category]?.blank],
    [texts.rejected, (category) => counts[category]?.rejected],
    [texts.voters, (category) => counts[category]?.voters],
    ...parties.map(
      (party) =>
        /** @type {[string, (category: string) => number | undefined]} */ ([
          reportNames.party(party),
          (category) => counts[category]?.votes[party],
        ]),
    ),
  ];
  const used = rows.filter(([, value]) => categories.some((category) => value(category) !== undefined));
  return h(
    "div",
    { class: "report-figures", tabindex: "0", role: "region", "aria-label": texts.figuresCaption },
    h(
      "table",
      { class: "wide" },
      h("caption", { class: "unseen" }, texts.figuresCaption),
      h(
        "thead",
        null,
        h("tr", null, ...[texts.kind, ...categories.map((each) => named(names, each))].map(heading)),
      ),
      h(
        "tbody",
        null,
        ...used
          .slice(0, ROWS_MAX)
          .map(([name, value]) =>
            h("tr", null, h("th", { scope: "row" }, name), ...categories.map((each) => cell(value(each)))),
          ),
      ),
    ),
  );
}

/** @param {string} words */
const heading = (words) => h("th", { scope: "col" }, words);

/** @param {number | undefined} value */
const cell = (value) => h("td", null, value === undefined ? "–" : number(value));
