// What a decision will do, and what it did, in words.

import { clockTime, moment } from "./format.js";
import { ballotsOf } from "./hold_figures.js";
import { holdTexts, named } from "./hold_texts.js";
import { place } from "./hold_words.js";

/** @import { Decide, Decided, DecisionConflict, Hold } from "../push_documents" */

/**
 * Return what a decision does to a unit.
 *
 * @param {Decide} decide
 * @param {Hold} hold
 * @param {string | null} hiddenUntil the end of the embargo
 */
export function effectText(decide, { unit, ballots, stands }, hiddenUntil) {
  const texts = holdTexts();
  const [where, before] = [place(unit), ballotsOf(stands)];
  if (decide === "reject") {
    return texts.neverPublishes(ballots, where) + (stands ? texts.remains(before) : texts.remainsNone);
  }
  const said =
    hiddenUntil === null
      ? texts.publishes(ballots, where)
      : texts.publishesLater(ballots, where, clockTime(hiddenUntil));
  return stands ? said + texts.insteadOf(before) : said;
}

/** @param {Decided} decided @param {boolean} isEmbargoed */
export function decidedText({ unit, state, sequence }, isEmbargoed) {
  const texts = holdTexts();
  const where = place(unit);
  if (state === "rejected") return `${texts.rejected(where)}.`;
  if (state === "superseded") return `${texts.superseded(where)}.`;
  const number = sequence === null ? "" : texts.inRecord(sequence);
  return `${texts.released(where, number || (isEmbargoed ? texts.atEmbargo : ""))}.`;
}

/** @param {DecisionConflict} conflict */
export function conflictText({ unit, code, state, newest_revision, decided_at, reason }) {
  const texts = holdTexts();
  const say = texts.conflicts[code];
  if (say === undefined) return `${place(unit)}: ${code}`;
  const facts = [
    state ? named(texts.states, state) : "",
    reason ? named(texts.reasons, reason) : "",
    decided_at ? moment(decided_at) : "",
  ];
  return say(place(unit), facts.filter(Boolean).join(", "), newest_revision ? String(newest_revision) : "");
}
