"""A durable outbox: every report that was added is sent, even if the machine or the network fails in between.

A SQLite file, so it needs only a disk. Knows nothing of the network.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import orjson

from gateway.client.push_answers import Answer
from gateway.errors import GatewayError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS item (
    key INTEGER PRIMARY KEY,
    gateway TEXT NOT NULL,
    election TEXT NOT NULL,
    unit TEXT NOT NULL,
    revision INTEGER NOT NULL,
    body BLOB NOT NULL,
    added_at REAL NOT NULL,
    waits INTEGER NOT NULL DEFAULT 1,
    answered_at REAL,
    answer BLOB,
    UNIQUE (gateway, election, unit, revision)
) STRICT;
CREATE INDEX IF NOT EXISTS item_waits ON item (election, key) WHERE waits;
CREATE TABLE IF NOT EXISTS handed_in (
    gateway TEXT NOT NULL,
    election TEXT NOT NULL,
    digest BLOB NOT NULL,
    reports TEXT NOT NULL,
    PRIMARY KEY (gateway, election, digest)
) STRICT;
"""
_FROM_BEFORE_GATEWAYS = """
ALTER TABLE item RENAME TO item_without_gateway;
INSERT INTO item (key, gateway, election, unit, revision, body, added_at, waits, answered_at, answer)
    SELECT key, '', election, unit, revision, body, added_at, answer IS NULL, answered_at, answer
    FROM item_without_gateway;
DROP TABLE item_without_gateway;
DROP TABLE file;
"""
"""Converts a file of an older version whose items name no gateway; see `Outbox.adopt_unnamed`."""
ABOVE_CEILING = "revision_above_ceiling"
"""Code of the violation for a revision above the ceiling of its unit."""
BUSY_S = 10.0
"""How long to wait for another process that has locked the file."""


class OutboxConflict(GatewayError):
    """A revision was added before with different figures; the call added nothing."""

    code = "outbox_conflict"


class Destination(msgspec.Struct, frozen=True):
    """An election at one gateway. Receipts of another gateway say nothing about this one."""

    gateway: str
    """The push door's URL, normalised by `push_files.destination`."""
    election: str


class Item(msgspec.Struct, frozen=True):
    """One report in the outbox; `answer` is the latest answer, also while the report waits to be resent."""

    key: int
    unit: str
    revision: int
    body: bytes
    answer: Answer | None


