"""Verify checkpoints and proofs of a log with metamorphic-log, which is written in Rust.

    python metamorphic.py URL VKEY [SEQUENCE…]

It reads no tiles: the proofs of consistency come from tlog-scales. Prints JSON in the last line; a log that is not as
it has to be ends it with an exception.
"""

import json
import sys
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Any

import metamorphic_log
from tlog_scales.backend import HttpBackend
from tlog_scales.reader import TilesReader


def main(url: str, vkey: str, *sequences: str) -> dict[str, Any]:
    backend = HttpBackend(url)
    newest = text(backend, "checkpoint")
    head = metamorphic_log.checkpoint_verify(newest, [vkey])
    assert head.origin == vkey.partition("+")[0]
    tiles = TilesReader(backend)
    tiles.set_size(head.size)
    old = [json.loads(line)["note"] for line in text(backend, "checkpoints?after=0&limit=1000").splitlines()]
    for note in old:
        size = metamorphic_log.checkpoint_verify(note, [vkey]).size
        proof = tiles.get_consistency_proof(size, head.size).node_hashes
        metamorphic_log.checkpoint_verify_consistency(note, newest, [vkey], proof)
    for sequence in sequences:
        lines, _, note = text(backend, f"proof/{sequence}").partition("\n\n")
        _, extra, index, *hashes = lines.split("\n")
        leaf = sha256(b"\0" + b64decode(extra.removeprefix("extra "))).digest()
        assert index == f"index {sequence}"
        metamorphic_log.checkpoint_verify_inclusion(
            note, [vkey], int(sequence), leaf, list(map(b64decode, hashes))
        )
    root = b64encode(bytes(head.root)).decode()
    return {"size": head.size, "root": root, "checkpoints": len(old), "proofs": len(sequences)}


def text(backend: HttpBackend, path: str) -> str:
    content = backend.get(path)
    assert content is not None, path
    return content.decode()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])))
