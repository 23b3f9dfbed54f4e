// PURE: proof files, `.tlog-proof`. Source: C2SP tlog-proof.

import { fromBase64, fromUtf8 } from "./encodings.js";
import { HASH_SIZE, PROOF_MAX } from "./merkle.js";
import { readCheckpoint, readDecimal } from "./signed_note.js";
import { Unproven } from "./unproven.js";

/** @import { Bytes } from "./encodings.js" */
/** @import { Checkpoint } from "./signed_note.js" */

const FIRST_LINE = "c2sp.org/tlog-proof@v1";
/** A report has at most 65,535 bytes, and a signed note 256 KiB. */
export const FILE_SIZE_MAX = 384 * 1024;

/**
 * @typedef {object} Proof
 * @property {Bytes | null} extra here: the report
 * @property {bigint} index
 * @property {Bytes[]} hashes
 * @property {Checkpoint} checkpoint
 */

/**
 * Read a proof. Throws Unproven.
 *
 * @param {Bytes} bytes of the file
 * @returns {Proof}
 */
export function readProof(bytes) {
  if (bytes.length > FILE_SIZE_MAX) throw new Unproven("tooLarge");
  const content = fromUtf8(bytes);
  if (content?.startsWith(`${FIRST_LINE}\r`)) throw new Unproven("lineEnds");
  if (!content?.startsWith(`${FIRST_LINE}\n`)) throw new Unproven("notAProof");
  const end = content.indexOf("\n\n");
  if (end < 0) throw new Unproven("cutOff");
  const lines = content.slice(0, end).split("\n");
  let next = 1;
  /** @param {string} word */
  const value = (word) =>
    lines[next]?.startsWith(`${word} `) ? lines[next++]?.slice(word.length + 1) : undefined;
  const encoded = value("extra");
  const extra = encoded === undefined ? null : fromBase64(encoded);
  if (encoded !== undefined && extra === null) throw new Unproven("badLine", 2);
  const index = readDecimal(value("index"));
  if (index === null) throw new Unproven("badLine", next);
  if (lines.length - next > PROOF_MAX) throw new Unproven("tooManyHashes", PROOF_MAX);
  const hashes = lines.slice(next).map((line, place) => {
    const hash = fromBase64(line);
    if (hash?.length !== HASH_SIZE) throw new Unproven("badLine", next + place + 1);
    return hash;
  });
  return { extra, index, hashes, checkpoint: readCheckpoint(content.slice(end + 2)) };
}
