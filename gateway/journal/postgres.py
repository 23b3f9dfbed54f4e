"""The journal in Postgres: append a batch, and read back a sender's own reports.

One append is one call of one function in the database, which takes the election's head lock first; see
`migrations/0002_embargo.sql`. Feeds read the record under another role: see `record.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import lru_cache
from itertools import repeat
from typing import ClassVar, Protocol

import asyncpg
import msgspec
import orjson

from gateway.deadline import Deadline
from gateway.election.registry import Registry, read_registry
from gateway.election.rules.policy import Policy
from gateway.election.validation import ValidReport
from gateway.errors import ElectionUnknown, JournalUnavailable, StandbyMissing
from gateway.journal.announcer import Announcer
from gateway.journal.connection import CONNECT_S, Pool, acquired
from gateway.journal.db_errors import VERSION_CHANGED, LocalCommit, translate_db_errors
from gateway.journal.holds import HoldJournal
from gateway.journal.session import COMMIT_SETTINGS, Connection

WRITERS_FREE = 3
"""Connections of a pool that readers leave free for writers, if it has so many."""
REGISTRIES_MAX = 8
"""Decoded registries that are kept; decoding one of Norway's size takes about 25 ms, and it uses 4 MB."""
SETTLED_S = 2.0
"""How long a configuration of the server must be in force before a required standby is relied on. Commits wait only
once the checkpointer has taken over the setting: usually within milliseconds, at worst after the last flushes of a
checkpoint."""
READ_AGAIN_MAX = 10
"""How many times an election is read if it keeps changing meanwhile."""


class New(msgspec.Struct, frozen=True, gc=False):
    """The report was appended."""

    sequence: int
    previous_revision: int
    """The unit's current revision before it; 0 if it is the first."""


class Known(msgspec.Struct, frozen=True, gc=False):
    """The same report was appended before."""

    sequence: int
    accepted_at: datetime


class Conflict(msgspec.Struct, frozen=True, gc=False):
    """Another report of the same unit and revision was appended before."""

    code: ClassVar[str] = "revision_conflict"
    sequence: int
    current_revision: int


class Stale(msgspec.Struct, frozen=True, gc=False):
    """The unit has a later revision."""

    code: ClassVar[str] = "stale_revision"
    current_revision: int


class Closed(msgspec.Struct, frozen=True, gc=False):
    """The election is closed for new reports."""

    code: ClassVar[str] = "election_closed"
    current_revision: int
    """0 if the unit has no report."""


Decision = New | Known | Conflict | Stale | Closed
"""What an append decided on one report."""


class Appended(msgspec.Struct, frozen=True):
    """What one append decided."""

    at: datetime
    released_at: datetime | None
    decisions: Sequence[Decision] = ()
    """One per report, in the order given."""
    number: int = 0
    """The number of the append, counted from 1 per election."""
    accepted: int = 0
    """How many reports the election has after it."""
    waits_for_standby: bool = False
    """Whether its commit waited for a synchronous standby."""


class TokenRow(msgspec.Struct, frozen=True):
    """One token that is not revoked. The token itself is not kept, only its SHA-256."""

    key: int
    digest: bytes
    areas: frozenset[str]
    role: str
    expires_at: datetime | None


class ElectionRow(msgspec.Struct, frozen=True):
    """An election at one version: what reports are checked against."""

    key: int
    version: int
    registry: Registry
    publish_from: datetime
    released: bool
    closed: bool
    tokens: Sequence[TokenRow]
    ceilings: Mapping[str, int] = {}
    """The highest revision of each unit for which it was raised."""
    policy: Policy | None = None
    """What an operator set; None: that of the registry."""


class StoredReport(msgspec.Struct, frozen=True):
    """A unit's current report and its place in the record."""

    body: bytes
    digest: bytes
    sequence: int
    revision: int
    accepted_at: datetime
    released_at: datetime | None
    previous: bytes | None
    """The body of the report with the next lower revision; None if this is the first."""


class CurrentReport(msgspec.Struct, frozen=True):
    """The current report of one of several units."""

    unit: str
    body: bytes
    sequence: int
    accepted_at: datetime
    released_at: datetime | None


class TransferRow(msgspec.Struct, frozen=True):
    """What the journal has of one unit, including embargoed reports."""

    unit: str
    accepted: int
    last_accepted_at: datetime


