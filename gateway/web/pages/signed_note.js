// PURE: signed notes, checkpoints in them, and their signatures. Source: C2SP signed-note, tlog-checkpoint and
// tlog-cosignature. Ed25519 is verified by the browser (W3C Web Cryptography, "Secure Curves").

import { encoder, fromBase64, fromHex, toHex } from "./encodings.js";
import { HASH_SIZE } from "./merkle.js";
import { Unproven } from "./unproven.js";
import { COSIGNATURE } from "./verifier_keys.js";

/** @import { Bytes } from "./encodings.js" */
/** @import { VerifierKey } from "./verifier_keys.js" */

const SIGNATURE_LINE = /^— ([^\s+]+) (\S+)$/;
export const SIGNATURES_MAX = 100;
const ID_SIZE = 4;
const SIGNATURE_SIZE = 64;
const TIME_SIZE = 8;
const DECIMAL = /^(?:0|[1-9][0-9]{0,18})$/;
const NUMBER_MAX = 2n ** 63n - 1n; // of sizes, indexes and times

/** @typedef {{name: string, id: string, bytes: Bytes}} SignatureLine the bytes follow the key's ID, which is in hex */
/**
 * @typedef {object} Checkpoint
 * @property {string} text what is signed
 * @property {string} origin
 * @property {bigint} size
 * @property {Bytes} root
 * @property {SignatureLine[]} signatures
 */

/**
 * Return a decimal number without leading zeroes, of at most 63 bits; null if it is none.
 *
 * @param {string | undefined} text
 */
export function readDecimal(text) {
  const value = text !== undefined && DECIMAL.test(text) ? BigInt(text) : null;
  return value !== null && value <= NUMBER_MAX ? value : null;
}

/**
 * Read a checkpoint. Throws Unproven.
 *
 * @param {string} note
 * @returns {Checkpoint}
 */
export function readCheckpoint(note) {
  const end = note.lastIndexOf("\n\n");
  if (end < 0 || !note.endsWith("\n") || hasControlCharacters(note)) throw new Unproven("notACheckpoint");
  const text = note.slice(0, end + 1);
  const lines = note.slice(end + 2, -1).split("\n");
  if (lines.length > SIGNATURES_MAX) throw new Unproven("notACheckpoint");
  const [origin, decimal, hash, ...others] = text.slice(0, -1).split("\n");
  const size = readDecimal(decimal);
  const root = fromBase64(hash ?? "");
  if (!origin || size === null || root?.length !== HASH_SIZE || others.includes(""))
    throw new Unproven("notACheckpoint");
  return { text, origin, size, root, signatures: lines.map(readSignature) };
}

/** @param {string} note */
const hasControlCharacters = (note) => Array.from(note).some((each) => each < " " && each !== "\n");

/**
 * @param {string} line
 * @returns {SignatureLine}
 */
function readSignature(line) {
  const [, name, encoded] = SIGNATURE_LINE.exec(line) ?? [];
  const bytes = encoded === undefined ? null : fromBase64(encoded);
  if (name === undefined || !bytes || bytes.length <= ID_SIZE) throw new Unproven("notACheckpoint");
  return { name, id: toHex(bytes.subarray(0, ID_SIZE)), bytes: bytes.subarray(ID_SIZE) };
}

/** @typedef {{state: "absent"} | {state: "wrong"} | {state: "right", at: number | null}} Signed `at`: seconds since 1970 */

/**
 * Return whether a key has signed a checkpoint; if it is a witness's, also when. Every line of the key has to be right.
 *
 * @param {Checkpoint} checkpoint
 * @param {VerifierKey} key
 * @returns {Promise<Signed>}
 */
export async function signedBy({ text, signatures }, key) {
  /** @type {Signed} */
  let found = { state: "absent" };
  for (const { name, id, bytes } of signatures) {
    if (name !== key.name || id !== key.id) continue;
    const timed = key.type === COSIGNATURE;
    const at =
      timed && bytes.length >= TIME_SIZE ? new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0) : 0n;
    if (at > NUMBER_MAX) return { state: "wrong" };
    const message = timed ? `cosignature/v1\ntime ${at}\n${text}` : text;
    const signature = timed ? bytes.subarray(TIME_SIZE) : bytes;
    if (!(await isSignature(key.key, signature, encoder.encode(message)))) return { state: "wrong" };
    found = { state: "right", at: timed ? Number(at) : null };
  }
  return found;
}

/**
 * @param {Bytes} key
 * @param {Bytes} signature
 * @param {Bytes} message
 */
async function isSignature(key, signature, message) {
  if (signature.length !== SIGNATURE_SIZE) return false;
  try {
    const imported = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
    return await crypto.subtle.verify({ name: "Ed25519" }, imported, signature, message);
  } catch {
    return false; // no point of the curve: whether the browser knows Ed25519 at all was tried before
  }
}

/** Of RFC 8032, section 7.1, test 1: an empty message. */
const TEST_KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
const TEST_SIGNATURE =
  "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";

/**
 * Return what this browser lacks for verifying signatures: "insecure", a secure context; "noEd25519"; or null, nothing.
 *
 * @returns {Promise<"insecure" | "noEd25519" | null>}
 */
export async function whatIsLacking() {
  if (!crypto.subtle) return "insecure";
  const works = await isSignature(fromHex(TEST_KEY), fromHex(TEST_SIGNATURE), new Uint8Array());
  return works ? null : "noEd25519";
}
