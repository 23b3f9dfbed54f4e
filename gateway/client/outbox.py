"""A durable outbox: every report that was added is sent, even if the machine or the network fails in between.

A SQLite file, so it needs only a disk. Independent of the network.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import orjson

from gateway.client import outbox_proofs
from gateway.client.outbox_file import OutboxFile
from gateway.client.outbox_items import Change, Destination, Item, Kept
from gateway.client.outbox_proofs import OutboxProofs
from gateway.client.push_answers import RENUMBERED, Answer, not_sent
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
    chosen INTEGER NOT NULL DEFAULT 0,
    UNIQUE (gateway, election, unit, revision)
) STRICT;
CREATE INDEX IF NOT EXISTS item_waits ON item (election, key) WHERE waits;
"""
_VERSION = 3
"""Format of the file, its `user_version`; 0 in files of versions that did not number it."""
_FROM_BEFORE_GATEWAYS = """
ALTER TABLE item RENAME TO item_without_gateway;
INSERT INTO item (key, gateway, election, unit, revision, body, added_at, waits, answered_at, answer, chosen)
    SELECT key, '', election, unit, revision, body, added_at, answer IS NULL, answered_at, answer, answer IS NULL
    FROM item_without_gateway;
DROP TABLE item_without_gateway;
DROP TABLE file;
"""
"""Converts a file of an older version whose items name no gateway; see `Outbox.adopt_unnamed`."""
_FROM_BEFORE_CHOSEN = """
ALTER TABLE item ADD COLUMN chosen INTEGER NOT NULL DEFAULT 0;
UPDATE item SET chosen = waits;
"""
"""Converts a file of an older version, which did not note who chose a revision: a report that waits is judged again."""
_WAITING = (
    "SELECT key, unit, revision, body, answer, chosen FROM item"
    " WHERE gateway = ? AND election = ? AND waits AND key > ? ORDER BY key LIMIT ?"
)
_ANSWERED = _WAITING.replace("AND waits", "AND answer IS NOT NULL")
_DISCARDED = not_sent("discarded", "removed from the outbox with --discard", None)
PAGE_ROWS = 500
"""Rows read at once."""


class OutboxConflict(GatewayError):
    """A revision was added before with different figures; the call added nothing."""

    code = "outbox_conflict"


class _Changed(Exception):
    """Another process has changed an item."""


