// PURE: verifies the proof of a report: that it is in the tree, that the log signed the root, and who cosigned it.

import { fromUtf8 } from "./encodings.js";
import { isIncluded, leafHash } from "./merkle.js";
import { readProof } from "./proof_file.js";
import { signedBy } from "./signed_note.js";
import { Unproven } from "./unproven.js";

/** @import { Counts } from "../documents" */
/** @import { Bytes } from "./encodings.js" */
/** @import { Proof } from "./proof_file.js" */
/** @import { Checkpoint } from "./signed_note.js" */
/** @import { Trust } from "./trust.js" */
/** @import { VerifierKey } from "./verifier_keys.js" */

/**
 * @typedef {object} ProvenReport
 * @property {string} unit
 * @property {number} revision
 * @property {string} counted_at
 * @property {string} status
 * @property {string} [reason]
 * @property {{[category: string]: Counts}} counts
 */
/** @typedef {{key: VerifierKey, at: number | null}} Cosigned `at`: seconds since 1970; null: not by this witness */
/** @typedef {"good" | "bad" | "none"} State */
/**
 * @typedef {object} Signatures
 * @property {State} log "none": by none of the keys
 * @property {Cosigned[]} witnesses
 * @property {boolean} isMet whether enough witnesses have cosigned
 * @property {Unproven[]} problems
 */
/**
 * @typedef {object} Checked
 * @property {Proof} proof
 * @property {ProvenReport} report
 * @property {boolean} included
 * @property {Signatures} signatures
 * @property {Unproven[]} problems none: everything was verified
 */

/**
 * Verify a proof file. Throws Unproven if it cannot be read; all else that is wrong is in `problems`.
 *
 * @param {Bytes} bytes
 * @param {Trust} trust
 * @returns {Promise<Checked>}
 */
export async function checkProof(bytes, trust) {
  const proof = readProof(bytes);
  const { index, hashes, checkpoint, extra } = proof;
  if (!extra) throw new Unproven("noReport");
  const report = readReport(extra);
  const included = await isIncluded(index, checkpoint.size, await leafHash(extra), hashes, checkpoint.root);
  const signatures = await checkSignatures(checkpoint, trust);
  const problems = [...(included ? [] : [new Unproven("notIncluded")]), ...signatures.problems];
  return { proof, report, included, signatures, problems };
}

/**
 * Verify the signatures of a checkpoint.
 *
 * @param {Checkpoint} checkpoint
 * @param {Trust} trust
 * @returns {Promise<Signatures>}
 */
export async function checkSignatures(checkpoint, { logs, witnesses, isMet }) {
  const { origin } = checkpoint;
  const own = logs.filter(({ name }) => name === origin);
  const signed = await Promise.all(own.map((key) => signedBy(checkpoint, key)));
  const problems = [];
  const isWrong = signed.some(({ state }) => state === "wrong");
  const isSigned = signed.some(({ state }) => state === "right");
  if (!own.length) problems.push(new Unproven("otherLog", origin));
  else if (isWrong) problems.push(new Unproven("badSignature", origin));
  else if (!isSigned) problems.push(new Unproven("notSigned", origin));
  const cosigned = await Promise.all(
    witnesses.map(async (key) => {
      const found = await signedBy(checkpoint, key);
      if (found.state === "wrong") problems.push(new Unproven("badCosignature", key.name));
      return { key, at: found.state === "right" ? found.at : null };
    }),
  );
  const vkeys = cosigned.filter(({ at }) => at !== null).map(({ key }) => key.vkey);
  const met = isMet(new Set(vkeys));
  if (!met) problems.push(new Unproven("tooFewWitnesses", vkeys.length));
  return { log: isWrong ? "bad" : isSigned ? "good" : "none", witnesses: cosigned, isMet: met, problems };
}

/**
 * Read the report of a proof, as far as it is shown. Throws Unproven.
 *
 * @param {Bytes} extra
 * @returns {ProvenReport}
 */
function readReport(extra) {
  const report = parsed(fromUtf8(extra) ?? "");
  const { unit, revision, counted_at, status, reason, counts } = report ?? {};
  const texts = [unit, counted_at, status, reason ?? ""];
  if (texts.some((each) => typeof each !== "string") || !isCount(revision) || !isObject(counts))
    throw new Unproven("badReport");
  if (!Object.values(counts).every(isCounts)) throw new Unproven("badReport");
  return report;
}

/** @param {string} text @returns {any} */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** @param {any} value */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** @param {any} value */
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;

/** @param {any} value */
const isCounts = (value) =>
  isObject(value) &&
  [value.ballots, value.blank, value.rejected, value.voters ?? 0].every(isCount) &&
  isObject(value.votes) &&
  Object.values(value.votes).every(isCount);