class Outbox:
    """The reports of one sender, for each destination separately. Invariants:

    * When `add` returns, the reports are on disk (`synchronous = FULL`, write-ahead log), and wait until answered.
    * A destination has each revision of a unit once; its figures change only after the gateway has refused them.
    * A receipt from an earlier run is no reason not to send: the gateway's database may have been restored or replaced
      since.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or create it readable by its owner only. Raises GatewayError."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._make_tables()
        except (OSError, sqlite3.Error) as error:
            raise GatewayError(f"outbox {path}: {error}") from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _make_tables(self) -> None:
        columns = [row[1] for row in self._db.execute("PRAGMA table_info(item)")]
        if columns and "gateway" not in columns:
            rename, *rest = _FROM_BEFORE_GATEWAYS.strip().splitlines(keepends=True)
            self._db.executescript(f"BEGIN IMMEDIATE; {rename} {_SCHEMA} {''.join(rest)} COMMIT;")
        else:
            self._db.executescript(_SCHEMA)

    def add(
        self, to: Destination, reports: Sequence[tuple[str, int, bytes]], digest: bytes | None = None
    ) -> int:
        """Add reports (unit, revision, body), all or none; return how many are new. All of them wait afterwards.

        `digest` identifies their file; see `revisions_of_file`. Raises OutboxConflict.
        """
        with self._transaction():
            new = sum(self._add(to, *report) for report in reports)
            if digest is not None:
                given = orjson.dumps([(unit, revision) for unit, revision, _ in reports]).decode()
                self._db.execute(
                    "INSERT OR REPLACE INTO handed_in VALUES (?, ?, ?, ?)",
                    (to.gateway, to.election, digest, given),
                )
        return new

    def _add(self, to: Destination, unit: str, revision: int, body: bytes) -> bool:
        stored = self._db.execute(
            "SELECT key, body, waits, answer FROM item"
            " WHERE gateway = ? AND election = ? AND unit = ? AND revision = ?",
            (to.gateway, to.election, unit, revision),
        ).fetchone()
        if stored is None:
            self._db.execute(
                "INSERT INTO item (gateway, election, unit, revision, body, added_at) VALUES (?, ?, ?, ?, ?, ?)",
                (to.gateway, to.election, unit, revision, body, time.time()),
            )
            return True
        key, known, waits, encoded = stored
        if orjson.loads(known) == orjson.loads(body):
            self._db.execute("UPDATE item SET waits = 1 WHERE key = ?", (key,))
            return False
        if waits or _decoded(encoded).has_receipt:
            raise OutboxConflict(
                f"unit {unit}, revision {revision} was already added with different figures;"
                " give the correction a higher revision"
            )
        self._db.execute(
            "UPDATE item SET body = ?, added_at = ?, waits = 1, answer = NULL, answered_at = NULL WHERE key = ?",
            (body, time.time(), key),
        )
        return True

    def revisions_of_file(self, to: Destination, digest: bytes) -> list[tuple[str, int]] | None:
        """Return unit and revision of each report of a file that was added before, else None."""
        query = "SELECT reports FROM handed_in WHERE gateway = ? AND election = ? AND digest = ?"
        row = self._db.execute(query, (to.gateway, to.election, digest)).fetchone()
        return [(unit, revision) for unit, revision in orjson.loads(row[0])] if row is not None else None

    def waiting(self, to: Destination) -> Iterator[Item]:
        """Return the reports to be sent, in the order in which they were added."""
        query = (
            "SELECT key, unit, revision, body, answer FROM item"
            " WHERE gateway = ? AND election = ? AND waits ORDER BY key"
        )
        for row in self._db.execute(query, (to.gateway, to.election)).fetchall():
            yield _item(row)

    def newest_candidates(self, to: Destination, unit: str) -> list[Item]:
        """Return the reports of a unit that the gateway has or may get: those that wait or have a receipt."""
        query = (
            "SELECT key, unit, revision, body, answer, waits FROM item"
            " WHERE gateway = ? AND election = ? AND unit = ? ORDER BY revision"
        )
        rows = self._db.execute(query, (to.gateway, to.election, unit)).fetchall()
        found = [(_item(row[:5]), row[5]) for row in rows]
        return [
            item for item, waits in found if waits or (item.answer is not None and item.answer.has_receipt)
        ]

    def at_other_gateways(self, to: Destination, *, include_answered: bool) -> dict[str, int]:
        """Return how many reports of the election wait for other gateways, by gateway."""
        query = "SELECT gateway, count(*) FROM item WHERE election = ? AND gateway <> ? AND (waits OR ?) GROUP BY 1"
        return dict(self._db.execute(query, (to.election, to.gateway, include_answered)).fetchall())

    def move(self, origin: Destination, to: Destination) -> int:
        """Take over the reports kept for a gateway's former address; return how many. Raises OutboxConflict."""
        query = (
            "SELECT key, unit, revision, body, waits, answered_at, answer FROM item"
            " WHERE gateway = ? AND election = ? ORDER BY key"
        )
        with self._transaction():
            found = self._db.execute(query, (origin.gateway, origin.election)).fetchall()
            for key, unit, revision, body, waits, answered_at, answer in found:
                self._db.execute("DELETE FROM item WHERE key = ?", (key,))
                if self._add(to, unit, revision, body):
                    self._db.execute(
                        "UPDATE item SET waits = ?, answered_at = ?, answer = ?"
                        " WHERE gateway = ? AND election = ? AND unit = ? AND revision = ?",
                        (waits, answered_at, answer, to.gateway, to.election, unit, revision),
                    )
            self._db.execute(
                "UPDATE OR IGNORE handed_in SET gateway = ? WHERE gateway = ? AND election = ?",
                (to.gateway, origin.gateway, origin.election),
            )
        return len(found)

    def adopt_unnamed(self, to: Destination) -> None:
        """Take over reports that an older version kept for this election without noting the gateway."""
        with self._transaction():
            self._db.execute(
                "UPDATE OR IGNORE item SET gateway = ? WHERE election = ? AND gateway = ''",
                (to.gateway, to.election),
            )

    def record_answer(self, key: int, answer: Answer) -> None:
        """Store the answer to an item, which then no longer waits."""
        encoded = msgspec.json.encode(answer)
        with self._transaction():
            self._db.execute(
                "UPDATE item SET waits = 0, answer = ?, answered_at = ? WHERE key = ?",
                (encoded, time.time(), key),
            )

    def answers(self, to: Destination) -> Iterator[Item]:
        """Return all answered items, in the order in which they were added."""
        query = (
            "SELECT key, unit, revision, body, answer FROM item"
            " WHERE gateway = ? AND election = ? AND answer IS NOT NULL ORDER BY key"
        )
        for row in self._db.execute(query, (to.gateway, to.election)):
            yield _item(row)

    def resend_confirmed(self, to: Destination) -> int:
        """Queue again all reports that had a receipt or were superseded; return how many.

        For a gateway whose database was restored: it answers reports that it still has as duplicates.
        """
        confirmed = [
            (item.key,)
            for item in self.answers(to)
            if item.answer is not None and (item.answer.has_receipt or item.answer.code == "stale_revision")
        ]
        with self._transaction():
            self._db.executemany("UPDATE item SET waits = 1 WHERE key = ?", confirmed)
        return len(confirmed)

    def last_revision(self, to: Destination, unit: str) -> int:
        """Return the highest known revision of a unit, which the next report continues; 0 if there is none.

        Known are the revisions that were added and those that the gateway reported as current. A revision that was
        refused for being above the unit's ceiling does not count: the next one would be refused too, and other figures
        may replace it under the same number.
        """
        query = "SELECT revision, answer FROM item WHERE gateway = ? AND election = ? AND unit = ?"
        last = 0
        for revision, encoded in self._db.execute(query, (to.gateway, to.election, unit)):
            answer = _decoded(encoded) if encoded is not None else None
            if answer is None:
                last = max(last, revision)
            elif all(each["code"] != ABOVE_CEILING for each in answer.violations):
                last = max(last, revision, answer.current_revision or 0)
        return last

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _decoded(answer: bytes) -> Answer:
    return msgspec.json.decode(answer, type=Answer)


def _item(row: tuple[int, str, int, bytes, bytes | None]) -> Item:
    key, unit, revision, body, answer = row
    return Item(key, unit, revision, body, _decoded(answer) if answer is not None else None)
