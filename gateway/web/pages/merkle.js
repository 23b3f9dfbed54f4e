// PURE: inclusion in a Merkle tree of SHA-256. Source: RFC 6962, section 2.1; RFC 9162, section 2.1.3.2. Browsers compute
// hashes on HTTPS, and from their own machine, only (W3C Web Cryptography).

import { encoder, joined, sameBytes } from "./encodings.js";

/** @import { Bytes } from "./encodings.js" */

export const HASH_SIZE = 32;
/** Hashes of a proof in a tree of 2^63 entries. */
export const PROOF_MAX = 63;
const LEAF = new Uint8Array([0]);
const NODE = new Uint8Array([1]);

/**
 * @param {Bytes} bytes
 * @returns {Promise<Bytes>}
 */
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

/** @param {string} text */
export const sha256OfText = (text) => sha256(encoder.encode(text));

/** @param {Bytes} entry */
export const leafHash = (entry) => sha256(joined(LEAF, entry));

/**
 * @param {Bytes} left
 * @param {Bytes} right
 */
export const nodeHash = (left, right) => sha256(joined(NODE, left, right));

/**
 * Return whether a proof shows that a leaf is at an index of the tree of a size with a root.
 *
 * @param {bigint} index
 * @param {bigint} size
 * @param {Bytes} leaf its hash
 * @param {Bytes[]} proof
 * @param {Bytes} root
 */
export async function isIncluded(index, size, leaf, proof, root) {
  if (index < 0n || index >= size || proof.length > PROOF_MAX) return false;
  if ([leaf, root, ...proof].some((hash) => hash.length !== HASH_SIZE)) return false;
  let [node, last, hash] = [index, size - 1n, leaf];
  for (const sibling of proof) {
    if (last === 0n) return false; // the root is reached already
    if (node & 1n || node === last) {
      hash = await nodeHash(sibling, hash);
      while (node !== 0n && !(node & 1n)) {
        node >>= 1n;
        last >>= 1n;
      }
    } else {
      hash = await nodeHash(hash, sibling);
    }
    node >>= 1n;
    last >>= 1n;
  }
  return last === 0n && sameBytes(hash, root);
}
