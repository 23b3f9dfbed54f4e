"""Feeds that read from a replica, for more readers than one machine can serve; see docs/scaling.md.

Three servers: `a` is the primary, `b` its synchronous standby, and `c`, from which feeds read, follows `b`.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.counts import count, full_only, variants
from tests.faults.country import ReaderOptions, a_country
from tests.faults.night import Addresses, Night, a_night
from tests.faults.servers import TIMEOUT_S, DatabaseUrls, Pair, Server, a_pair, urls_of
from tests.running import Gateway, running
from tests.web.doors import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(90)]

LOAD: dict[str, Any] = {"senders": count(3, full=12), "rate": count(9, full=60), "streams": 1}
LAG = 'valgnatt_database_replication_lag_seconds{process="feed-0"}'
STANDBY = 'valgnatt_record_of_standby{process="feed-0"}'


@dataclass
class ReplicatedServers:
    """A primary, its synchronous standby, and a replica for feeds."""

    pair: Pair
    replica: Server

    @property
    def primary(self) -> DatabaseUrls:
        return urls_of(self.pair.servers["a"])

    @property
    def for_feeds(self) -> DatabaseUrls:
        """The database as configured in a feed on another machine: only the reader's role, and the replica."""
        found = urls_of(self.replica)
        return DatabaseUrls("", found.feed_url)


@asynccontextmanager
async def three_servers(directory: Path, source: str) -> AsyncIterator[ReplicatedServers]:
    """Run a pair, and a replica that follows one of the two."""
    async with a_pair(directory) as pair:
        home = directory / "replica"
        home.mkdir(mode=0o700)
        followed = pair.servers[source]
        os.chown(home, followed.data_dir.stat().st_uid, -1)
        shutil.copy(followed.data_dir / "passwords", home / "passwords")
        await followed.back_up(home / "cluster", "c", "-R")
        with Server(home, listen_tcp=True) as replica:
            yield ReplicatedServers(pair, replica)


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[ReplicatedServers]:
    """Three servers, whose replica follows the standby."""
    async with three_servers(tmp_path, "b") as three:
        yield three


@asynccontextmanager
async def feeds(three: ReplicatedServers) -> AsyncIterator[tuple[Gateway, Gateway, Gateway]]:
    """Run a push door and a feed on the primary, and a feed on the replica."""
    async with AsyncExitStack() as opened:
        push = await opened.enter_async_context(running(three.primary, role="push"))
        near = await opened.enter_async_context(running(three.primary, role="feed"))
        far = await opened.enter_async_context(running(three.for_feeds, role="feed"))
        yield push, near, far


@full_only
async def test_readers_can_move_between_the_primary_and_a_replica(three: ReplicatedServers) -> None:
    """Cursors are valid on every feed of a record, so readers miss nothing and need no second snapshot."""
    async with feeds(three) as (push, near, far):
        addresses = Addresses([push.push_url], [near.feed_url, far.feed_url], three.primary.url)
        async with a_night(addresses, **LOAD) as night:
            metrics = [await each.metrics() for each in (near, far)]
            assert [each[STANDBY] for each in metrics] == [0.0, 1.0]
            addresses.feed = [far.feed_url]
            near.terminate()
            await night.wait_progress()
            async with running(three.primary, role="feed") as again:
                addresses.feed = [again.feed_url]
                far.terminate()
                await night.wait_progress()
                await night.settle()


@full_only
async def test_readers_of_a_replica_see_nothing_before_the_release(three: ReplicatedServers) -> None:
    """The embargo ends while senders push; the judge compares every block with the time of the release."""
    ends = datetime.now(UTC) + timedelta(seconds=6)
    async with running(three.primary, role="push") as push, running(three.for_feeds, role="feed") as far:
        addresses = Addresses([push.push_url], [far.feed_url], three.primary.url)
        country = a_country(LOAD["senders"], publish_from=ends.isoformat())
        async with a_night(addresses, registry=country, **LOAD) as night:
            before = [each.sequence for each in night.readers]
            began = datetime.now(UTC)
            assert night.receipts >= len(night.senders)
            if began < ends - timedelta(seconds=1):
                assert set(before) == {0}
            await night.until(
                lambda: [each.name for each in night.readers if not each.sequence], "the release"
            )
            await night.wait_progress()


