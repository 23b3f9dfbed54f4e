"""How Postgres is, for those who watch: looked at now and then over a connection of its own.

So no scrape asks Postgres anything, a look that hangs holds up nobody, and what hangs longer than LOOK_MAX_S is given
up. What the user may not see is unknown, and no error.
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import asyncpg
import msgspec

from gateway.errors import JournalUnavailable
from gateway.journal.connection import Connection, Pool, acquired, translate_db_errors
from gateway.telemetry.metrics import DatabaseMetrics

LOOK_S = 5.0
"""How often it is looked at."""
LOOK_MAX_S = 3.0
"""What a question may take; the first one after a connection broke may take as long again to connect."""

_CONDITION = """
SELECT clock_timestamp() AS now, pg_is_in_recovery() AS in_recovery,
    CASE WHEN has_database_privilege(current_database(), 'CONNECT')
         THEN pg_database_size(current_database()) END AS size,
    (SELECT sum(numbackends) FROM pg_stat_database) AS sessions,
    current_setting('max_connections')::int AS sessions_max,
    (SELECT count(*) FROM pg_stat_replication) AS standbys,
    (SELECT CASE WHEN count(*) = 0 OR count(sync_state) > 0
                 THEN count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) END
     FROM pg_stat_replication) AS standbys_sync,
    current_setting('synchronous_standby_names') <> '' AS standbys_wanted,
    CASE WHEN NOT pg_is_in_recovery()
         THEN (SELECT coalesce(max(extract(epoch FROM replay_lag)), 0) FROM pg_stat_replication)
         WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
         ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())
    END AS replication_lag_s
"""
_CONDITION_RESTRICTED = """
SELECT clock_timestamp() AS now, pg_is_in_recovery() AS in_recovery,
    current_setting('max_connections') AS sessions_max,
    CASE current_setting('synchronous_standby_names') WHEN '' THEN '0' ELSE '1' END AS standbys_wanted
"""
"""What a feed's login may know of a server of our own, where statistics and sizes are withdrawn from it."""
_HELD_BACK = """
SELECT e.id, m.publish_from, h.accepted, r.accepted_at
FROM valgnatt.embargo m
JOIN valgnatt.head h ON h.election = m.election
JOIN valgnatt.election e ON e.key = m.election
LEFT JOIN valgnatt.report r ON r.election = m.election AND r.sequence = 1
WHERE m.released_at IS NULL
"""


class HeldBack(msgspec.Struct, frozen=True):
    """What an election holds that is not released: until its embargo ends, and for how much longer than that."""

    publish_from: datetime
    accepted: int
    oldest_accepted_at: datetime | None

    def embargoed_s(self, now: datetime) -> float:
        """Age in seconds of the oldest report accepted; 0 for none."""
        if self.oldest_accepted_at is None:
            return 0.0
        return max(0.0, (now - self.oldest_accepted_at).total_seconds())

    def overdue_s(self, now: datetime) -> float:
        """For how long the oldest report should have been public; 0 under the embargo, and for none."""
        if self.oldest_accepted_at is None:
            return 0.0
        return max(0.0, (now - max(self.oldest_accepted_at, self.publish_from)).total_seconds())


class Watch:
    """Postgres as one process sees it; what is held back only for one that may see that."""

    def __init__(self, pool: Pool, metrics: DatabaseMetrics, *, held_back: bool) -> None:
        self._pool = pool
        self._metrics = metrics
        self._wants_held_back = held_back
        self._restricted = False
        self._clock_ahead_s = 0.0
        self.held_back: Mapping[str, HeldBack] = {}

    def now(self) -> datetime:
        """Return the time by the database's clock, as far as it is known."""
        return datetime.now(UTC) + timedelta(seconds=self._clock_ahead_s)

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        while True:
            try:
                await self._look()
            except JournalUnavailable:
                self._metrics.told({})
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        """Look once. Raises JournalUnavailable."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                before, asked_at = time.perf_counter(), datetime.now(UTC)
                row = await self._condition(connection)
                took_s = time.perf_counter() - before
                held_back = (
                    await connection.fetch(_HELD_BACK, timeout=LOOK_MAX_S) if self._wants_held_back else ()
                )
        self._clock_ahead_s = (row["now"] - asked_at).total_seconds() - took_s / 2
        self.held_back = {each[0]: HeldBack(*tuple(each)[1:]) for each in held_back}
        facts = {
            name: None if value is None else float(value) for name, value in row.items() if name != "now"
        }
        self._metrics.told({**facts, "answer_s": took_s, "clock_ahead_s": self._clock_ahead_s})

    async def _condition(self, connection: Connection) -> asyncpg.Record:
        """Ask how Postgres is; where this login may not know all of it, what it may."""
        row = None
        if not self._restricted:
            try:
                row = await connection.fetchrow(_CONDITION, timeout=LOOK_MAX_S)
            except asyncpg.InsufficientPrivilegeError:
                self._restricted = True
        if row is None:
            row = await connection.fetchrow(_CONDITION_RESTRICTED, timeout=LOOK_MAX_S)
        assert row is not None
        return row
