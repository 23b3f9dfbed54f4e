"""The journal in Postgres: append a batch, and read back a sender's own reports.

One append is one call of one function in the database, which takes the election's head lock first; see
`migrations/0002_embargo.sql`, `0006_holds.sql` and `0010_append.sql`. Feeds read the record under another role: see
`record.py`.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import lru_cache

import asyncpg
import msgspec
import orjson
import structlog

from gateway.election.outcome import HoldNotice, State, state_of
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.rules.policy import Policy
from gateway.election.validation import ValidReport
from gateway.errors import ElectionUnknown, JournalUnavailable, MalformedPolicy
from gateway.journal.appending import LOCK, LOCK_IDLE_MS, LockedAppend, append, locked_head
from gateway.journal.connection import acquired
from gateway.journal.continuation import LOCKED_BYTES, Continuation, read_continuation, read_ends
from gateway.journal.db_errors import VERSION_CHANGED, translate_db_errors
from gateway.journal.decisions import Appended, Ends, Evaluated
from gateway.journal.holds import HoldJournal
from gateway.journal.session import Connection

log = structlog.get_logger()

REGISTRIES_MAX = 8
"""Decoded registries that are kept; decoding one of Norway's size takes about 25 ms, and it uses 4 MB."""
READ_AGAIN_MAX = 10
"""How many times an election is read if it keeps changing meanwhile."""


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


class StoredReport(msgspec.Struct, frozen=True, kw_only=True):
    """The newest revision of a unit, whatever its state."""

    unit: str
    revision: int
    body: bytes
    digest: bytes
    sequence: int | None
    """None if it has no position."""
    accepted_at: datetime
    placed_at: datetime | None
    released_at: datetime | None
    """The end of the embargo; None while it lasts."""
    warnings: tuple[str, ...]
    """The warnings of rules in its first receipt."""
    hold: HoldNotice | None
    """None if it was never held."""
    current_revision: int | None
    """The revision of the unit's current report; None if it has none."""
    previous: bytes | None
    """The body of the placed report with the next lower revision; None if there is none."""

    @property
    def state(self) -> State:
        """Its state."""
        return state_of(self.hold, self.released_at)

    @property
    def current(self) -> bytes | None:
        """The body of the unit's current report, None if it has none."""
        return self.body if self.revision == self.current_revision else self.previous


class TransferRow(msgspec.Struct, frozen=True):
    """What the journal has of one unit, including embargoed and held reports."""

    unit: str
    accepted: int
    """Reports in the record."""
    last_accepted_at: datetime | None
    held_since: datetime | None
    """Since when the unit has been held; None if it is not."""