@full_only
async def test_a_paused_replica_reports_its_lag_and_catches_up(three: ReplicatedServers) -> None:
    """Senders are not affected; readers get heartbeats until the replica continues."""
    async with (
        running(three.primary, role="push") as push,
        running(three.for_feeds, role="feed", heartbeat_s=1) as far,
    ):
        addresses = Addresses([push.push_url], [far.feed_url], three.primary.url)
        async with a_night(addresses, **LOAD) as night:
            await three.replica.ask("SELECT pg_wal_replay_pause()")
            receipts = night.receipts

            async def late() -> bool:
                return (await far.metrics())[LAG] > 1.0

            await until(late, TIMEOUT_S)
            assert night.receipts > receipts
            await three.replica.ask("SELECT pg_wal_replay_resume()")
            await night.wait_progress()

            three.replica.crash()
            three.replica.start_again()
            await night.wait_progress()


@asynccontextmanager
async def without_a_standby(
    three: ReplicatedServers,
) -> AsyncIterator[tuple[Night, Callable[[], Awaitable[int]]]]:
    """Run a night whose commits are flushed on the primary and wait for the standby, which is suspended.

    Yield the night and a function that returns the sequence shown by a feed on the replica.
    """
    readers = (ReaderOptions(), ReaderOptions(gzip=True))
    async with running(three.primary, role="push") as push, running(three.for_feeds, role="feed") as far:
        addresses = Addresses([push.push_url], [far.feed_url], three.primary.url)
        async with a_night(addresses, readers=readers, **LOAD) as night, aiohttp.ClientSession() as http:

            async def waiting() -> bool:
                query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                return bool(await three.pair.servers["a"].ask(query))

            async def shown() -> int:
                async with http.get(f"{far.feed_url}/v1/elections/{night.election}") as answer:
                    sequence: int = orjson.loads(await answer.read())["sequence"]
                    return sequence

            with three.pair.servers["b"].suspended():
                await until(waiting, TIMEOUT_S)
                yield night, shown
            await night.wait_progress()


@pytest.mark.parametrize("source", variants(["b", "a"], "a"))
async def test_a_replica_shows_no_publication_without_a_receipt(tmp_path: Path, source: str) -> None:
    """Commits that a failover could lose are not shown, whichever server the replica follows."""
    async with three_servers(tmp_path, source) as three, without_a_standby(three) as (night, shown):
        for _ in range(20):
            assert await shown() <= night.sequence
            await asyncio.sleep(0.05)


@full_only
async def test_a_feed_on_the_primary_shows_no_publication_missing_on_the_standby(tmp_path: Path) -> None:
    """Commits whose sessions are terminated while they wait for the standby have no receipt and are not shown."""
    readers = (ReaderOptions(), ReaderOptions(gzip=True))
    async with a_pair(tmp_path) as pair, running(pair.database) as gateway, aiohttp.ClientSession() as http:
        addresses = Addresses([gateway.push_url], [gateway.feed_url], pair.database.url)
        async with a_night(addresses, readers=readers, **LOAD) as night:
            primary = pair.servers["a"]

            async def committed_locally() -> bool:
                """Terminate the sessions that wait for the standby; return whether one had committed reports."""
                await primary.ask(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                )
                return await primary.ask("SELECT sum(accepted) FROM valgnatt.head") > night.sequence

            async def shown() -> int:
                async with http.get(f"{gateway.feed_url}/v1/elections/{night.election}") as answer:
                    sequence: int = orjson.loads(await answer.read())["sequence"]
                    return sequence

            with pair.servers["b"].suspended():
                await until(committed_locally, TIMEOUT_S)
                for _ in range(20):
                    assert await shown() <= night.sequence
                    await asyncio.sleep(0.05)
            await night.wait_progress()
            await night.settle()