class Journal(Protocol):
    """The part of a journal that the writer needs."""

    async def append(
        self, election: int, version: int, reports: Sequence[ValidReport], received: Sequence[datetime]
    ) -> Appended:
        """Decide on reports in order; those that are accepted are durable when this returns.

        Raises VersionChanged, Unstorable (none was appended) or JournalUnavailable (the outcome is unknown).
        """

    async def predecessors(self, election: int, reports: Sequence[tuple[str, int]]) -> Sequence[bytes | None]:
        """Return, for each unit and revision, the report with the next lower revision. Raises JournalUnavailable."""


class PostgresJournal(HoldJournal):
    """The journal of the push door. Every method raises JournalUnavailable if Postgres does not answer. Invariants:

    * Everything that an append returns, or that a receipt can be made from, is committed on the synchronous standby
      too, if there is one. With `require_standby` there is one, or StandbyMissing is raised.
    * Readers leave WRITERS_FREE connections to writers, and wait for the others in turn.
    """

    def __init__(
        self, pool: Pool, announcer: Announcer | None = None, *, require_standby: bool = False
    ) -> None:
        self._pool = pool
        self._announcer = announcer
        self._require_standby = require_standby
        self._readers = asyncio.Semaphore(max(1, pool.get_max_size() - WRITERS_FREE))

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Connection]:
        """Provide a connection for a reader; raise TimeoutError if none is free within CONNECT_S."""
        async with Deadline(CONNECT_S):
            await self._readers.acquire()
        try:
            async with acquired(self._pool) as connection:
                yield connection
        finally:
            self._readers.release()

    async def append(
        self, election: int, version: int, reports: Sequence[ValidReport], received: Sequence[datetime]
    ) -> Appended:
        """See `Journal.append`."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                appended = await _append(
                    connection, election, version, reports, received, require_standby=self._require_standby
                )
        self._announce(election, appended)
        return appended

    def _announce(self, election: int, appended: Appended) -> None:
        """Pass on a commit that has returned, so that the announcer notifies the feeds."""
        if self._announcer is not None:
            self._announcer.committed(
                election,
                append=appended.number if appended.waits_for_standby else None,
                accepted=appended.accepted,
                released=appended.released_at is not None,
            )

    async def predecessors(self, election: int, reports: Sequence[tuple[str, int]]) -> Sequence[bytes | None]:
        """See `Journal.predecessors`."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                rows = await connection.fetch(
                    "SELECT (SELECT r.body FROM report r WHERE r.election = $1 AND r.unit = s.unit"
                    "   AND r.revision < s.revision ORDER BY r.revision DESC LIMIT 1)"
                    " FROM unnest($2::text[], $3::integer[]) WITH ORDINALITY AS s (unit, revision, place)"
                    " ORDER BY place",
                    election,
                    [unit for unit, _ in reports],
                    [revision for _, revision in reports],
                )
        return [row[0] for row in rows]

    async def versions(self) -> dict[str, tuple[int, bool]]:
        """Return the version of every election, and whether it is released."""
        with translate_db_errors():
            async with self._reading() as connection:
                rows = await connection.fetch(
                    "SELECT e.id, h.version, m.released_at IS NOT NULL"
                    " FROM election e JOIN head h ON h.election = e.key JOIN embargo m ON m.election = e.key"
                )
        return {row[0]: (row[1], row[2]) for row in rows}

    async def election(self, identifier: str) -> ElectionRow:
        """Return an election as it is now, all parts at one version. Raises ElectionUnknown."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                row, tokens = await _election(connection, identifier)
        return ElectionRow(
            key=row["key"],
            version=row["version"],
            registry=registry_of(row["registry"]),
            publish_from=row["publish_from"],
            released=row["released_at"] is not None,
            closed=row["closed_at"] is not None,
            tokens=[
                TokenRow(
                    each["key"], each["digest"], frozenset(each["areas"]), each["role"], each["expires_at"]
                )
                for each in tokens
            ],
            ceilings=dict(zip(row["ceiling_units"], row["ceilings"], strict=True)),
        )

    async def current_report(self, election: int, unit: str) -> StoredReport | None:
        """Return the unit's current report, None before its first."""
        rows = await self._read_durable(
            election,
            "SELECT h.version, r.body, r.digest, r.sequence, r.revision, r.accepted_at, m.released_at,"
            "   (SELECT p.body FROM report p WHERE p.election = r.election AND p.unit = r.unit"
            "    AND p.revision < r.revision ORDER BY p.revision DESC LIMIT 1)"
            " FROM report r JOIN head h ON h.election = r.election"
            " JOIN embargo m ON m.election = r.election"
            " WHERE r.election = $1 AND h.election = $1 AND r.unit = $2 ORDER BY r.revision DESC LIMIT 1",
            unit,
        )
        return StoredReport(*tuple(rows[0])[1:]) if rows else None

    async def current_reports(self, election: int, units: Iterable[str]) -> list[CurrentReport]:
        """Return the current reports of units, of those that have one."""
        rows = await self._read_durable(
            election,
            "SELECT h.version, r.unit, r.body, r.sequence, r.accepted_at, m.released_at"
            " FROM head h JOIN embargo m ON m.election = h.election CROSS JOIN unnest($2::text[]) AS s (unit)"
            " CROSS JOIN LATERAL (SELECT unit, body, sequence, accepted_at FROM report"
            "   WHERE election = $1 AND unit = s.unit ORDER BY revision DESC LIMIT 1) AS r"
            " WHERE h.election = $1",
            list(units),
        )
        return [CurrentReport(*tuple(row)[1:]) for row in rows]

    async def _read_durable(self, election: int, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Return the rows of a query about reports, the first column of which is the election's version.

        Receipts are made from them, so an empty append follows on the same connection: its commit waits for all before
        it, while a report that was read may still have been waiting for the standby.
        """
        with translate_db_errors():
            async with self._reading() as connection:
                for _ in range(READ_AGAIN_MAX):
                    rows: list[asyncpg.Record] = await connection.fetch(query, election, *arguments)
                    if not rows:
                        return []
                    try:
                        appended = await _append(
                            connection, election, rows[0][0], (), (), require_standby=self._require_standby
                        )
                        self._announce(election, appended)
                        return rows
                    except asyncpg.PostgresError as error:
                        if error.sqlstate != VERSION_CHANGED:
                            raise
        raise JournalUnavailable("the election kept changing while its reports were read")

    async def transfers(
        self, election: int, units: Iterable[str]
    ) -> tuple[datetime | None, list[TransferRow]]:
        """Return the end of the embargo, None after the release, and what the journal has of each of these units."""
        with translate_db_errors():
            async with self._reading() as connection:
                rows = await connection.fetch(
                    "SELECT CASE WHEN m.released_at IS NULL THEN m.publish_from END,"
                    "   r.unit, r.accepted, r.last_accepted_at"
                    " FROM embargo m LEFT JOIN ("
                    "   SELECT unit, count(*) AS accepted, max(accepted_at) AS last_accepted_at FROM report"
                    "   WHERE election = $1 AND unit = ANY ($2) GROUP BY unit) r ON true WHERE m.election = $1",
                    election,
                    list(units),
                )
        return rows[0][0], [TransferRow(*tuple(row)[1:]) for row in rows if row[1] is not None]

    async def record_contacts(self, seen: dict[int, datetime]) -> None:
        """Record when each token, given by its key, was last used."""
        with translate_db_errors():
            async with self._reading() as connection:
                await connection.execute(
                    "INSERT INTO contact AS c (election, token, last_at)"
                    " SELECT t.election, s.token, s.last_at"
                    " FROM unnest($1::bigint[], $2::timestamptz[]) AS s (token, last_at)"
                    " JOIN token t ON t.key = s.token ORDER BY s.token ON CONFLICT (election, token)"
                    " DO UPDATE SET last_at = greatest(c.last_at, excluded.last_at)",
                    list(seen),
                    list(seen.values()),
                )

    async def contacts(self, election: int) -> dict[str, datetime]:
        """Return when a token of each area was last used."""
        with translate_db_errors():
            async with self._reading() as connection:
                rows = await connection.fetch(
                    "SELECT area, max(c.last_at) FROM contact c JOIN token t ON t.key = c.token"
                    " CROSS JOIN LATERAL unnest(t.areas) AS area WHERE c.election = $1 GROUP BY area",
                    election,
                )
        return {row[0]: row[1] for row in rows}


@lru_cache(REGISTRIES_MAX)
def registry_of(document: bytes) -> Registry:
    """Decode a registry document; the same one is decoded once, since each act and release reads elections again."""
    return read_registry(orjson.loads(document), stored=True)


async def _election(connection: Connection, identifier: str) -> tuple[asyncpg.Record, list[asyncpg.Record]]:
    """Read an election and its tokens: two statements, repeated if the version changed between them.

    A transaction would have to be ended, and a connection that does not answer is closed without waiting for that.
    """
    for _ in range(READ_AGAIN_MAX):
        row = await connection.fetchrow(
            "SELECT e.key, e.registry, h.version, m.publish_from, m.released_at, h.closed_at,"
            " ARRAY(SELECT c.unit FROM revision_ceiling c WHERE c.election = e.key ORDER BY c.unit) AS ceiling_units,"
            " ARRAY(SELECT c.ceiling FROM revision_ceiling c WHERE c.election = e.key ORDER BY c.unit) AS ceilings"
            " FROM election e JOIN head h ON h.election = e.key JOIN embargo m ON m.election = e.key"
            " WHERE e.id = $1",
            identifier,
        )
        if row is None:
            raise ElectionUnknown(f"no election {identifier!r}")
        rows = await connection.fetch(
            "SELECT h.version, t.key, t.digest, t.areas, t.role, t.expires_at FROM head h"
            " LEFT JOIN token t ON t.election = h.election AND t.revoked_at IS NULL WHERE h.election = $1",
            row["key"],
        )
        if rows and rows[0]["version"] == row["version"]:
            return row, [each for each in rows if each["key"] is not None]
    raise JournalUnavailable("the election kept changing while it was read")


async def _require_waited(connection: Connection, committed_after: datetime) -> None:
    """Require that a commit of this session, begun at a time of the server's clock, waited for a synchronous standby.

    Each process of the server takes over the setting at a different moment. So it must be in force after the commit as
    it was SETTLED_S before, with no reload since then. Raises StandbyMissing, or JournalUnavailable if that is not
    certain.
    """
    row = await connection.fetchrow(
        "SELECT current_setting('synchronous_standby_names') <> '' AS named,"
        " pg_conf_load_time() < $1::timestamptz - make_interval(secs => $2) AS settled",
        committed_after,
        SETTLED_S,
    )
    assert row is not None
    if not row["named"]:
        raise StandbyMissing("the server no longer waits for a synchronous standby")
    if not row["settled"]:
        raise JournalUnavailable(
            "the server's configuration has just been reloaded; whether it waits is not known yet"
        )


async def _append(
    connection: Connection,
    election: int,
    version: int,
    reports: Sequence[ValidReport],
    received: Sequence[datetime],
    *,
    require_standby: bool,
) -> Appended:
    with LocalCommit(connection) as local:
        row = await connection.fetchrow(
            f"SELECT a.*, {COMMIT_SETTINGS}, clock_timestamp() AS committed_after"  # noqa: S608
            " FROM append_v2($1, $2, $3, $4, $5, $6, $7, $8) AS a",
            election,
            version,
            [valid.report.unit for valid in reports],
            [valid.report.revision for valid in reports],
            [valid.digest for valid in reports],
            [valid.body for valid in reports],
            received,
            require_standby,
        )
        await local.rule_out()
    assert row is not None
    if require_standby:
        await _require_waited(connection, row["committed_after"])
    return Appended(
        row["at"],
        row["released_at"],
        _decisions(row, reports),
        row["append_number"],
        row["accepted"],
        row["waits_for_standby"],
    )


def _decisions(row: asyncpg.Record, reports: Sequence[ValidReport]) -> list[Decision]:
    """Return the decision on each report of an append."""
    if not reports:
        return []
    sequences, revisions_before = row["sequences"], row["revisions_before"]
    if row["found_sequences"] is None:  # every report is new
        return list(map(New, sequences, revisions_before))
    revisions = [valid.report.revision for valid in reports]
    found = row["found_sequences"], row["found_at"], row["found_same"]
    return list(map(_decision, repeat(row["closed"]), revisions, sequences, revisions_before, *found))


def _decision(
    closed: bool,
    revision: int,
    sequence: int | None,
    current_revision: int,
    found_sequence: int | None,
    found_at: datetime | None,
    found_same: bool | None,
) -> Decision:
    """Return the decision on one report.

    `current_revision` is the unit's before it, and `found_...` describe the report with the same unit and revision.
    """
    if sequence is not None:
        return New(sequence, current_revision)
    if found_sequence is not None:
        assert found_at is not None
        return Known(found_sequence, found_at) if found_same else Conflict(found_sequence, current_revision)
    if revision <= current_revision:
        return Stale(current_revision)
    assert closed
    return Closed(current_revision)
