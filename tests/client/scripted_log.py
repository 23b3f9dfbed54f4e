"""A small log, and what a feed door answers below `/log`, for tests of senders."""

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from gateway.election.report import canonical
from gateway.transparency.checkpoint import Checkpoint
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.note import ED25519, parse_note
from gateway.transparency.proof_file import ProofFile
from gateway.transparency.tree import Tree
from tests.client.scripted import Request, answer

ORIGIN = "results.example.org/live/e"
KEY = SigningKey(ORIGIN, ED25519, sha256(b"a key of tests").digest())
OPENING = b'{"entry":"opening/1"}'
PROBLEM = "application/problem+json"


class SmallLog:
    """A signed log of some reports, in order."""

    def __init__(self, reports: Sequence[dict[str, Any]]) -> None:
        self.entries = [OPENING, *map(canonical, reports)]
        self.tree = Tree()
        for entry in self.entries:
            self.tree.append(entry)

    def note(self, size: int | None = None) -> bytes:
        size = self.tree.size if size is None else size
        return Checkpoint(ORIGIN, size, self.tree.root(size)).signed_by(KEY).encode()

    def proof(self, index: int, size: int | None = None) -> bytes:
        hashes = tuple(self.tree.inclusion_proof(index, size))
        return ProofFile(index, hashes, parse_note(self.note(size)), self.entries[index]).encode()

    def answer(self, request: Request) -> bytes:
        """What a feed door answers to a request below `/log`."""
        if request.target.endswith("/log/checkpoint"):
            return answer(200, self.note(), kind="text/plain; charset=utf-8")
        found = re.search(r"/log/proof/(\d+)$", request.target)
        if found and int(found[1]) < self.tree.size:
            return answer(200, self.proof(int(found[1])))
        return problem(404, "beyond_checkpoint")


def problem(status: int, code: str) -> bytes:
    return answer(status, json.dumps({"code": code}), kind=PROBLEM, Retry_After="5")
