"""Administrative acts: registries, embargo, closing, tokens, ceilings of revisions.

Each takes the head lock of its election, as an append does, raises the election's version and is recorded with time
and author. So no report is ever accepted by rules that had already changed.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime

import asyncpg
import msgspec
import orjson

from gateway.election.registry import COUNT_MAX, Registry, differences, read_registry
from gateway.election.report import REVISION_CEILING, REVISION_STEP
from gateway.errors import ElectionStarted, ElectionUnknown, JournalUnavailable, Refused
from gateway.journal.connection import (
    ACT,
    CHANNEL,
    COMMIT_SETTINGS,
    CommittedLocally,
    Connection,
    LocalCommit,
    connect,
    translate_db_errors,
)
from gateway.journal.postgres import registry_of

TOKEN_PREFIX = "vgn_"  # noqa: S105 - a mark by which scanners for secrets know one, not a secret


NOTIFY_S = 2.0
"""What the notification of an act may take; without it, push processes see the act within a second."""
_LOCALLY = (
    "committed on the primary, but its wait for the synchronous standby was cut short: a failover can still lose it."
    " Repeat the command once the standby is back; it changes nothing twice, and then ends without this message"
)

_UNKNOWN = (
    "Postgres did not answer in time, perhaps because a commit waits for a synchronous standby that is away: the act"
    " may have happened or not. See whether it did, and repeat the command"
)


class ElectionSummary(msgspec.Struct, frozen=True):
    """An election as an operator sees it."""

    id: str
    name: str
    rehearsal: bool
    publish_from: datetime
    released_at: datetime | None
    closed_at: datetime | None
    accepted: int
    loaded_at: datetime


class TokenSummary(msgspec.Struct, frozen=True):
    """A token as an operator sees it; the token itself is nowhere."""

    key: int
    election: str
    areas: list[str]
    role: str
    note: str
    issued_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_contact_at: datetime | None


class IssuedToken(msgspec.Struct, frozen=True):
    """A new token, shown this once."""

    key: int
    secret: str

    def __repr__(self) -> str:
        return f"IssuedToken(key={self.key})"


class RevisionCeiling(msgspec.Struct, frozen=True):
    """The current revision of a unit, 0 for none, and the highest that it may have."""

    current: int
    ceiling: int


class HeldReport(msgspec.Struct, frozen=True):
    """A report as the journal holds it, embargoed or not; `published_at` is None while it is."""

    sequence: int
    unit: str
    revision: int
    digest: bytes
    chain: bytes
    body: bytes
    published_at: datetime | None


class _Locked(msgspec.Struct, frozen=True):
    key: int
    registry: Registry
    publish_from: datetime
    released_at: datetime | None
    closed_at: datetime | None
    accepted: int
    now: datetime


class Administration:
    """One connection on which acts are done. Raises JournalUnavailable, ElectionUnknown and Refused."""

    def __init__(self, connection: Connection, author: str) -> None:
        self._connection = connection
        self._author = author
        self._news = False  # whether an act has changed something of which nobody was notified

    async def load_election(self, document: object) -> str:
        """Load a registry document, or replace one while no report is accepted; return the election's identifier.

        Loading the same again changes nothing. Raises MalformedRegistry; ElectionStarted with what would differ.
        """
        registry = read_registry(document)
        connection = self._connection
        with translate_db_errors():
            async with self._transaction():
                # The insert decides who is first; whoever loses waits here for the winner and then sees its row.
                key = await connection.fetchval(
                    "INSERT INTO election (id, registry) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING RETURNING key",
                    registry.id,
                    registry.canonical(),
                )
                if key is not None:
                    await connection.execute("SELECT add_election($1, $2)", key, registry.publish_from)
                    await self._record(
                        key, "load", f"{len(registry.areas)} areas, {len(registry.units)} units"
                    )
                    self._news = True
                    return registry.id
        async with self._act(registry.id) as held:
            found = differences(held.registry, registry)
            if not found:
                return registry.id
            if held.accepted:
                raise ElectionStarted(
                    f"{held.accepted} reports are accepted, the registry stands; what differs: {', '.join(found)}"
                )
            await connection.execute(
                "UPDATE election SET registry = $2, loaded_at = clock_timestamp() WHERE key = $1",
                held.key,
                registry.canonical(),
            )
            # The same time as before leaves the embargo as it is: it may have been moved since.
            if registry.publish_from != held.registry.publish_from:
                if held.released_at is not None and registry.publish_from > held.now:
                    raise Refused(f"the embargo of {registry.id} has ended and cannot begin again")
                await connection.execute(
                    "UPDATE embargo SET publish_from = $2 WHERE election = $1",
                    held.key,
                    registry.publish_from,
                )
            await self._changed(held.key, "load", f"again: {', '.join(found)}")
        return registry.id

    async def move_embargo(self, election: str, until: datetime) -> None:
        """Move the embargo's end to a later time, while it has not passed. The same time again changes nothing."""
        async with self._act(election) as held:
            if held.released_at is not None or held.now >= held.publish_from:
                raise Refused(f"the embargo of {election} ended at {held.publish_from.isoformat()}")
            if until == held.publish_from:
                return
            if until < held.publish_from:
                raise Refused(f"the embargo can only be moved to later than {held.publish_from.isoformat()}")
            await self._connection.execute(
                "UPDATE embargo SET publish_from = $2 WHERE election = $1", held.key, until
            )
            await self._changed(
                held.key, "embargo", f"from {held.publish_from.isoformat()} to {until.isoformat()}"
            )

    async def close_election(self, election: str) -> None:
        """End the taking of reports. Closing again changes nothing."""
        async with self._act(election) as held:
            if held.closed_at is None:
                await self._connection.execute(
                    "UPDATE head SET closed_at = clock_timestamp() WHERE election = $1", held.key
                )
                await self._changed(held.key, "close", f"after {held.accepted} reports")

    async def raise_revisions(self, election: str, unit: str) -> RevisionCeiling:
        """Raise the ceiling of a unit's revisions to REVISION_STEP above its current one, and return both.

        It changes nothing where the ceiling is that high already; so repeating it does not use up the numbers that are
        left. Raises Refused for what is no unit, and where the current revision is the highest number there is.
        """
        async with self._act(election) as held:
            if unit not in held.registry.units:
                raise Refused(f"{unit!r} is not a unit of {election}")
            row = await self._connection.fetchrow(
                "SELECT (SELECT max(r.revision) FROM report r WHERE r.election = $1 AND r.unit = $2),"
                " (SELECT c.ceiling FROM revision_ceiling c WHERE c.election = $1 AND c.unit = $2)",
                held.key,
                unit,
            )
            assert row is not None
            current, ceiling = row[0] or 0, row[1] or REVISION_CEILING
            if current == COUNT_MAX:
                raise Refused(
                    f"unit {unit} is at revision {current}, the highest there is: no report can follow it"
                )
            wanted = min(current + REVISION_STEP, COUNT_MAX)
            if wanted <= ceiling:
                return RevisionCeiling(current, ceiling)
            await self._connection.execute(
                "INSERT INTO revision_ceiling (election, unit, ceiling) VALUES ($1, $2, $3)"
                " ON CONFLICT (election, unit) DO UPDATE SET ceiling = excluded.ceiling",
                held.key,
                unit,
                wanted,
            )
            await self._changed(held.key, "revisions", f"unit {unit}, at {current}: up to {wanted}")
        return RevisionCeiling(current, wanted)

    async def issue_token(
        self,
        election: str,
        areas: Sequence[str],
        *,
        role: str = "sender",
        expires_at: datetime | None = None,
        note: str = "",
    ) -> IssuedToken:
        """Make a token of 256 random bits for some areas and all below them; only its SHA-256 is kept."""
        return (await self.issue_tokens(election, [(areas, note)], role=role, expires_at=expires_at))[0]

    async def issue_tokens(
        self,
        election: str,
        wanted: Sequence[tuple[Sequence[str], str]],
        *,
        role: str = "sender",
        expires_at: datetime | None = None,
    ) -> list[IssuedToken]:
        """Make a token for each (areas, note) in one act.

        Raises CommittedLocally, naming the tokens by their keys; their secrets are lost then, so that nobody relies on
        what a failover can lose.
        """
        issued: list[IssuedToken] = []
        try:
            await self._issue(election, wanted, role, expires_at, issued)
        except CommittedLocally as error:
            keys = ", ".join(str(each.key) for each in issued)
            raise CommittedLocally(
                "committed on the primary, but the wait for the synchronous standby was cut short: a failover can still"
                f" lose the tokens with number {keys}. Their secrets are not shown: revoke them and issue others, once"
                " the standby is back"
            ) from error
        return issued

    async def _issue(
        self,
        election: str,
        wanted: Sequence[tuple[Sequence[str], str]],
        role: str,
        expires_at: datetime | None,
        issued: list[IssuedToken],
    ) -> None:
        async with self._act(election) as held:
            unknown = [area for areas, _ in wanted for area in areas if area not in held.registry.by_id]
            if unknown:
                raise Refused(f"not areas of {election}: {', '.join(unknown[:10])}")
            if not all(areas for areas, _ in wanted):
                raise Refused("a token needs at least one area")
            made = [TOKEN_PREFIX + secrets.token_urlsafe(32) for _ in wanted]
            for (areas, note), secret in zip(wanted, made, strict=True):
                key = await self._connection.fetchval(
                    "INSERT INTO token (election, digest, areas, role, note, expires_at)"
                    " VALUES ($1, $2, $3, $4, $5, $6) RETURNING key",
                    held.key,
                    hashlib.sha256(secret.encode()).digest(),
                    list(areas),
                    role,
                    note,
                    expires_at,
                )
                issued.append(IssuedToken(key, secret))
            told = f"{len(issued)} for {', '.join(area for areas, _ in wanted[:5] for area in areas[:5])}"
            await self._changed(held.key, "token issue", told)

    async def revoke_token(self, key: int) -> None:
        """End a token now, in every process. Revoking again changes nothing."""
        with translate_db_errors():
            election = await self._connection.fetchval(
                "SELECT e.id FROM token t JOIN election e ON e.key = t.election WHERE t.key = $1", key
            )
        if election is None:
            raise Refused(f"there is no token {key}")
        async with self._act(election) as held:
            revoked = await self._connection.fetchval(
                "UPDATE token SET revoked_at = clock_timestamp() WHERE key = $1 AND revoked_at IS NULL RETURNING key",
                key,
            )
            if revoked is not None:
                await self._changed(held.key, "token revoke", str(key))

    async def elections(self) -> list[ElectionSummary]:
        """Return all elections, by name."""
        with translate_db_errors():
            rows = await self._connection.fetch(
                "SELECT e.id, e.registry, m.publish_from, m.released_at, h.closed_at, h.accepted, e.loaded_at"
                " FROM election e JOIN head h ON h.election = e.key JOIN embargo m ON m.election = e.key ORDER BY e.id"
            )
        summaries = []
        for row in rows:
            header = orjson.loads(row["registry"])["election"]
            rehearsal = header.get("rehearsal", False)
            summaries.append(ElectionSummary(row["id"], header["name"], rehearsal, *tuple(row)[2:]))
        return summaries

    async def registries(self) -> dict[str, Registry]:
        """Return the registry of each election, by its identifier."""
        with translate_db_errors():
            rows = await self._connection.fetch("SELECT id, registry FROM election ORDER BY id")
        return {row["id"]: read_registry(orjson.loads(row["registry"]), stored=True) for row in rows}

    async def held_reports(self, election: str) -> list[HeldReport]:
        """Return every report of an election, in order, for whoever checks the record. Of some size: 1 kB each."""
        with translate_db_errors():
            rows = await self._connection.fetch(
                "SELECT r.sequence, r.unit, r.revision, r.digest, r.chain, r.body,"
                " CASE WHEN m.released_at IS NOT NULL THEN greatest(r.accepted_at, m.released_at) END"
                " FROM report r JOIN embargo m ON m.election = r.election JOIN election e ON e.key = r.election"
                " WHERE e.id = $1 ORDER BY r.sequence",
                election,
            )
        return [HeldReport(*row) for row in rows]

    async def tokens(self, election: str | None) -> list[TokenSummary]:
        """Return the tokens of one election, or of all."""
        with translate_db_errors():
            rows = await self._connection.fetch(
                "SELECT t.key, e.id, t.areas, t.role, t.note, t.issued_at, t.expires_at, t.revoked_at, c.last_at"
                " FROM token t JOIN election e ON e.key = t.election"
                " LEFT JOIN contact c ON c.election = t.election AND c.token = t.key"
                " WHERE $1::text IS NULL OR e.id = $1 ORDER BY t.key",
                election,
            )
        return [TokenSummary(*row) for row in rows]

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """Run a transaction whose commit is on the synchronous standby too, where there is one.

        Raises CommittedLocally where that is not certain, because the wait for the standby was cut short.
        """
        with LocalCommit(self._connection) as local:
            try:
                async with self._connection.transaction():
                    await self._connection.execute(f"SELECT {COMMIT_SETTINGS}")
                    yield
            except TimeoutError as error:
                self._connection.terminate()  # at once, before asyncpg sends a cancel that could cut the wait short
                raise JournalUnavailable(_UNKNOWN) from error
            except asyncio.CancelledError:
                self._connection.terminate()
                raise
            except Exception:
                await local.rule_out(_LOCALLY)
                raise
            await local.rule_out(_LOCALLY)
        await self._notify()

    async def _notify(self) -> None:
        """Wake the push processes after an act that changed something; they also look by themselves each second.

        Not within the act's transaction: a full queue of notifications would make it fail. The act is committed, so
        nothing that goes wrong here is its error, and this commit waits for no standby.
        """
        if self._news:
            self._news = False
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await self._connection.execute(
                    "SELECT set_config('synchronous_commit', 'local', true), pg_notify($1, $2)",
                    CHANNEL,
                    ACT,
                    timeout=NOTIFY_S,
                )

    @asynccontextmanager
    async def _act(self, election: str) -> AsyncIterator[_Locked]:
        """Hold the head lock of an election while an act is done.

        The lock is written to the row, so the commit of an act that changes nothing waits for the standby too: it then
        has all that was committed before. So an act that was committed locally is made certain by repeating it.

        Its registry is read before: nobody can commit under the lock, and a large one takes seconds.
        """
        connection = self._connection
        with translate_db_errors():
            document = await connection.fetchval("SELECT registry FROM election WHERE id = $1", election)
            if document is not None:
                registry_of(document)
            async with self._transaction():
                row = await connection.fetchrow(
                    "SELECT e.key, h.closed_at, h.accepted"
                    " FROM election e JOIN head h ON h.election = e.key WHERE e.id = $1 FOR UPDATE OF h",
                    election,
                )
                if row is None:
                    raise ElectionUnknown(f"no election {election!r}")
                # A statement of its own, which sees what was committed while the first one waited for the lock.
                fixed = await connection.fetchrow(
                    "SELECT e.registry, m.publish_from, m.released_at, clock_timestamp() AS now"
                    " FROM election e JOIN embargo m ON m.election = e.key WHERE e.key = $1",
                    row["key"],
                )
                assert fixed is not None
                yield _Locked(
                    registry=registry_of(fixed["registry"]),
                    publish_from=fixed["publish_from"],
                    released_at=fixed["released_at"],
                    now=fixed["now"],
                    **dict(row),
                )

    async def _changed(self, election: int, kind: str, detail: str) -> None:
        """Record an act that changed something, and raise the election's version."""
        await self._record(election, kind, detail)
        await self._connection.execute("UPDATE head SET version = version + 1 WHERE election = $1", election)
        self._news = True

    async def _record(self, election: int, kind: str, detail: str) -> None:
        await self._connection.execute(
            "INSERT INTO act (election, author, kind, detail) VALUES ($1, $2, $3, $4)",
            election,
            self._author,
            kind,
            detail,
        )


@asynccontextmanager
async def administration(url: str, author: str) -> AsyncIterator[Administration]:
    """Open a connection for administrative acts by `author`."""
    connection = await connect(url, patience_s=60.0)
    try:
        yield Administration(connection, author)
    finally:
        connection.terminate()
