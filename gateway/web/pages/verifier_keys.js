// PURE: the keys that verify signatures, each as a line: NAME+ID+KEY. Source: C2SP signed-note, "Verifier keys", and
// tlog-cosignature.

import { encoder, fromBase64, joined, toHex } from "./encodings.js";
import { sha256OfText } from "./merkle.js";
import { Unproven } from "./unproven.js";

/** @import { Bytes } from "./encodings.js" */

const VKEY = /^([^\s+]+)\+([0-9a-f]{8})\+(\S+)$/;
const ID_SIZE = 4;
const KEY_SIZE = 32;
/** The types of signatures: that of a log, and that of a witness with its time. */
export const SIGNATURE = 1;
export const COSIGNATURE = 4;
const VKEY_SIZE_MAX = 1000;

/**
 * @typedef {object} VerifierKey
 * @property {string} vkey as a line
 * @property {string} name
 * @property {string} id in hex
 * @property {number} type SIGNATURE or COSIGNATURE
 * @property {Bytes} key
 */

/**
 * Read a key. Throws Unproven.
 *
 * @param {string} vkey
 * @returns {Promise<VerifierKey>}
 */
export async function readVerifierKey(vkey) {
  const [, name, id, encoded] = (vkey.length <= VKEY_SIZE_MAX && VKEY.exec(vkey)) || [];
  const material = encoded === undefined ? null : fromBase64(encoded);
  if (name === undefined || id === undefined || !material) throw new Unproven("notAKey", shortened(vkey));
  const [type = 0, ...key] = material;
  if (type !== SIGNATURE && type !== COSIGNATURE) throw new Unproven("otherKey", name);
  const named = new Uint8Array(
    await crypto.subtle.digest("SHA-256", joined(encoder.encode(`${name}\n`), material)),
  );
  if (key.length !== KEY_SIZE || toHex(named.subarray(0, ID_SIZE)) !== id)
    throw new Unproven("damagedKey", name);
  return { vkey, name, id, type, key: new Uint8Array(key) };
}

/** @param {string} text */
const shortened = (text) => (text.length > 60 ? `${text.slice(0, 60)}…` : text);

/**
 * Return the SHA-256 of a key's line as 16 groups of 4 digits, for reading out.
 *
 * @param {string} vkey
 */
export const fingerprint = async (vkey) => (toHex(await sha256OfText(vkey)).match(/.{4}/g) ?? []).join(" ");
