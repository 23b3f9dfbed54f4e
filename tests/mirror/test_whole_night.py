"""A whole election through a mirror: three readers see exact figures at every step, and the official totals at the end.

One reader is always on, one sleeps at random, and one switches between the mirror and the stream.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.client.subscriber import Subscriber
from gateway.election.registry_reading import read_registry
from gateway.mirror.directory import Directory
from gateway.mirror.mirror import Mirror
from gateway.mirror.profiles import profiles_of
from gateway.rehearsal.dataset import DataSet
from gateway.rehearsal.generator import write_election
from gateway.rehearsal.rehearse import GatewayUrls, rehearse
from gateway.rehearsal.schedule import within
from gateway.wire.mirror import DEFAULT, area_profile
from tests.conftest import Database
from tests.counts import EXTENT
from tests.mirror.folder import Folder, MirrorReader
from tests.night.test_whole_night import server_copy
from tests.running import Gateway, running

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

SCALE = 0.03
"""The scale of the generated election; at 1 it has more than 10 000 reports."""
EVERY_S = 1


@pytest.fixture
async def gateway(database: Database) -> AsyncIterator[Gateway]:
    async with running(database) as started:
        yield started


async def always_on(reader: MirrorReader, last: int) -> None:
    while reader.sequence < last:
        reader.look()
        await asyncio.sleep(0.2)


async def sleeping_at_random(reader: MirrorReader, last: int) -> None:
    chance = random.Random(2)
    while reader.sequence < last:
        reader.look()
        await asyncio.sleep(chance.choice([0.1, 1.5, 4.0]))


async def switching(reader: MirrorReader, feed_url: str, election: str, last: int) -> int:
    """Read some states of the mirror, then some blocks of the stream, and so on; return how often it switched."""
    chance = random.Random(3)
    switches = 0
    while reader.sequence < last:
        for _ in range(chance.randint(1, 3)):
            while not reader.look() and reader.sequence < last:  # noqa: ASYNC110 - files have no event
                await asyncio.sleep(0.1)
        position = reader.files.position
        cursor = position.cursor if position is not None else None
        async with Subscriber(feed_url, election, cursor=cursor, copy=reader.copy) as subscriber:
            left = chance.randint(1, 8)
            async for block in subscriber.blocks():
                left -= 1
                if left <= 0 or block.sequence >= last:
                    break
        reader.take_over(subscriber)
        switches += 1
    return switches


async def whole_night(
    gateway: Gateway, database: Database, dataset: DataSet, directory: Path, length_s: float
) -> None:
    rehearsal = await rehearse(
        dataset,
        lambda times, publish_from: within(times, publish_from, length_s),
        GatewayUrls(database.url, gateway.push_url, gateway.feed_url),
        author="test",
    )
    last, election = rehearsal.replay.reports, rehearsal.election
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{gateway.feed_url}/v1/elections/{election}") as response:
            registry = read_registry((await response.json())["registry"], stored=True)
        profiles = profiles_of(registry)
        below = max(
            (area_profile(registry.areas[each].id) for each in registry.root.children),
            key=lambda it: len(profiles[it]),
        )
        target = Directory(directory)
        await target.open()
        folder = Folder(directory)
        on, slow, both = (MirrorReader(folder, registry, each) for each in (DEFAULT, below, DEFAULT))
        mirror = asyncio.create_task(Mirror(gateway.feed_url, election, target, every_s=EVERY_S).run())
        try:
            async with asyncio.TaskGroup() as parts:
                rehearsing = parts.create_task(rehearsal.run())
                parts.create_task(always_on(on, last))
                parts.create_task(sleeping_at_random(slow, last))
                switched = parts.create_task(switching(both, gateway.feed_url, election, last))
        finally:
            mirror.cancel()
            await asyncio.gather(mirror, return_exceptions=True)
            await target.close()
        final = await server_copy(session, gateway.feed_url, election)
    summary = rehearsing.result()
    assert (summary.publications, summary.wrong) == (last, [])
    assert on.states > 2
    assert switched.result() > 1
    for reader in (on, slow, both):
        assert (reader.wrong, reader.went_back) == ([], [])
        assert reader.copy == _only(final, profiles[reader.files.profile])


def _only(copy: Mapping[str, Any], areas: tuple[str, ...]) -> dict[str, Any]:
    return {name: copy[name] for name in areas}


async def test_a_generated_night_through_a_mirror(
    gateway: Gateway, database: Database, tmp_path: Path
) -> None:
    write_election(tmp_path / "election", 3, SCALE)
    await whole_night(gateway, database, DataSet.open(tmp_path / "election"), tmp_path / "mirror", 8.0)


@pytest.mark.skipif(EXTENT != "full", reason="in make long")
async def test_the_recorded_night_through_a_mirror(
    gateway: Gateway, database: Database, recorded: Path, tmp_path: Path
) -> None:
    await whole_night(gateway, database, DataSet.open(recorded), tmp_path / "mirror", 60.0)
