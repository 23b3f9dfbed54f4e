"""Put back what a database has lost of a signed record, from a verified copy, in one transaction.

The head lock is taken before the first comparison and given back with the commit, so no report is accepted at an index
that the copy needs. What the record has must be the beginning of the copy; otherwise nothing is changed. Repeating a
restore changes nothing.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from itertools import islice

import msgspec

from gateway.election.log_record import VerifiedCopy
from gateway.election.record import next_chain
from gateway.election.registry import COUNT_MAX
from gateway.election.report import REVISION_CEILING, REVISION_STEP, decode_stored
from gateway.errors import ElectionUnknown, Refused
from gateway.humanize import counted
from gateway.journal.acts import Acts, LockedElection
from gateway.journal.connection import connect
from gateway.journal.db_errors import translate_db_errors
from gateway.journal.lock_waits import lock_waits_reported
from gateway.journal.session import Connection
from gateway.transparency.entries import registry_hash

BATCH = 500
"""Reports that one statement compares or inserts."""
STATEMENT_S = 120.0
"""Timeout of a statement of a restore, in seconds."""


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore has changed."""

    opening: bool
    """Whether the opening entry was put back."""
    reports_before: int
    reports: int
    released_at: datetime | None
    """The end of the embargo, if it was put back."""
    closed: bool
    """Whether the closing was put back."""
    holds_released: int
    holds_superseded: int
    holds_rejected: int
    checkpoints: int
    """Checkpoints that were put back."""

    @property
    def changed(self) -> bool:
        """Whether anything was changed."""
        return (
            self.opening
            or self.reports > self.reports_before
            or self.released_at is not None
            or self.closed
            or self.checkpoints > 0
        )


class Restoration(Acts):
    """Restores records on one connection. Raises JournalUnavailable, ElectionUnknown and Refused."""

    async def registry(self, election: str) -> bytes:
        """Return the registry of an election, as feeds serve it. Raises ElectionUnknown."""
        with translate_db_errors():
            document: bytes | None = await self._connection.fetchval(
                "SELECT registry FROM election WHERE id = $1", election
            )
        if document is None:
            raise ElectionUnknown(f"no election {election!r}: load the registry of the copy first")
        return document

    async def restore(self, election: str, copy: VerifiedCopy) -> Restored:
        """Put back every entry and checkpoint of a copy that the record does not have.

        Raises Refused, naming the first difference, if the record is not the beginning of the copy, or the reverse.
        """
        async with self._act(election) as locked:
            work = _Work(self._connection, locked, copy)
            restored = await work.run()
            if restored.changed:
                await self._changed(locked.key, "restore", _detail(copy, restored))
        if restored.changed:
            await self._confirm(locked.key)
        return restored

    async def _confirm(self, election: int) -> None:
        """Record that the standby has the commit, which has waited for it."""
        with translate_db_errors():
            await self._connection.execute(
                "SELECT confirm_v1(h.election, h.appends, h.accepted) FROM head h WHERE h.election = $1",
                election,
            )


