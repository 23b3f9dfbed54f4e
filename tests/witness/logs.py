"""A log in memory that grows, and forks of it, signed with its true key; and a witness that follows it."""

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.transparency.checkpoint import Checkpoint
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.note import ED25519
from gateway.transparency.tree import Tree
from gateway.witness.directory import open_directory
from gateway.witness.logs import Log
from gateway.witness.state import Evidence, State
from gateway.witness.witness import Answer, Witness

ORIGIN = "results.example.no/live/e"
NAME = "witness.example.org/w1"


class GrowingLog:
    """A log whose entries are numbers; in a fork, those from `shared` on are others."""

    def __init__(self, origin: str = ORIGIN, *, shared: int | None = None, seed: int = 1) -> None:
        self.key = SigningKey(origin, ED25519, bytes([seed]) * 32)
        self.origin = origin
        self._shared = shared
        self._tree = Tree()

    def grow(self, size: int) -> None:
        """Have at least this many entries."""
        while self._tree.size < size:
            index = self._tree.size
            forked = self._shared is not None and index >= self._shared
            self._tree.append(f"{'other ' if forked else ''}{index}".encode())

    def checkpoint(self, size: int) -> Checkpoint:
        """Return the checkpoint of a size."""
        self.grow(size)
        return Checkpoint(self.origin, size, self._tree.root(size))

    def note(self, size: int, *keys: SigningKey) -> bytes:
        """Return the signed note of a size, signed by the log's key unless others are given."""
        return self.checkpoint(size).signed_by(*(keys or (self.key,))).encode()

    def proof(self, old: int, size: int) -> Sequence[bytes]:
        """Return the consistency proof between two sizes."""
        self.grow(size)
        return self._tree.consistency_proof(old, size) if 0 < old <= size else ()

    def body(
        self, old: int, size: int, proof: Iterable[bytes] | None = None, note: bytes | None = None
    ) -> bytes:
        """Return a body for `add-checkpoint`, correct where nothing else is given."""
        hashes = self.proof(old, size) if proof is None else proof
        lines = "".join(f"{base64.b64encode(each).decode()}\n" for each in hashes)
        return f"old {old}\n{lines}\n".encode() + (self.note(size) if note is None else note)


class Seen:
    """What a witness reported."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.evidence: list[Evidence] = []
        self.lost: list[str] = []

    def cosigned(self, origin: str, size: int) -> None:
        self.statuses.append(200)

    def refused(self, origin: str, status: int) -> None:
        self.statuses.append(status)

    def kept(self, evidence: Evidence) -> None:
        self.evidence.append(evidence)

    def settled(self, evidence: Evidence) -> None:
        self.evidence.remove(evidence)

    def behind(self, origin: str) -> None:
        self.lost.append(origin)


class Clock:
    """A clock that stands until it is set."""

    def __init__(self, now: float = 1_800_000_000) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Running:
    """A witness in a directory, without HTTP."""

    def __init__(self, directory: Path, *logs: GrowingLog, clock: Clock | None = None) -> None:
        self.seen = Seen()
        self.clock = clock or Clock()
        self.key, self.state, self.created = open_directory(directory, NAME)
        self.follow(*(Log(each.origin, (each.key.vkey,)) for each in logs))

    def follow(self, *logs: Log) -> None:
        """Follow these logs instead."""
        self.witness = Witness(self.key, self.state, logs, self.seen, self.clock)

    def ask(self, body: bytes) -> Answer:
        """Return the answer to a body."""
        submission = self.witness.read(body)
        return submission if isinstance(submission, Answer) else self.witness.add_checkpoint(submission)

    def close(self) -> None:
        """Stop it."""
        self.state.close()

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_state(directory: Path) -> State:
    """Return the state of a witness, also while it runs."""
    return State(directory / "state.sqlite", read_only=True)
