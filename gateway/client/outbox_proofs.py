"""What an outbox keeps for the check of the record: proofs of its reports, and the areas of the tokens that sent them.

Independent of the network and of what a proof contains.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from gateway.client.outbox_file import OutboxFile
from gateway.client.outbox_items import Destination, Item
from gateway.client.push_answers import Answer

STATEMENTS = (
    "CREATE TABLE IF NOT EXISTS proof (item INTEGER PRIMARY KEY, file BLOB NOT NULL, stored_at REAL NOT NULL) STRICT",
    """CREATE TABLE IF NOT EXISTS token (gateway TEXT NOT NULL, election TEXT NOT NULL, token TEXT NOT NULL,
    areas TEXT NOT NULL, PRIMARY KEY (gateway, election, token)) STRICT""",
    """CREATE TRIGGER IF NOT EXISTS item_deleted AFTER DELETE ON item BEGIN
    DELETE FROM proof WHERE item = OLD.key; END""",
    """CREATE TRIGGER IF NOT EXISTS item_replaced AFTER UPDATE OF body ON item WHEN OLD.body <> NEW.body BEGIN
    DELETE FROM proof WHERE item = OLD.key; END""",
)
"""Create the tables in a file that has those of `outbox`. Keys of deleted reports are used again by SQLite."""
PAGE_ROWS = 500
_NEVER_PUBLISHED = ("rejected", "superseded")
"""States of a receipt whose report has no position in the record, and gets none."""


class StoredProof(msgspec.Struct, frozen=True):
    """The proof of a report in the outbox."""

    unit: str
    revision: int
    file: bytes


class OutboxProofs:
    """The proofs and areas of an outbox. Invariant: a proof belongs to the report that is stored, byte for byte.

    Every method raises OutboxUnavailable.
    """

    def __init__(self, file: OutboxFile, item: Callable[[Any], Item]) -> None:
        self._file = file
        self._item = item

    def missing(self, to: Destination, after_key: int = 0) -> Iterator[Item]:
        """Return the reports with a receipt and without a proof that may be in the record, in the order of insertion.

        The first is the one after `after_key`. Their answer has no `sequence` if the report was not public yet.
        """
        query = (
            "SELECT key, unit, revision, body, answer, chosen FROM item LEFT JOIN proof ON proof.item = item.key"
            " WHERE gateway = ? AND election = ? AND answer IS NOT NULL AND NOT waits AND proof.item IS NULL"
            " AND key > ? ORDER BY key LIMIT ?"
        )
        while rows := self._file.rows(query, to.gateway, to.election, after_key, PAGE_ROWS):
            after_key = rows[-1][0]
            for item in map(self._item, rows):
                if item.answer is not None and _may_be_public(item.answer):
                    yield item

    def store(self, proofs: Sequence[tuple[Item, bytes]]) -> None:
        """Store proofs of reports as they were read; one that has changed since gets none. All or none are stored."""
        now = time.time()
        with self._file.transaction():
            self._file.run_many(
                "INSERT OR REPLACE INTO proof (item, file, stored_at)"
                " SELECT key, ?, ? FROM item WHERE key = ? AND body = ?",
                [(file, now, item.key, item.body) for item, file in proofs],
            )

    def stored(self, to: Destination) -> Iterator[StoredProof]:
        """Return the proofs of reports for a destination, in the order in which the reports were added."""
        query = (
            "SELECT key, unit, revision, file FROM item JOIN proof ON proof.item = item.key"
            " WHERE gateway = ? AND election = ? AND key > ? ORDER BY key LIMIT ?"
        )
        last_key = 0
        while rows := self._file.rows(query, to.gateway, to.election, last_key, PAGE_ROWS):
            for key, unit, revision, file in rows:
                last_key = key
                yield StoredProof(unit, revision, file)

    def proved(self, to: Destination) -> Iterator[Item]:
        """Return the reports that have a proof, in the order in which they were added."""
        query = (
            "SELECT key, unit, revision, body, answer, chosen FROM item JOIN proof ON proof.item = item.key"
            " WHERE gateway = ? AND election = ? ORDER BY key"
        )
        yield from map(self._item, self._file.rows(query, to.gateway, to.election))

    def counts(self, election: str | None) -> list[tuple[str, str, int]]:
        """Return by gateway and election, of one election or of all, how many reports have a proof, if any has."""
        query = (
            "SELECT gateway, election, count(*) FROM item JOIN proof ON proof.item = item.key"
            " WHERE election = ? OR ? IS NULL GROUP BY 1, 2 ORDER BY 2, 1"
        )
        return [tuple(row) for row in self._file.rows(query, election, election)]

    def of(self, key: int) -> bytes | None:
        """Return the proof of a report; None if it has none."""
        rows = self._file.rows("SELECT file FROM proof WHERE item = ?", key)
        return rows[0][0] if rows else None

    def note_receipts(self, answered: Sequence[tuple[Item, Answer]]) -> None:
        """Replace the receipts of reports by newer ones of the same report, which may have a `sequence` by now."""
        rows = [
            (msgspec.json.encode(answer), item.key, item.body)
            for item, answer in answered
            if answer.has_receipt
        ]
        with self._file.transaction():
            self._file.run_many("UPDATE item SET answer = ? WHERE key = ? AND body = ? AND NOT waits", rows)

    def knows_token(self, to: Destination, token: str) -> bool:
        """Whether the areas of a token are stored."""
        query = "SELECT 1 FROM token WHERE gateway = ? AND election = ? AND token = ?"
        return bool(self._file.rows(query, to.gateway, to.election, _name_of(token)))

    def note_areas(self, to: Destination, token: str, areas: Sequence[str]) -> None:
        """Store the areas of a token, of which only a part of a hash is kept."""
        with self._file.transaction():
            self._file.rows(
                "INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?)",
                to.gateway,
                to.election,
                _name_of(token),
                msgspec.json.encode(sorted(areas)).decode(),
            )

    def areas(self, to: Destination) -> list[str]:
        """Return the areas of all tokens with which reports were sent to a destination; empty if none are known."""
        rows = self._file.rows(
            "SELECT areas FROM token WHERE gateway = ? AND election = ?", to.gateway, to.election
        )
        try:
            found = {area for (areas,) in rows for area in msgspec.json.decode(areas, type=list[str])}
        except msgspec.DecodeError as error:
            raise self._file.damaged(error) from None
        return sorted(found)


def _may_be_public(answer: Answer) -> bool:
    return answer.has_receipt and answer.state not in _NEVER_PUBLISHED


def _name_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:16]
