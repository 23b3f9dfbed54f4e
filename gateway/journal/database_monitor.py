"""Collect metrics of Postgres periodically, on a connection of its own for which no sender or reader waits.

So no scrape queries Postgres, and a query that hangs delays nothing else and is given up after QUERY_S. Values that the
database user may not see are unknown, which is not an error.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NoReturn

import asyncpg
import msgspec
import structlog

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.errors import JournalUnavailable
from gateway.journal.connection import acquired
from gateway.journal.connection_pool import Pool
from gateway.journal.db_errors import translate_db_errors
from gateway.journal.hold_monitor import HoldMonitor
from gateway.journal.lock_waits import long_waits
from gateway.journal.session import Connection
from gateway.telemetry.metrics import DatabaseMetrics

log = structlog.get_logger()

POLL_S = 5.0
"""Seconds between two collections."""
RETRY_S = 1.0
"""Seconds between a failed collection, perhaps because of a lock, and the next."""
QUERY_S = 3.0
"""Timeout of a query in seconds; the first one after a connection broke may take as long again to connect."""

_STATE = """
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
_STATE_RESTRICTED = """
SELECT clock_timestamp() AS now, pg_is_in_recovery() AS in_recovery,
    current_setting('max_connections') AS sessions_max,
    CASE current_setting('synchronous_standby_names') WHEN '' THEN '0' ELSE '1' END AS standbys_wanted
"""
"""What a feed's login may see on a dedicated server, where it has no access to statistics and sizes."""
_EMBARGOED = """
SELECT e.id, m.publish_from, h.accepted, r.accepted_at
FROM valgnatt.embargo m
JOIN valgnatt.head h ON h.election = m.election
JOIN valgnatt.election e ON e.key = m.election
LEFT JOIN valgnatt.report r ON r.election = m.election AND r.sequence = 1
WHERE m.released_at IS NULL
"""


class EmbargoedReports(msgspec.Struct, frozen=True):
    """The reports of an election that are not released, and how long they have waited."""

    publish_from: datetime
    accepted: int
    oldest_accepted_at: datetime | None

    def embargoed_s(self, now: datetime) -> float:
        """Age in seconds of the oldest report accepted; 0 for none."""
        if self.oldest_accepted_at is None:
            return 0.0
        return max(0.0, (now - self.oldest_accepted_at).total_seconds())

    def overdue_s(self, now: datetime) -> float:
        """Seconds for which the oldest report should have been public; 0 under the embargo, and for none."""
        if self.oldest_accepted_at is None:
            return 0.0
        return max(0.0, (now - max(self.oldest_accepted_at, self.publish_from)).total_seconds())


class DatabaseMonitor:
    """Collects the state of Postgres for one process; embargoed and held reports only if its login may see them.

    A login that may see them is the owner's; then it also logs which locks its sessions have long waited for.
    """

    def __init__(
        self, pool: Pool, metrics: DatabaseMetrics, *, embargoed: bool, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._metrics = metrics
        self._wants_embargoed = embargoed
        self._restricted = False
        self._clock_ahead_s = 0.0
        self.embargoed: Mapping[str, EmbargoedReports] = {}
        self.holds = HoldMonitor()

    def now(self) -> datetime:
        """Return the current time by the database's clock, estimated at the last collection."""
        return self._clock.now() + timedelta(seconds=self._clock_ahead_s)

    async def run(self) -> NoReturn:
        """Collect until cancelled."""
        while True:
            try:
                await self._collect()
            except JournalUnavailable:
                self._metrics.set_facts({})
                await asyncio.sleep(RETRY_S)
            else:
                await asyncio.sleep(POLL_S)

    async def _collect(self) -> None:
        """Collect once. Raises JournalUnavailable."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                if self._wants_embargoed:
                    for wait in await long_waits(connection):
                        log.warning("sessions wait for a lock", wait=wait)
                before, asked_at = self._clock.monotonic(), self._clock.now()
                row = await self._state(connection)
                took_s = self._clock.monotonic() - before
                embargoed = (
                    await connection.fetch(_EMBARGOED, timeout=QUERY_S) if self._wants_embargoed else ()
                )
                if self._wants_embargoed:
                    await self.holds.collect(connection, QUERY_S)
        self._clock_ahead_s = (row["now"] - asked_at).total_seconds() - took_s / 2
        self.embargoed = {each[0]: EmbargoedReports(*tuple(each)[1:]) for each in embargoed}
        facts = {
            name: None if value is None else float(value) for name, value in row.items() if name != "now"
        }
        self._metrics.set_facts({**facts, "answer_s": took_s, "clock_ahead_s": self._clock_ahead_s})

    async def _state(self, connection: Connection) -> asyncpg.Record:
        """Query the state of Postgres, or as much of it as this login may see."""
        row = None
        if not self._restricted:
            try:
                row = await connection.fetchrow(_STATE, timeout=QUERY_S)
            except asyncpg.InsufficientPrivilegeError:
                self._restricted = True
        if row is None:
            row = await connection.fetchrow(_STATE_RESTRICTED, timeout=QUERY_S)
        assert row is not None
        return row
