"""How an administrative act is performed.

Each act takes the head lock of its election, as an append does, increments the election's version and is recorded with
its time and author. So no report is accepted under rules that have already changed. Independent of what the acts do.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import msgspec

from gateway.election.registry import Registry
from gateway.errors import ElectionUnknown, JournalUnavailable, StandbyMissing
from gateway.journal.appending import require_waited, wait_until_settled
from gateway.journal.db_errors import CommittedLocally, LocalCommit, translate_db_errors
from gateway.journal.notifications import notify_act
from gateway.journal.postgres import registry_of
from gateway.journal.session import COMMIT_SETTINGS, Connection

_REPEAT = (
    "a failover can still lose it. Repeat the command once the standby is back; it is idempotent, and then succeeds"
    " without this message"
)
_LOCALLY = f"committed on the primary, but the wait for the synchronous standby was cut short: {_REPEAT}"
_MISSING = (
    "Postgres waits for no synchronous standby (synchronous_standby_names is empty), and require_standby is on: nothing"
    " was changed. Repeat the command once a standby is back; or, if it cannot wait, with --no-require-standby: until a"
    " standby is back, a failover can then still lose what it did"
)

_UNKNOWN = (
    "Postgres did not answer in time, perhaps because a commit waits for a synchronous standby that is unavailable: the"
    " change may or may not have been made. Check whether it was, and repeat the command"
)


class LockedElection(msgspec.Struct, frozen=True):
    """An election during an act, which nothing else can change."""

    key: int
    registry: Registry
    publish_from: datetime
    released_at: datetime | None
    closed_at: datetime | None
    accepted: int
    """Reports that have a position."""
    hold_lines: int
    """Lines of the list of holds; 0 if no report was ever held."""
    now: datetime


class Acts:
    """The frame of every act, on one connection. Raises JournalUnavailable and ElectionUnknown.

    With `require_standby`, an act is performed only if its commit waits for a synchronous standby. Otherwise it raises
    StandbyMissing, and nothing was changed; or, if that shows only after the commit, CommittedLocally.
    """

    def __init__(self, connection: Connection, author: str, *, require_standby: bool = False) -> None:
        self._connection = connection
        self._author = author
        self._require_standby = require_standby
        self._notification_due = (
            False  # whether an act has changed something and no notification was sent yet
        )

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        """Run a transaction whose commit waits for the synchronous standby, if there is one.

        Raises StandbyMissing if one is required and there is none, before the commit; and CommittedLocally if the wait
        for the standby was cut short, or if one is required and it is not certain that the commit waited.
        """
        if self._require_standby:
            await self._standby_named()  # rather than after a wait for the lock
            await wait_until_settled(self._connection)
        committed_after: datetime | None = None
        local = LocalCommit(self._connection)
        try:
            async with self._connection.transaction():
                await self._connection.execute(f"SELECT {COMMIT_SETTINGS}")
                yield
                if self._require_standby:
                    committed_after = await self._standby_named()
        except TimeoutError as error:
            self._connection.terminate()  # before asyncpg sends a cancel request that could cut the wait short
            raise JournalUnavailable(_UNKNOWN) from error
        except asyncio.CancelledError:
            self._connection.terminate()
            raise
        except Exception:
            local.rule_out(_LOCALLY)
            raise
        local.rule_out(_LOCALLY)
        if committed_after is not None:
            await self._require_waited(committed_after)
        if self._notification_due:
            self._notification_due = False
            await notify_act(self._connection)

    async def _standby_named(self) -> datetime:
        """Require that commits wait for a synchronous standby, and return the server's time."""
        row = await self._connection.fetchrow(
            "SELECT waits_for_standby(false) AS waits, clock_timestamp() AS now"
        )
        assert row is not None
        if not row["waits"]:
            raise StandbyMissing(_MISSING)
        now: datetime = row["now"]
        return now

    async def _require_waited(self, committed_after: datetime) -> None:
        """Require that the commit waited for a synchronous standby. Raises CommittedLocally."""
        try:
            with translate_db_errors():
                await require_waited(self._connection, committed_after)
        except JournalUnavailable as error:
            raise CommittedLocally(
                f"committed on the primary, but perhaps not on a synchronous standby ({error}): {_REPEAT}"
            ) from error

    @asynccontextmanager
    async def _act(self, election: str) -> AsyncIterator[LockedElection]:
        """Lock the head of an election during an act.

        The lock is written to the row, so even the commit of an act that changes nothing waits for the standby, which
        then has everything committed before. So repeating an act that was committed locally makes it durable.

        The registry is read before the lock is taken: no append can commit meanwhile, and a large one takes seconds.
        """
        connection = self._connection
        with translate_db_errors():
            document = await connection.fetchval("SELECT registry FROM election WHERE id = $1", election)
            if document is not None:
                registry_of(document)
            async with self._transaction():
                row = await connection.fetchrow(
                    "SELECT e.key, h.closed_at, h.accepted, h.hold_lines"
                    " FROM election e JOIN head h ON h.election = e.key WHERE e.id = $1 FOR UPDATE OF h",
                    election,
                )
                if row is None:
                    raise ElectionUnknown(f"no election {election!r}")
                # A separate statement, which sees what was committed while the first one waited for the lock.
                fixed = await connection.fetchrow(
                    "SELECT e.registry, m.publish_from, m.released_at, clock_timestamp() AS now"
                    " FROM election e JOIN embargo m ON m.election = e.key WHERE e.key = $1",
                    row["key"],
                )
                assert fixed is not None
                yield LockedElection(
                    registry=registry_of(fixed["registry"]),
                    publish_from=fixed["publish_from"],
                    released_at=fixed["released_at"],
                    now=fixed["now"],
                    **dict(row),
                )

    async def _changed(self, election: int, kind: str, detail: str) -> None:
        """Record an act that changed something, and increment the election's version."""
        await self._record(election, kind, detail)
        await self._connection.execute("UPDATE head SET version = version + 1 WHERE election = $1", election)
        self._notification_due = True

    async def _record(self, election: int, kind: str, detail: str) -> None:
        await self._connection.execute(
            "INSERT INTO act (election, author, kind, detail) VALUES ($1, $2, $3, $4)",
            election,
            self._author,
            kind,
            detail,
        )