class _Work:
    """One restore, under the head lock."""

    def __init__(self, connection: Connection, locked: LockedElection, copy: VerifiedCopy) -> None:
        self._connection = connection
        self._locked = locked
        self._copy = copy
        self._key = locked.key

    async def run(self) -> Restored:
        copy, key = self._copy, self._key
        opening = await self._restore_opening()
        bodies = copy.bodies()
        await self._compare(bodies)
        head = await self._connection.fetchrow(
            "SELECT accepted, chain, appends, hold_lines, hold_chain, open_holds, closed_at,"
            " greatest(clock_timestamp(), last_at) AS at FROM head WHERE election = $1",
            key,
        )
        assert head is not None
        await self._require_same_closing(head["closed_at"], head["accepted"])
        append, at = head["appends"] + 1, head["at"]
        chain = await self._insert(bodies, head["chain"])
        released_at = await self._release(append)
        holds = await self._end_holds(append, at)
        checkpoints = await self._insert_checkpoints()
        closed = copy.closing is not None and head["closed_at"] is None
        reports = max(head["accepted"], copy.reports)
        await self._connection.execute(
            "UPDATE head SET accepted = $2, chain = $3, last_at = $4, appends = $5,"
            " closed_at = coalesce(closed_at, $6),"
            " confirmed_append = CASE WHEN waits_for_standby(false) THEN confirmed_append ELSE $5 END,"
            " confirmed = CASE WHEN waits_for_standby(false) THEN confirmed ELSE $2 END"
            " WHERE election = $1",
            key,
            reports,
            chain,
            at,
            append,
            datetime.fromisoformat(copy.closing.closed_at) if copy.closing is not None else None,
        )
        return Restored(
            opening=opening,
            reports_before=head["accepted"],
            reports=reports,
            released_at=released_at,
            closed=closed,
            holds_released=holds["released"],
            holds_superseded=holds["superseded"],
            holds_rejected=holds["rejected"],
            checkpoints=checkpoints,
        )

    async def _restore_opening(self) -> bool:
        """Insert the opening entry unless it is there. Raises Refused if there is another one."""
        opening, entry = self._copy.opening, self._copy.opening.encode()
        registry = await self._connection.fetchval("SELECT registry FROM election WHERE key = $1", self._key)
        if registry_hash(registry) != opening.registry:
            raise Refused("the registry is not the one that the opening entry of the copy names")
        newest = await self._connection.fetchrow(
            "SELECT history, entry FROM opening WHERE election = $1 ORDER BY history DESC LIMIT 1", self._key
        )
        if newest is not None and newest["history"] > opening.history:
            raise Refused(
                f"the record is in its history {newest['history']}, and the copy is of history {opening.history}"
            )
        if newest is not None and newest["history"] == opening.history:
            if newest["entry"] == entry:
                return False
            raise Refused(
                f"the record is not the beginning of the copy: they differ in the opening entry,"
                f" {newest['entry'].decode()} in the record and {entry.decode()} in the copy"
            )
        await self._connection.execute(
            "INSERT INTO opening (election, history, entry, opened_at) VALUES ($1, $2, $3, $4)",
            self._key,
            opening.history,
            entry,
            datetime.fromisoformat(opening.opened_at),
        )
        return True

    async def _compare(self, bodies: Iterator[bytes]) -> None:
        """Require that all reports of the record are those of the copy, as far as both go; consume them."""
        after, last = 0, min(self._locked.accepted, self._copy.reports)
        while after < last:
            rows = await self._connection.fetch(
                "SELECT sequence, unit, revision, body FROM report"
                " WHERE election = $1 AND sequence > $2 AND sequence <= $3 ORDER BY sequence",
                self._key,
                after,
                min(last, after + BATCH),
            )
            for row, body in zip(rows, islice(bodies, len(rows)), strict=True):
                if row["body"] != body:
                    report = decode_stored(body)
                    raise Refused(
                        f"the record is not the beginning of the copy: they differ first at sequence {row['sequence']},"
                        f" which is revision {row['revision']} of unit {row['unit']} in the record and revision"
                        f" {report.revision} of unit {report.unit} in the copy"
                    )
            after += len(rows)

    async def _require_same_closing(self, closed_at: datetime | None, accepted: int) -> None:
        """Raise Refused if the copy is closed, and the record was closed at another time or has more reports."""
        closing = self._copy.closing
        if closing is None:
            if closed_at is not None and self._copy.reports > accepted:
                raise Refused(
                    f"the record is closed after {counted(accepted, 'report')}, and the copy has"
                    f" {counted(self._copy.reports, 'report')}"
                )
            return
        if accepted > self._copy.reports:
            raise Refused(
                f"the copy is closed after {counted(self._copy.reports, 'report')}, and the record has"
                f" {counted(accepted, 'report')}"
            )
        if closed_at is not None and closed_at != datetime.fromisoformat(closing.closed_at):
            raise Refused(
                f"the record was closed at {closed_at.isoformat()}, and the copy at {closing.closed_at}"
            )

    async def _insert(self, bodies: Iterator[bytes], chain: bytes) -> bytes:
        """Insert the remaining reports at their sequences, and return the chain through them."""
        sequence = self._locked.accepted
        while batch := list(islice(bodies, BATCH)):
            reports = [decode_stored(body) for body in batch]
            digests = [hashlib.sha256(body).digest() for body in batch]
            chains = [chain := next_chain(chain, digest) for digest in digests]
            sequences = range(sequence + 1, sequence + 1 + len(batch))
            await self._raise_ceilings([(each.unit, each.revision) for each in reports])
            await self._connection.execute(
                "INSERT INTO report (election, sequence, unit, revision, received_at, accepted_at, digest, chain, body)"
                " SELECT $1, s.sequence, s.unit, s.revision, s.at, s.at, s.digest, s.chain, s.body"
                " FROM unnest($2::bigint[], $3::text[], $4::integer[], $5::timestamptz[], $6::bytea[], $7::bytea[],"
                " $8::bytea[]) AS s (sequence, unit, revision, at, digest, chain, body)",
                self._key,
                list(sequences),
                [each.unit for each in reports],
                [each.revision for each in reports],
                [self._copy.published_at(each) for each in sequences],
                digests,
                chains,
                batch,
            )
            sequence += len(batch)
        return chain

    async def _raise_ceilings(self, revisions: list[tuple[str, int]]) -> None:
        """Raise the ceilings of units whose reports are above them, as somebody had done."""
        for unit, revision in revisions:
            if revision > REVISION_CEILING:
                await self._connection.execute(
                    "INSERT INTO revision_ceiling AS c (election, unit, ceiling) VALUES ($1, $2, $3)"
                    " ON CONFLICT (election, unit) DO UPDATE SET ceiling = greatest(c.ceiling, excluded.ceiling)",
                    self._key,
                    unit,
                    min(revision + REVISION_STEP, COUNT_MAX),
                )

    async def _release(self, append: int) -> datetime | None:
        """End the embargo if the copy shows that it has ended, and return when; None: nothing was changed."""
        copy = self._copy
        if self._locked.released_at is not None or copy.size <= 1:
            return None
        if copy.reports:
            released_at = copy.published_at(1)
        else:
            later = (each.signed_at for each in copy.checkpoints if each.size > 1)
            released_at = next(later, self._locked.now)
        await self._connection.execute(
            "UPDATE embargo SET publish_from = least(publish_from, $2), released_at = $2, released_by = $3"
            " WHERE election = $1",
            self._key,
            released_at,
            append,
        )
        return released_at

    async def _end_holds(self, append: int, at: datetime) -> dict[str, int]:
        """End open holds as the record shows that they have ended, each with a line.

        One whose report is in the record was released, one with a later report superseded; any other of a closed record
        was rejected.
        """
        ended = {"released": 0, "superseded": 0, "rejected": 0}
        rows = await self._connection.fetch(
            "SELECT h.unit, h.revision, h.digest, h.codes, released.sequence,"
            " (SELECT max(r.revision) FROM report r WHERE r.election = h.election AND r.unit = h.unit) AS newest"
            " FROM hold h LEFT JOIN report released ON released.election = h.election AND released.unit = h.unit"
            " AND released.revision = h.revision AND released.digest = h.digest"
            " WHERE h.election = $1 AND h.state = 'open' ORDER BY released.sequence, h.since, h.unit",
            self._key,
        )
        for row in rows:
            if row["sequence"] is not None:
                state, reason = "released", "confirmed"
            elif (row["newest"] or 0) >= row["revision"]:
                state, reason = "superseded", None
            elif self._copy.closing is not None:
                state, reason = "rejected", "other"
            else:
                continue
            ended[state] += 1
            await self._connection.execute(
                "UPDATE hold SET state = $4, ended_at = $5, decided_by = CASE WHEN $6::text IS NOT NULL THEN 0 END,"
                " reason = $6, note = CASE WHEN $6 IS NOT NULL THEN 'record restore' END, sequence = $7, append = $8"
                " WHERE election = $1 AND unit = $2 AND revision = $3",
                self._key,
                row["unit"],
                row["revision"],
                state,
                at,
                reason,
                row["sequence"],
                append,
            )
            await self._connection.execute(
                "UPDATE head SET open_holds = open_holds - 1, hold_lines = hold_lines + 1, hold_chain = add_hold_line("
                "election, $2, hold_chain, hold_lines + 1, $3, $4, $5, $6, $7, $8, $9) WHERE election = $1",
                self._key,
                append,
                at,
                row["unit"],
                row["revision"],
                row["codes"],
                state,
                reason,
                row["digest"] if state == "released" else None,
            )
        return ended

    async def _insert_checkpoints(self) -> int:
        """Insert the checkpoints and cosignatures that are missing, and end the round of a signer that runs.

        Raises Refused if the record has a checkpoint that the entries of the copy contradict.
        """
        copy, history = self._copy, self._copy.opening.history
        known = {
            row["size"]: row["root"]
            for row in await self._connection.fetch(
                "SELECT size, root FROM checkpoint WHERE election = $1 AND history = $2", self._key, history
            )
        }
        for size, root in known.items():
            if size <= copy.size and copy.root(size) != root:
                raise Refused(f"the record has a checkpoint of size {size} with another root than the copy's")
        missing = [each for each in copy.checkpoints if each.size not in known]
        await self._connection.execute(
            "INSERT INTO log (election, history, origin, vkeys, witnesses) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT (election, history) DO NOTHING",
            self._key,
            history,
            copy.origin,
            list(copy.vkeys),
            list(copy.witnesses),
        )
        await self._connection.executemany(
            "INSERT INTO checkpoint (election, history, size, root, signed_at, note) VALUES ($1, $2, $3, $4, $5, $6)",
            [(self._key, history, each.size, each.root, each.signed_at, each.note) for each in missing],
        )
        await self._connection.executemany(
            "INSERT INTO cosignature AS c (election, history, size, witness, at, line) VALUES ($1, $2, $3, $4, $5, $6)"
            " ON CONFLICT (election, history, size, witness) DO UPDATE SET at = excluded.at, line = excluded.line"
            " WHERE c.at < excluded.at",
            [(self._key, history, each.size, each.witness, each.at, each.line) for each in copy.cosignatures],
        )
        if missing:
            await self._connection.execute(
                "INSERT INTO signer AS s (election, fence, changes, checkpoints) VALUES ($1, 1, 1, $2)"
                " ON CONFLICT (election) DO UPDATE SET fence = s.fence + 1, changes = s.changes + 1,"
                " checkpoints = s.checkpoints + $2",
                self._key,
                len(missing),
            )
        return len(missing)


def _detail(copy: VerifiedCopy, restored: Restored) -> str:
    reports = counted(restored.reports - restored.reports_before, "report")
    checkpoints = counted(restored.checkpoints, "checkpoint")
    return f"{reports} and {checkpoints} of {copy.origin}, up to size {copy.size}"


@asynccontextmanager
async def restoration(
    url: str, author: str, on_wait: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Restoration]:
    """Open a connection to restore records as `author`; `on_wait` is called with a text while it waits for a lock."""
    connection = await connect(url, statement_s=STATEMENT_S)
    try:
        async with lock_waits_reported(connection, partial(connect, url), on_wait):
            yield Restoration(connection, author)
    finally:
        connection.terminate()
