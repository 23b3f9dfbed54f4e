"""Feeds that read from a replica, as where there are more readers than one machine serves; see docs/scaling.md.

Three servers: `a` takes the writes, `b` is its synchronous standby, and `c`, which feeds read, follows `b`.
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

from tests.faults.night import Addresses, Night, Reads, a_country, a_night
from tests.faults.servers import PATIENCE_S, Pair, Reached, Server, a_pair, reached
from tests.running import Gateway, running
from tests.web.doors import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(90)]

LOAD: dict[str, Any] = {"senders": 12, "rate": 60.0, "streams": 1}
LAG = 'valgnatt_database_replication_lag_seconds{process="feed-0"}'
STANDBY = 'valgnatt_record_of_standby{process="feed-0"}'


@dataclass
class Three:
    """A primary, its synchronous standby, and a replica of that for feeds."""

    pair: Pair
    replica: Server

    @property
    def primary(self) -> Reached:
        return reached(self.pair.servers["a"])

    @property
    def for_feeds(self) -> Reached:
        """The database as one knows it who runs feeds only: nothing but the reader's role, and the replica."""
        found = reached(self.replica)
        return Reached("", found.feed_url)


@asynccontextmanager
async def three_servers(directory: Path, source: str) -> AsyncIterator[Three]:
    """Have a pair, and a replica of one of the two."""
    async with a_pair(directory) as pair:
        home = directory / "replica"
        home.mkdir(mode=0o700)
        followed = pair.servers[source]
        os.chown(home, followed.data_dir.stat().st_uid, -1)
        shutil.copy(followed.data_dir / "passwords", home / "passwords")
        await followed.back_up(home / "cluster", "c", "-R")
        with Server(home, listen_tcp=True) as replica:
            yield Three(pair, replica)


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[Three]:
    async with three_servers(tmp_path, "b") as three:
        yield three


@asynccontextmanager
async def feeds(three: Three) -> AsyncIterator[tuple[Gateway, Gateway, Gateway]]:
    """A push door and a feed on the primary, and a feed on the replica."""
    async with AsyncExitStack() as opened:
        push = await opened.enter_async_context(running(three.primary, role="push"))
        near = await opened.enter_async_context(running(three.primary, role="feed"))
        far = await opened.enter_async_context(running(three.for_feeds, role="feed"))
        yield push, near, far


async def test_readers_move_between_the_primary_and_a_replica_and_miss_nothing(three: Three) -> None:
    """Cursors are of the record, not of who reads it: nobody needs a second snapshot, and the judge sees one record."""
    async with feeds(three) as (push, near, far):
        addresses = Addresses([push.push_url], [near.feed_url, far.feed_url], three.primary.url)
        async with a_night(addresses, **LOAD) as night:
            metrics = [await each.metrics() for each in (near, far)]
            assert [each[STANDBY] for each in metrics] == [0.0, 1.0]
            addresses.feed = [far.feed_url]
            near.terminate()
            await night.goes_on()
            async with running(three.primary, role="feed") as again:
                addresses.feed = [again.feed_url]
                far.terminate()
                await night.goes_on()
                await night.settle()


async def test_a_release_reaches_the_readers_of_a_replica_and_nothing_comes_before_it(three: Three) -> None:
    """The embargo ends while senders push; the judge holds every block against the time of the release."""
    ends = datetime.now(UTC) + timedelta(seconds=6)
    async with running(three.primary, role="push") as push, running(three.for_feeds, role="feed") as far:
        addresses = Addresses([push.push_url], [far.feed_url], three.primary.url)
        country = a_country(12, publish_from=ends.isoformat())
        async with a_night(addresses, registry=country, **LOAD) as night:
            before = [each.sequence for each in night.readers]
            began = datetime.now(UTC)
            assert night.receipts >= 12
            if began < ends - timedelta(seconds=1):
                assert set(before) == {0}
            await night.until(
                lambda: [each.name for each in night.readers if not each.sequence], "the release"
            )
            await night.goes_on()


async def test_a_replica_that_stands_still_says_how_late_it_is_and_catches_up(three: Three) -> None:
    """Senders notice nothing of it; its readers stay where they are, with a sign of life, until it goes on."""
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

            await until(late, PATIENCE_S)
            assert night.receipts > receipts
            await three.replica.ask("SELECT pg_wal_replay_resume()")
            await night.goes_on()

            three.replica.die()
            three.replica.start_again()
            await night.goes_on()


@asynccontextmanager
async def without_a_standby(three: Three) -> AsyncIterator[tuple[Night, Callable[[], Awaitable[int]]]]:
    """A night whose commits are on the primary's disk and wait for the standby, which stands still; gives what a feed
    on the replica shows, and goes on afterwards."""
    reads = (Reads(), Reads(gzip=True))
    async with running(three.primary, role="push") as push, running(three.for_feeds, role="feed") as far:
        addresses = Addresses([push.push_url], [far.feed_url], three.primary.url)
        async with a_night(addresses, readers=reads, **LOAD) as night, aiohttp.ClientSession() as http:

            async def waiting() -> bool:
                query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                return bool(await three.pair.servers["a"].ask(query))

            async def shown() -> int:
                async with http.get(f"{far.feed_url}/v1/elections/{night.election}") as answer:
                    sequence: int = orjson.loads(await answer.read())["sequence"]
                    return sequence

            with three.pair.servers["b"].standing_still():
                await until(waiting, PATIENCE_S)
                yield night, shown
            await night.goes_on()


@pytest.mark.parametrize("source", ["b", "a"])
async def test_a_replica_shows_nothing_that_has_no_receipt(tmp_path: Path, source: str) -> None:
    """What a failover could lose is not shown, whether the replica follows the synchronous standby or passes it by."""
    async with three_servers(tmp_path, source) as three, without_a_standby(three) as (night, shown):
        for _ in range(20):
            assert await shown() <= night.sequence
            await asyncio.sleep(0.05)


async def test_a_feed_on_the_primary_shows_nothing_that_the_standby_lacks(tmp_path: Path) -> None:
    """Also where the sessions that wait for it are ended: their commits are there, and nobody has a receipt."""
    reads = (Reads(), Reads(gzip=True))
    async with a_pair(tmp_path) as pair, running(pair.database) as gateway, aiohttp.ClientSession() as http:
        addresses = Addresses([gateway.push_url], [gateway.feed_url], pair.database.url)
        async with a_night(addresses, readers=reads, **LOAD) as night:
            primary = pair.servers["a"]

            async def ended() -> bool:
                query = "SELECT bool_or(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                return bool(await primary.ask(query))

            async def shown() -> int:
                async with http.get(f"{gateway.feed_url}/v1/elections/{night.election}") as answer:
                    sequence: int = orjson.loads(await answer.read())["sequence"]
                    return sequence

            with pair.servers["b"].standing_still():
                await until(ended, PATIENCE_S)
                accepted = await primary.ask("SELECT sum(accepted) FROM valgnatt.head")
                assert accepted > night.sequence
                for _ in range(20):
                    assert await shown() <= night.sequence
                    await asyncio.sleep(0.05)
            await night.goes_on()
            await night.settle()