class PostgresJournal(HoldJournal):
    """The journal of the push door. Every method raises JournalUnavailable if Postgres does not answer. Invariants:

    * Everything that an append returns, or that a receipt can be made from, is committed on the synchronous standby
      too, if there is one. With `require_standby` there is one, or StandbyMissing is raised.
    * Readers leave WRITERS_FREE connections to writers, and wait for the others in turn.
    """

    async def append(
        self,
        election: int,
        version: int,
        reports: Sequence[ValidReport],
        received: Sequence[datetime],
        evaluated: Evaluated | None = None,
        *,
        predecessors: bool = False,
    ) -> Appended:
        """See `Journal.append`."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                appended = await append(
                    connection,
                    election,
                    version,
                    reports,
                    received,
                    evaluated,
                    require_standby=self._require_standby,
                    predecessors=predecessors,
                )
        self._announce(election, appended)
        return appended

    @asynccontextmanager
    async def locked(self, election: int, version: int, known: Ends) -> AsyncIterator[LockedAppend]:
        """See `Journal.locked`."""
        with translate_db_errors():
            async with acquired(self._pool) as connection, locked_head(connection):
                row = await connection.fetchrow(LOCK, election, version, LOCK_IDLE_MS)
                assert row is not None
                continuation = await read_continuation(connection, election, known, Ends(*row), LOCKED_BYTES)
                yield LockedAppend(
                    connection,
                    election,
                    version,
                    continuation,
                    self._announce,
                    require_standby=self._require_standby,
                )

    async def continuation(self, election: int, known: Ends) -> Continuation:
        """See `Journal.continuation`."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                ends = await read_ends(connection, election)
                if ends is None:
                    raise ElectionUnknown(f"no election with key {election}")
                return await read_continuation(connection, election, known, ends)

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
        registry = registry_of(row["registry"])
        return ElectionRow(
            key=row["key"],
            version=row["version"],
            registry=registry,
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
            policy=_policy(registry, identifier, row["rules"]),
        )

    async def newest_report(self, election: int, unit: str) -> StoredReport | None:
        """Return the newest revision of a unit, None before its first."""
        found = await self.newest_reports(election, [unit])
        return found[0] if found else None

    async def newest_reports(self, election: int, units: Iterable[str]) -> list[StoredReport]:
        """Return the newest revisions of units, of those that have one."""
        wanted = list(units)
        if not wanted:
            return []
        return [_stored_report(row) for row in await self._read_durable(election, _NEWEST, wanted)]

    async def _read_durable(self, election: int, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Return the rows of a query about reports, the first column of which is the election's version.

        Receipts are made from them, so an empty append follows on the same connection: its commit waits for all before
        it, while a report that was read may still have been waiting for the standby. It also follows if there are no
        rows: a server that is no longer the primary, and cannot commit, may lack what another one has committed.
        """
        with translate_db_errors():
            async with self._reading() as connection:
                for _ in range(READ_AGAIN_MAX):
                    rows: list[asyncpg.Record] = await connection.fetch(query, election, *arguments)
                    version = rows[0][0] if rows else await connection.fetchval(_VERSION, election)
                    try:
                        appended = await append(
                            connection, election, version, (), (), require_standby=self._require_standby
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
                    "   r.unit, coalesce(r.accepted, 0), r.last_accepted_at, r.since"
                    " FROM embargo m LEFT JOIN ("
                    "   (SELECT unit, count(*) AS accepted, max(accepted_at) AS last_accepted_at FROM report"
                    "    WHERE election = $1 AND unit = ANY ($2) GROUP BY unit) p"
                    "   FULL JOIN (SELECT unit, since FROM hold"
                    "    WHERE election = $1 AND unit = ANY ($2) AND state = 'open') o USING (unit)"
                    " ) r ON true WHERE m.election = $1",
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


_VERSION = "SELECT version FROM head WHERE election = $1"

_NEWEST = """
SELECT h.version, s.unit, coalesce(r.revision, k.revision) AS revision, coalesce(r.body, k.body) AS body,
    coalesce(r.digest, k.digest) AS digest, r.sequence, coalesce(k.accepted_at, r.accepted_at) AS accepted_at,
    r.accepted_at AS placed_at, m.released_at, coalesce(k.warnings, r.warnings) AS warnings,
    current.revision AS current, k.state, k.since, k.codes, k.ended_at, k.reason,
    (SELECT p.body FROM report p WHERE p.election = $1 AND p.unit = s.unit
     AND p.revision < coalesce(r.revision, k.revision) ORDER BY p.revision DESC LIMIT 1) AS previous
FROM head h JOIN embargo m ON m.election = h.election CROSS JOIN unnest($2::text[]) AS s (unit)
CROSS JOIN LATERAL (
    SELECT max(p.revision) AS revision FROM report p WHERE p.election = $1 AND p.unit = s.unit) AS current
CROSS JOIN LATERAL (
    SELECT max(p.revision) AS revision FROM hold p WHERE p.election = $1 AND p.unit = s.unit) AS held
LEFT JOIN report r ON r.election = $1 AND r.unit = s.unit
    AND r.revision = greatest(current.revision, held.revision)
LEFT JOIN hold k ON k.election = $1 AND k.unit = s.unit AND k.revision = greatest(current.revision, held.revision)
WHERE h.election = $1 AND greatest(current.revision, held.revision) IS NOT NULL
"""


def _stored_report(row: asyncpg.Record) -> StoredReport:
    held = row["state"] is not None
    return StoredReport(
        unit=row["unit"],
        revision=row["revision"],
        body=row["body"],
        digest=row["digest"],
        sequence=row["sequence"],
        accepted_at=row["accepted_at"],
        placed_at=row["placed_at"],
        released_at=row["released_at"],
        warnings=tuple(row["warnings"] or ()),
        hold=HoldNotice(row["state"], row["since"], tuple(row["codes"]), row["ended_at"], row["reason"])
        if held
        else None,
        current_revision=row["current"],
        previous=row["previous"],
    )


def _policy(registry: Registry, election: str, document: str | None) -> Policy | None:
    """Return the policy that an operator set, None if there is none; of one by another version, what is known here."""
    if document is None:
        return None
    try:
        return registry.read_policy(orjson.loads(document))
    except MalformedPolicy as error:
        log.error(
            "the rules that were set are not all known; those that are not only warn",
            election=election,
            error=str(error),
        )
        return registry.stored_policy(orjson.loads(document))


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
            " (SELECT s.document FROM rules s WHERE s.election = e.key ORDER BY s.key DESC LIMIT 1) AS rules,"
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
