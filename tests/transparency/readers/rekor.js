// Verify the checkpoints and the proofs of a log with @sigstore/verify, as if it were a Rekor log.
//
//     node rekor.js URL VKEY [SEQUENCE…]
//
// The last line is JSON; a log that is not as it has to be ends the program with an exception.
const { createPublicKey } = require("node:crypto");
const { verifyCheckpoint } = require("@sigstore/verify/dist/tlog/checkpoint");
const { verifyMerkleInclusion } = require("@sigstore/verify/dist/tlog/merkle");

const [url, vkey, ...sequences] = process.argv.slice(2);
const [name, keyId, ...material] = vkey.split("+");
const raw = Buffer.from(material.join("+"), "base64").subarray(1);
const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]);
const log = {
  logID: Buffer.from(keyId, "hex"),
  baseURL: name,
  publicKey: createPublicKey({ key: der, format: "der", type: "spki" }),
};

async function get(path) {
  const answer = await fetch(`${url}/${path}`);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return await answer.text();
}

function verified(envelope, proof = {}) {
  const entry = { inclusionProof: { checkpoint: { envelope }, ...proof } };
  const checkpoint = verifyCheckpoint(entry, [log]);
  if (checkpoint.origin !== name) throw new Error(`a checkpoint of ${checkpoint.origin}`);
  return checkpoint;
}

async function main() {
  const newest = verified(await get("checkpoint"));
  const old = (await get("checkpoints?after=0&limit=1000")).trimEnd().split("\n");
  for (const line of old) verified(JSON.parse(line).note);
  for (const sequence of sequences) {
    const file = await get(`proof/${sequence}`);
    const split = file.indexOf("\n\n");
    const [, extra, , ...hashes] = file.slice(0, split).split("\n");
    const inclusionProof = { logIndex: sequence, hashes: hashes.map((hash) => Buffer.from(hash, "base64")) };
    const canonicalizedBody = Buffer.from(extra.slice("extra ".length), "base64");
    verifyMerkleInclusion({ inclusionProof, canonicalizedBody }, verified(file.slice(split + 2), inclusionProof));
  }
  const root = newest.logHash.toString("base64");
  const read = { size: Number(newest.logSize), root, checkpoints: old.length, proofs: sequences.length };
  console.log(JSON.stringify(read));
}

main();