class Outbox:
    """The reports of one sender, for each destination separately. Invariants:

    * When `add` returns, the reports are on disk (`synchronous = FULL`, write-ahead log), and wait until answered.
    * A destination has each revision of a unit once; its figures change only after the gateway has refused them.
    * A row with its key is one count. Only its revision may change, while it waits, if push chose it.
    * A receipt from an earlier run is no reason not to send: the gateway's database may have been restored or replaced
      since.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or create it readable by its owner only. Raises OutboxUnavailable, as every method does."""
        self.path = path
        self._file = OutboxFile(path, _VERSION, _migrate)
        self.proofs = OutboxProofs(self._file, self._item)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def add(self, to: Destination, reports: Sequence[tuple[str, int, bytes]]) -> int:
        """Add reports (unit, revision, body), all or none; return how many are new. All of them wait afterwards.

        Raises OutboxConflict.
        """
        return sum(is_new for _, is_new in self.add_keyed(to, [(*report, False) for report in reports]))

    def add_keyed(
        self, to: Destination, reports: Sequence[tuple[str, int, bytes, bool]]
    ) -> list[tuple[int, bool]]:
        """Add reports as `add` does, each with whether its revision was chosen; return their keys, and which are new.

        Raises OutboxConflict.
        """
        with self._file.transaction():
            return [self._add(to, *report) for report in reports]

    def _add(self, to: Destination, unit: str, revision: int, body: bytes, chosen: bool) -> tuple[int, bool]:
        stored = self._file.rows(
            "SELECT key, body, waits, answer FROM item"
            " WHERE gateway = ? AND election = ? AND unit = ? AND revision = ?",
            to.gateway, to.election, unit, revision,
        )  # fmt: skip
        if not stored:
            ((key,),) = self._file.rows(
                "INSERT INTO item (gateway, election, unit, revision, body, added_at, chosen)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING key",
                to.gateway, to.election, unit, revision, body, time.time(), chosen,
            )  # fmt: skip
            return key, True
        key, known, waits, encoded = stored[0]
        if self._is_same(known, body):
            self._file.rows(
                "UPDATE item SET waits = 1, chosen = ? AND (chosen OR NOT waits) WHERE key = ?", chosen, key
            )
            return key, False
        if waits or self._decoded(encoded).has_receipt:
            raise OutboxConflict(
                f"unit {unit}, revision {revision} was already added with different figures;"
                " give the correction a higher revision, or, if the file gives none, run the command again"
            )
        self._file.rows(
            "UPDATE item SET body = ?, added_at = ?, chosen = ?, waits = 1, answer = NULL, answered_at = NULL"
            " WHERE key = ?",
            body, time.time(), chosen, key,
        )  # fmt: skip
        return key, True

    def _is_same(self, known: bytes, body: bytes) -> bool:
        try:
            return bool(orjson.loads(known) == orjson.loads(body))
        except orjson.JSONDecodeError as error:
            raise self._file.damaged(error) from None

    def waiting(self, to: Destination) -> Iterator[Item]:
        """Return the reports to be sent, in the order in which they were added."""
        return self._in_pages(to, _WAITING)

    def waiting_page(self, to: Destination, after_key: int) -> list[Item]:
        """Return up to PAGE_ROWS of the reports to be sent, beginning after the one with a key."""
        return self._page(to, _WAITING, after_key)

    def waiting_count(self, to: Destination) -> int:
        """Return how many reports are to be sent."""
        query = "SELECT count(*) FROM item WHERE gateway = ? AND election = ? AND waits"
        return int(self._file.rows(query, to.gateway, to.election)[0][0])

    def units_to_judge(self, to: Destination) -> list[str]:
        """Return the units with reports that wait under revisions that push chose, in the order of the reports."""
        query = (
            "SELECT unit FROM item WHERE gateway = ? AND election = ? AND waits AND chosen"
            " GROUP BY unit ORDER BY min(key)"
        )
        return [unit for (unit,) in self._file.rows(query, to.gateway, to.election)]

    def kept(self, election: str | None = None) -> Iterator[Kept]:
        """Return the waiting reports for all gateways, of one election or of all, in the order of insertion."""
        query = (
            "SELECT key, unit, revision, body, answer, chosen, gateway, election, added_at, answered_at,"
            " proof.item IS NOT NULL FROM item LEFT JOIN proof ON proof.item = item.key"
            " WHERE waits AND key > ? AND (election = ? OR ? IS NULL) ORDER BY key LIMIT ?"
        )
        last_key = 0
        while rows := self._file.rows(query, last_key, election, election, PAGE_ROWS):
            for row in rows:
                yield Kept(Destination(row[6], row[7]), self._item(row[:6]), row[8], row[9], bool(row[10]))
            last_key = rows[-1][0]

    def discard(self, items: Sequence[Item]) -> int:
        """Remove waiting reports that have not changed since they were read; return how many. Receipts stay recorded.

        No process may be sending from the outbox; see `outbox_use`.
        """
        discarded, now = msgspec.json.encode(_DISCARDED), time.time()
        rows = [
            (not (item.answer and item.answer.has_receipt), discarded, now, item.key, item.body)
            for item in items
        ]
        query = (
            "UPDATE item SET waits = 0, answer = CASE WHEN ? THEN ? ELSE answer END, answered_at = ?"
            " WHERE key = ? AND body = ? AND waits RETURNING key"
        )
        with self._file.transaction():
            return sum(bool(self._file.rows(query, *row)) for row in rows)

    def _in_pages(self, to: Destination, query: str) -> Iterator[Item]:
        last_key = 0
        while page := self._page(to, query, last_key):
            yield from page
            last_key = page[-1].key

    def _page(self, to: Destination, query: str, after_key: int) -> list[Item]:
        return [
            self._item(row) for row in self._file.rows(query, to.gateway, to.election, after_key, PAGE_ROWS)
        ]

    def newest_candidates(self, to: Destination, unit: str) -> list[Item]:
        """Return the reports of a unit that the gateway has or may get: those that wait or have a receipt."""
        return [item for item, _ in self.of_unit(to, unit)]

    def of_unit(self, to: Destination, unit: str) -> list[tuple[Item, bool]]:
        """Return the reports of a unit that wait or have a receipt, and whether they wait."""
        query = (
            "SELECT key, unit, revision, body, answer, chosen, waits FROM item"
            " WHERE gateway = ? AND election = ? AND unit = ? ORDER BY revision"
        )
        rows = self._file.rows(query, to.gateway, to.election, unit)
        found = [(self._item(row[:6]), row[6]) for row in rows]
        return [
            (item, bool(waits))
            for item, waits in found
            if waits or (item.answer is not None and item.answer.has_receipt)
        ]

    def at_other_gateways(self, to: Destination, *, include_answered: bool) -> dict[str, int]:
        """Return how many reports of the election wait for other gateways, by gateway."""
        query = "SELECT gateway, count(*) FROM item WHERE election = ? AND gateway <> ? AND (waits OR ?) GROUP BY 1"
        return dict(self._file.rows(query, to.election, to.gateway, include_answered))

    def move(self, origin: Destination, to: Destination) -> int:
        """Take over the reports kept for a gateway's former address; return how many. Raises OutboxConflict."""
        query = (
            "SELECT key, unit, revision, body, chosen, waits, answered_at, answer FROM item"
            " WHERE gateway = ? AND election = ? ORDER BY key"
        )
        with self._file.transaction():
            found = self._file.rows(query, origin.gateway, origin.election)
            for key, unit, revision, body, chosen, waits, answered_at, answer in found:
                proof = self.proofs.of(key)
                self._file.rows("DELETE FROM item WHERE key = ?", key)
                new_key, is_new = self._add(to, unit, revision, body, bool(chosen))
                if is_new:
                    self._file.rows(
                        "UPDATE item SET waits = ?, answered_at = ?, answer = ?"
                        " WHERE gateway = ? AND election = ? AND unit = ? AND revision = ?",
                        waits, answered_at, answer, to.gateway, to.election, unit, revision,
                    )  # fmt: skip
                    if proof is not None:
                        self._file.rows("INSERT INTO proof VALUES (?, ?, ?)", new_key, proof, time.time())
            self._file.rows(
                "UPDATE OR REPLACE token SET gateway = ? WHERE gateway = ? AND election = ?",
                to.gateway, origin.gateway, origin.election,
            )  # fmt: skip
        return len(found)

    def adopt_unnamed(self, to: Destination) -> None:
        """Take over reports that an older version kept for this election without noting the gateway."""
        with self._file.transaction():
            self._file.rows(
                "UPDATE OR IGNORE item SET gateway = ? WHERE election = ? AND gateway = ''",
                to.gateway,
                to.election,
            )

    def record(self, answered: Sequence[tuple[Item, Answer]]) -> None:
        """Store the answers to items as they were sent, all or none.

        A report whose chosen revision was overtaken waits for another one. An item that has changed since it was sent
        has no answer yet.
        """
        now = time.time()
        rows = [
            (answer.is_overtaken, msgspec.json.encode(answer), now, item.key, item.body)
            for item, answer in answered
        ]
        with self._file.transaction():
            self._file.run_many(
                "UPDATE item SET waits = waits AND chosen AND ?, answer = ?, answered_at = ?"
                " WHERE key = ? AND body = ?",
                rows,
            )

    def item(self, key: int) -> tuple[Item, bool] | None:
        """Return an item, and whether it waits; None if there is none any more."""
        query = "SELECT key, unit, revision, body, answer, chosen, waits FROM item WHERE key = ?"
        rows = self._file.rows(query, key)
        return (self._item(rows[0][:6]), bool(rows[0][6])) if rows else None

    def change(self, to: Destination, changes: Sequence[Change]) -> bool:
        """Change waiting items of one unit, all or none; return False if that is not possible any more.

        It is not if another process has changed them since, or has added another report under such a revision.
        """
        try:
            with self._file.transaction():
                for each in changes:
                    self._claim(each.item)
                for each in changes:
                    self._change(to, each)
        except _Changed:
            return False
        return True

    def _claim(self, item: Item) -> None:
        """Free the revision of an item that is as it was read. Raises _Changed."""
        if not self._file.rows(
            "UPDATE item SET revision = -key WHERE key = ? AND body = ? AND waits AND chosen RETURNING key",
            item.key,
            item.body,
        ):
            raise _Changed

    def _change(self, to: Destination, change: Change) -> None:
        key, answer = change.item.key, change.answer
        if answer is None:
            for other, body, waits, encoded in self._file.rows(
                "SELECT key, body, waits, answer FROM item"
                " WHERE gateway = ? AND election = ? AND unit = ? AND revision = ?",
                to.gateway, to.election, change.item.unit, change.revision,
            ):  # fmt: skip
                if not waits and not self._decoded(encoded).has_receipt:
                    self._file.rows("DELETE FROM item WHERE key = ?", other)
                elif self._is_same(
                    body, change.body
                ):  # this count has that revision already: it is sent again
                    self._file.rows("UPDATE item SET waits = 1, chosen = 0 WHERE key = ?", other)
                    detail = f"the same count is sent as revision {change.revision}"
                    answer = not_sent(RENUMBERED, detail, change.revision)
                else:
                    raise _Changed
        if answer is None:
            self._file.rows(
                "UPDATE item SET revision = ?, body = ?, answer = NULL, answered_at = NULL WHERE key = ?",
                change.revision, change.body, key,
            )  # fmt: skip
        else:
            self._file.rows(
                "UPDATE item SET revision = ?, waits = 0, answer = ?, answered_at = ? WHERE key = ?",
                change.item.revision, msgspec.json.encode(answer), time.time(), key,
            )  # fmt: skip

    def destinations(self, election: str) -> list[Destination]:
        """Return the destinations of all reports of an election."""
        query = "SELECT DISTINCT gateway FROM item WHERE election = ? ORDER BY gateway"
        return [Destination(gateway, election) for (gateway,) in self._file.rows(query, election)]

    def all_reports(self, to: Destination) -> Iterator[tuple[Item, bool]]:
        """Return every report for a destination and whether it waits, in the order in which they were added."""
        query = (
            "SELECT key, unit, revision, body, answer, chosen, waits FROM item"
            " WHERE gateway = ? AND election = ? AND key > ? ORDER BY key LIMIT ?"
        )
        last_key = 0
        while rows := self._file.rows(query, to.gateway, to.election, last_key, PAGE_ROWS):
            for row in rows:
                yield self._item(row[:6]), bool(row[6])
            last_key = rows[-1][0]

    def answers(self, to: Destination) -> Iterator[Item]:
        """Return all answered items, in the order in which they were added."""
        return self._in_pages(to, _ANSWERED)

    def resend_confirmed(self, to: Destination) -> int:
        """Queue again all reports that had a receipt or were superseded; return how many.

        For a gateway whose database was restored: it answers reports that it still has as duplicates.
        """
        confirmed = [
            (item.key,)
            for item in self.answers(to)
            if item.answer is not None and (item.answer.has_receipt or item.answer.code == "stale_revision")
        ]
        with self._file.transaction():
            self._file.run_many("UPDATE item SET waits = 1, chosen = 0 WHERE key = ?", confirmed)
        return len(confirmed)

    def _decoded(self, answer: bytes) -> Answer:
        try:
            return msgspec.json.decode(answer, type=Answer)
        except msgspec.DecodeError as error:
            raise self._file.damaged(error) from None

    def _item(self, row: tuple[int, str, int, bytes, bytes | None, int]) -> Item:
        key, unit, revision, body, answer, chosen = row
        decoded = self._decoded(answer) if answer is not None else None
        return Item(key, unit, revision, body, decoded, bool(chosen))


def _migrate(db: sqlite3.Connection) -> None:
    """Create the tables of an empty file, or convert those of an older version."""
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    if tables and "item" not in tables:
        raise sqlite3.DatabaseError("contains tables of another program; name another file with --outbox")
    columns = [row[1] for row in db.execute("PRAGMA table_info(item)")]
    former = columns and "gateway" not in columns
    rename, *rest = _FROM_BEFORE_GATEWAYS.strip().splitlines(keepends=True)
    script = f"{rename} {_SCHEMA} {''.join(rest)}" if former else _SCHEMA
    if columns and not former and "chosen" not in columns:
        script += _FROM_BEFORE_CHOSEN
    statements = f"{script} DROP TABLE IF EXISTS handed_in;".split(";")[:-1]  # revisions by file
    for statement in (*statements, *outbox_proofs.STATEMENTS):
        db.execute(statement)
