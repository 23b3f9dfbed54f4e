"""What a push or feed process uses outside of itself: its database, its port, clocks and chance.

`service.py` connects the parts of a process with it, and knows nothing else of Postgres and sockets. `MACHINE` is what
processes of a machine use; tests that simulate a whole installation have another one.
"""

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.clock import SYSTEM_CHANCE, SYSTEM_CLOCK, Clock
from gateway.config import Config
from gateway.feed.log_reading import LogReader
from gateway.feed.stream import Record
from gateway.journal.announcer import Announcer, Confirmations
from gateway.journal.confirmations import PostgresConfirmations
from gateway.journal.connection import Hosts, open_pool
from gateway.journal.connection_pool import Pool
from gateway.journal.database_monitor import DatabaseMonitor
from gateway.journal.log import LogRecord
from gateway.journal.monitoring import PushMonitoring
from gateway.journal.newest_host import NewestHost, journal_place
from gateway.journal.notifications import notifications
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from gateway.machine.door_port import Accept, accept_on_port
from gateway.memory import return_free_memory
from gateway.telemetry.metrics import DoorMetrics, FeedMetrics, PushMetrics

GC_OF_READY_FEED = (2_000, 20, 50)
"""Thresholds of the garbage collector in a feed process that is ready. What connections leave is freed in pauses of
about a millisecond, instead of ten times as much at once while a publication waits. Publications leave next to nothing.
"""

Notifications = Callable[[Callable[[], None]], Coroutine[Any, Any, None]]
"""Calls what it is given on each notification, see `notifications`."""


@dataclass(frozen=True)
class PushDatabase:
    """What a push process uses of its database."""

    confirmations: Confirmations
    journal: Callable[[Announcer], PostgresJournal]
    """Makes the journal, which tells the announcer of each commit."""
    monitoring: PushMonitoring
    newest_host: Callable[[], Coroutine[Any, Any, None]]
    """Leaves a host whose record is behind, until cancelled."""
    on_host_change: Callable[[Callable[[], None]], None]
    """Calls what it is given whenever the journal changes to another host."""
    notifications: Notifications
    """Of administrative acts."""
    refresh_gauges: Callable[[], None]
    """Sets the gauges of its connections."""
    terminate: Callable[[], None]
    """Closes the connections of the journal at once; statements fail that wait for an answer."""


@dataclass(frozen=True)
class FeedDatabase:
    """What a feed process uses of its database."""

    record: Record
    logs: LogReader
    monitoring: Callable[[], Coroutine[Any, Any, None]]
    """Collects the state of Postgres, and leaves a host whose record is behind, until cancelled."""
    notifications: Notifications
    refresh_gauges: Callable[[], None]


@dataclass(frozen=True)
class Platform:
    """What processes run on."""

    push_database: Callable[[Config, PushMetrics], AbstractAsyncContextManager[PushDatabase]]
    feed_database: Callable[[Config, FeedMetrics], AbstractAsyncContextManager[FeedDatabase]]
    accept: Accept
    feed_ready: Callable[[], None] = lambda: None
    """Called when a feed is ready, after what it read at its start."""
    clock: Clock = SYSTEM_CLOCK
    chance: random.Random = SYSTEM_CHANCE


@asynccontextmanager
async def open_push_database(config: Config, metrics: PushMetrics) -> AsyncIterator[PushDatabase]:
    """Open the database of a push process; this succeeds while Postgres is unavailable."""
    url = config.database_url
    assert url is not None
    hosts, monitored = Hosts(url, feed=False), Hosts(url, feed=False)
    async with (  # a commit is confirmed where it was made
        open_pool(url, hosts=hosts) as pool,
        open_pool(url, hosts=monitored, max_size=1) as monitoring,
        open_pool(url, hosts=hosts, max_size=1) as announcing,
    ):
        yield PushDatabase(
            PostgresConfirmations(announcing),
            partial(PostgresJournal, pool, require_standby=config.require_standby),
            PushMonitoring(monitoring, metrics, clock=SYSTEM_CLOCK, chance=SYSTEM_CHANCE),
            NewestHost(
                pool, hosts, monitored, read_place=journal_place, left=metrics.database.host_left.inc
            ).run,
            hosts.on_change,
            partial(notifications, url, acts=True),
            partial(_set_pool_gauges, metrics, pool),
            pool.terminate,
        )


@asynccontextmanager
async def open_feed_database(config: Config, metrics: FeedMetrics) -> AsyncIterator[FeedDatabase]:
    """Open the database of a feed process; this succeeds while Postgres is unavailable."""
    url = config.feed_database_url
    assert url is not None
    hosts, monitored = Hosts(url, feed=True), Hosts(url, feed=True)
    async with (
        open_pool(url, feed=True, hosts=hosts) as pool,
        open_pool(url, feed=True, hosts=monitored, max_size=1) as monitoring,
    ):
        yield FeedDatabase(
            PublicRecord(pool),
            LogRecord(pool),
            partial(
                _run_all,
                DatabaseMonitor(monitoring, metrics.database, embargoed=False, clock=SYSTEM_CLOCK).run,
                NewestHost(pool, hosts, monitored, left=metrics.database.host_left.inc).run,
            ),
            partial(notifications, url, feed=True),
            partial(_set_pool_gauges, metrics, pool),
        )


async def _run_all(*parts: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as running:
        for part in parts:
            running.create_task(part())


def _set_pool_gauges(metrics: DoorMetrics, pool: Pool) -> None:
    metrics.database.pool(pool.get_size(), pool.get_idle_size(), pool.get_max_size())


def _tune_ready_feed() -> None:
    gc.set_threshold(*GC_OF_READY_FEED)
    return_free_memory()  # that of what was read, up to a tenth of the process


MACHINE = Platform(open_push_database, open_feed_database, accept_on_port, _tune_ready_feed)
"""Postgres and the ports of this machine."""
