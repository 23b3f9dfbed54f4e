"""Verify checkpoints and proofs of a log with sigstore, as if it were a Rekor log.

    python rekor.py URL VKEY [SEQUENCE…]

Prints JSON in the last line; a log that is not as it has to be ends it with an exception.
"""

import json
import sys
from base64 import b64decode, b64encode
from typing import Any

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sigstore._internal.merkle import verify_merkle_inclusion
from sigstore._internal.rekor.checkpoint import SignedCheckpoint, verify_checkpoint
from sigstore._internal.trust import Keyring, RekorKeyring
from sigstore._utils import KeyID
from sigstore.models import TransparencyLogEntry
from sigstore_models.common import v1 as common
from sigstore_models.rekor import v1 as rekor


def main(url: str, vkey: str, *sequences: str) -> dict[str, Any]:
    name, key_id, material = vkey.split("+", 2)
    log_id = bytes.fromhex(key_id)
    public = Ed25519PublicKey.from_public_bytes(b64decode(material)[1:])
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key = common.PublicKey(raw_bytes=b64encode(der), key_details=common.PublicKeyDetails.PKIX_ED25519)
    keyring = RekorKeyring(Keyring([key]))

    newest = verified(get(url, "checkpoint"), name, log_id, keyring)
    old = [json.loads(line)["note"] for line in get(url, "checkpoints?after=0&limit=1000").splitlines()]
    for note in old:
        verified(note, name, log_id, keyring)
    for sequence in sequences:
        lines, _, note = get(url, f"proof/{sequence}").partition("\n\n")
        _, extra, _, *hashes = lines.split("\n")
        signed = verified(note, name, log_id, keyring)
        proof = rekor.InclusionProof(
            log_index=sequence,
            root_hash=b64encode(bytes.fromhex(signed.log_hash)),
            tree_size=str(signed.log_size),
            hashes=[each.encode() for each in hashes],
            checkpoint=rekor.Checkpoint(envelope=note),
        )
        entry = TransparencyLogEntry(
            rekor.TransparencyLogEntry(
                log_index=sequence,
                log_id=common.LogId(key_id=b64encode(log_id)),
                kind_version=rekor.KindVersion(kind="report", version="1"),
                integrated_time=None,
                inclusion_promise=None,
                inclusion_proof=proof,
                canonicalized_body=extra.removeprefix("extra ").encode(),
            )
        )
        verify_checkpoint(keyring, entry)
        verify_merkle_inclusion(entry)
    root = b64encode(bytes.fromhex(newest.log_hash)).decode()
    return {"size": newest.log_size, "root": root, "checkpoints": len(old), "proofs": len(sequences)}


def verified(note: str, name: str, log_id: bytes, keyring: RekorKeyring) -> Any:
    signed = SignedCheckpoint.from_text(note)
    signed.signed_note.verify(keyring, KeyID(log_id))
    assert signed.checkpoint.origin == name
    return signed.checkpoint


def get(url: str, path: str) -> str:
    answer = requests.get(f"{url}/{path}", timeout=10)
    answer.raise_for_status()
    answer.encoding = "utf-8"
    return answer.text


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])))
