"""A durable outbox: what was once handed over is sent, whatever goes down in between, and sent once.

A SQLite file, so that it needs nothing but a disk. Knows nothing of the network.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import orjson

from gateway.client.publisher import Answer
from gateway.errors import GatewayError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS item (
    key INTEGER PRIMARY KEY,
    election TEXT NOT NULL,
    unit TEXT NOT NULL,
    revision INTEGER NOT NULL,
    body BLOB NOT NULL,
    added_at REAL NOT NULL,
    answered_at REAL,
    answer BLOB,
    UNIQUE (election, unit, revision)
) STRICT;
CREATE INDEX IF NOT EXISTS item_waiting ON item (election, key) WHERE answer IS NULL;
CREATE TABLE IF NOT EXISTS file (
    election TEXT NOT NULL,
    name TEXT NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (election, name, digest)
) STRICT;
"""
BUSY_S = 10.0
"""How long another process that holds the file is waited for."""


class OutboxConflict(GatewayError):
    """A revision that was handed over before with other figures; nothing of the same call was taken."""

    code = "outbox_conflict"


class Item(msgspec.Struct, frozen=True):
    """One report in the outbox; `answer` is None while it waits."""

    key: int
    unit: str
    revision: int
    body: bytes
    answer: Answer | None


class Outbox:
    """The reports of one sender. Invariants:

    * What `add` has returned from is on disk (`synchronous = FULL`, write-ahead log), and waits until it is answered.
    * A unit's revision is there once, with the figures it was first handed over with.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or make it, readable for its owner only. Raises GatewayError where that fails."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise GatewayError(f"outbox {path}: {error}") from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add(
        self, election: str, reports: Sequence[tuple[str, int, bytes]], file: tuple[str, bytes] | None = None
    ) -> int:
        """Take reports (unit, revision, body), all or none, and note of which file they are; return how many are new.

        Raises OutboxConflict.
        """
        new = 0
        with self._transaction():
            for unit, revision, body in reports:
                held = self._db.execute(
                    "SELECT body FROM item WHERE election = ? AND unit = ? AND revision = ?",
                    (election, unit, revision),
                ).fetchone()
                if held is None:
                    self._db.execute(
                        "INSERT INTO item (election, unit, revision, body, added_at) VALUES (?, ?, ?, ?, ?)",
                        (election, unit, revision, body, time.time()),
                    )
                    new += 1
                elif orjson.loads(held[0]) != orjson.loads(body):
                    raise OutboxConflict(
                        f"unit {unit}, revision {revision} was handed over before with other figures;"
                        " a correction needs a higher revision"
                    )
            if file is not None:
                self._db.execute("INSERT OR IGNORE INTO file VALUES (?, ?, ?)", (election, *file))
        return new

    def knows(self, election: str, name: str, digest: bytes) -> bool:
        """Whether a file of that name and content was taken."""
        query = "SELECT 1 FROM file WHERE election = ? AND name = ? AND digest = ?"
        return self._db.execute(query, (election, name, digest)).fetchone() is not None

    def waiting(self, election: str) -> Iterator[Item]:
        """Return what has no answer, in the order handed over."""
        query = (
            "SELECT key, unit, revision, body FROM item WHERE election = ? AND answer IS NULL ORDER BY key"
        )
        for row in self._db.execute(query, (election,)).fetchall():
            key, unit, revision, body = row
            yield Item(key, unit, revision, body, None)

    def answered(self, key: int, answer: Answer) -> None:
        """Keep the answer to an item; it does not wait any more."""
        encoded = msgspec.json.encode(answer)
        with self._transaction():
            self._db.execute(
                "UPDATE item SET answer = ?, answered_at = ? WHERE key = ?", (encoded, time.time(), key)
            )

    def answers(self, election: str) -> Iterator[Item]:
        """Return all that has an answer, in the order handed over."""
        query = (
            "SELECT key, unit, revision, body, answer FROM item"
            " WHERE election = ? AND answer IS NOT NULL ORDER BY key"
        )
        for key, unit, revision, body, answer in self._db.execute(query, (election,)):
            yield Item(key, unit, revision, body, msgspec.json.decode(answer, type=Answer))

    def again(self, election: str) -> int:
        """Have all that is in the record, or was overtaken there, wait once more; return how much.

        For a gateway whose database was restored: what it has still is answered as a duplicate.
        """
        held = [
            (item.key,)
            for item in self.answers(election)
            if item.answer is not None and (item.answer.has_receipt or item.answer.code == "stale_revision")
        ]
        with self._transaction():
            self._db.executemany("UPDATE item SET answer = NULL, answered_at = NULL WHERE key = ?", held)
        return len(held)

    def last_revision(self, election: str, unit: str) -> int:
        """Return the highest revision of a unit that was handed over; 0 for none."""
        query = "SELECT max(revision) FROM item WHERE election = ? AND unit = ?"
        return self._db.execute(query, (election, unit)).fetchone()[0] or 0

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
