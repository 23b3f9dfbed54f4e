// PURE but for the texts: the state of the signed record in one sentence.

import { age } from "./format.js";
import { proofTexts } from "./proof_texts.js";

/** @import { Checkpoint } from "./signed_note.js" */
/** @import { Signatures } from "./proof_check.js" */

const LATE_S = 60; // a checkpoint covers a publication within seconds
const COSIGNATURE_MAX_S = 180; // cosignatures are renewed every minute while the election is open
const QUIET_S = 24 * 3600; // so long after the last publication, they are renewed every hour
const COSIGNATURE_QUIET_MAX_S = 125 * 60;

/** @typedef {[kind: "good" | "waits" | "bad", words: string]} Sentence */
/**
 * @typedef {object} SignedState
 * @property {Checkpoint | null} checkpoint the newest
 * @property {Signatures | null} signatures null: this browser cannot verify them
 * @property {number} age_s
 * @property {number} now_s the server's time since 1970
 * @property {number} published how many reports are public
 * @property {number} uncovered_s how long the oldest report that the checkpoint does not cover has been public
 * @property {boolean} closed
 * @property {number} witnesses how many are configured
 */

/**
 * Return when the latest cosignature was made, in seconds since 1970; null without any.
 *
 * @param {Signatures} signatures
 */
export function latestCosignature({ witnesses }) {
  const times = witnesses.map(({ at }) => at).filter((at) => at !== null);
  return times.length ? Math.max(...times) : null;
}

/**
 * @param {SignedState} state
 * @returns {Sentence}
 */
export function signedSentence(state) {
  const { checkpoint, signatures, age_s, now_s, published, uncovered_s, closed, witnesses } = state;
  const texts = proofTexts();
  if (!checkpoint && published && uncovered_s > LATE_S) return ["bad", texts.noneCovered(published)];
  if (!checkpoint) return ["waits", texts.noCheckpoint];
  if (signatures && signatures.log !== "good") return ["bad", texts.wrongSignature];
  const wrong = signatures?.problems.find(({ code }) => code === "badCosignature");
  if (wrong) return ["bad", texts.wrongCosignature(wrong.value)];
  const covered = Math.min(Number(checkpoint.size) - 1, published);
  const left = published - covered;
  if (left && uncovered_s > LATE_S) return ["bad", texts.late(age(age_s), left)];
  const coverage = !published
    ? texts.coversOpening
    : left
      ? texts.coversSome(covered, left)
      : texts.coversAll(covered);
  const words = [texts.signedAgo(age(age_s)), coverage];
  if (!signatures) return ["waits", [...words, texts.unchecked].join(" ")];
  if (!witnesses) return ["good", [...words, texts.noWitnesses].join(" ")];
  const agree = signatures.witnesses.filter(({ at }) => at !== null).length;
  words.push(texts.agree(agree, witnesses));
  const latest = latestCosignature(signatures);
  const silent_s = latest === null ? 0 : now_s - latest;
  const silentMost_s = age_s > QUIET_S ? COSIGNATURE_QUIET_MAX_S : COSIGNATURE_MAX_S;
  if (!closed && silent_s > silentMost_s) words.push(texts.witnessesSilent(age(silent_s)));
  else if (agree === witnesses) return ["good", words.join(" ")];
  return ["waits", words.join(" ")];
}
