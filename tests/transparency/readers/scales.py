"""Read a log with tlog-scales: verify its checkpoints, its root from all entries and tiles, and proof files.

    python scales.py URL VKEY [SEQUENCE…]

If there is a key of a witness in WITNESS, its cosignature of the newest checkpoint is verified too. Prints JSON in the
last line; a log that is not as it has to be ends it with an exception.
"""

import json
import os
import sys
from base64 import b64decode, b64encode
from typing import Any

from tlog_scales.backend import HttpBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tlog import Checkpoint, InclusionProof
from tlog_scales.utils import sha256


def main(url: str, vkey: str, *sequences: str) -> dict[str, Any]:
    backend = HttpBackend(url)
    reader = TilesReader(backend)
    key = Vkey.from_string(vkey)
    newest = reader.get_checkpoint()
    newest.verify(key)
    assert newest.origin == key.name
    witnesses = [Vkey.from_string(each) for each in os.environ.get("WITNESS", "").split()]
    for witness in witnesses:
        newest.verify(witness)
    assert reader.calculate_root_hash() == newest.root_hash
    for index in range(newest.size):
        leaf_hash = sha256(b"\0" + reader.get_entry(index))
        assert leaf_hash == reader.mth(index, index + 1), index
    old = [json.loads(line)["note"] for line in text(backend, "checkpoints?after=0&limit=1000").splitlines()]
    for note in map(Checkpoint.from_text, old):
        note.verify(key)
        reader.get_consistency_proof(note.size, newest.size).check(note.root_hash, newest.root_hash)
    for sequence in sequences:
        head, _, note = text(backend, f"proof/{sequence}").partition("\n\n")
        _, extra, index, *hashes = head.split("\n")
        signed = Checkpoint.from_text(note)
        signed.verify(key)
        proof = InclusionProof(int(index.removeprefix("index ")), signed.size, list(map(b64decode, hashes)))
        proof.check(sha256(b"\0" + b64decode(extra.removeprefix("extra "))), signed.root_hash)
        assert proof == reader.get_inclusion_proof(int(sequence), signed.size)
    return {
        "size": newest.size,
        "root": b64encode(newest.root_hash).decode(),
        "entries": newest.size,
        "checkpoints": len(old),
        "proofs": len(sequences),
        "cosignatures": len(witnesses),
    }


def text(backend: HttpBackend, path: str) -> str:
    content = backend.get(path)
    assert content is not None, path
    return content.decode()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])))
