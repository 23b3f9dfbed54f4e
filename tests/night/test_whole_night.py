"""A complete election, pushed and read through the doors of a gateway, compared with its official totals."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.client.sse import EventParser
from gateway.client.subscriber import Subscriber
from gateway.rehearsal.dataset import DataSet
from gateway.rehearsal.generator import write_election
from gateway.rehearsal.rehearse import GatewayUrls, Rehearsal, rehearse
from gateway.rehearsal.results import Summary
from gateway.rehearsal.schedule import as_fast_as_possible
from tests.conftest import Database
from tests.counts import count, full_only
from tests.night.proxy import CuttingProxy
from tests.night.sums import children_of, wrong_sums
from tests.running import Gateway, running

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

SCALE = count(2, full=15) / 50
"""The scale of the generated election; at 1 it has more than 10 000 reports."""


async def _rehearsal(gateway: Gateway, database: Database, dataset: DataSet, embargo_s: float) -> Rehearsal:
    return await rehearse(
        dataset,
        lambda times, _: as_fast_as_possible(times, embargo_s),
        GatewayUrls(database.url, gateway.push_url, gateway.feed_url),
        author="test",
    )


class Watcher:
    """A subscriber at all levels behind a proxy that cuts its connections, which checks every block."""

    def __init__(self, url: str, election: str, dataset: DataSet) -> None:
        self.subscriber = Subscriber(url, election, levels="country,county,municipality,precinct", gzip=False)
        self.blocks = 0
        self.inconsistent: list[tuple[int, list[str]]] = []
        self.went_back: list[tuple[int, int]] = []
        self._children = children_of(dataset.registry)

    async def follow(self, last: int) -> None:
        """Check every block up to the one that contains the publication `last`."""
        before = 0
        async with self.subscriber:
            async for block in self.subscriber.blocks():
                self.blocks += 1
                if block.sequence < before:
                    self.went_back.append((before, block.sequence))
                before = block.sequence
                if wrong := wrong_sums(self.subscriber.copy, self._children, block.areas):
                    self.inconsistent.append((block.sequence, wrong))
                if block.sequence >= last:
                    return


async def follow_publications(feed_url: str, election: str, last: int) -> list[dict[str, Any]]:
    """Read the publication stream from its start to `last`, and reconnect whenever it ends."""
    found: list[dict[str, Any]] = []
    cursor = ""
    url = f"{feed_url}/v1/elections/{election}/publications"
    async with aiohttp.ClientSession() as session:
        while len(found) < last:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": cursor} if cursor else {})
            try:
                async with session.get(url, headers=headers) as response:
                    parser = EventParser()
                    while piece := await response.content.readany():
                        for event in parser.feed(piece):
                            found.append(orjson.loads(event.data))
                            cursor = event.id
                        if len(found) >= last:
                            break
            except (aiohttp.ClientError, ConnectionError):
                pass
    return found


def broken_links(publications: list[dict[str, Any]]) -> list[int]:
    """Return the sequences whose digest or chain does not follow from the report and the previous chain."""
    chain, broken = bytes(32), []
    for expected, publication in enumerate(publications, 1):
        body = orjson.dumps(publication["report"], option=orjson.OPT_SORT_KEYS)
        digest = hashlib.sha256(body).digest()
        chain = hashlib.sha256(chain + digest).digest()
        received = (publication["sequence"], publication["digest"], publication["chain"])
        if received != (expected, digest.hex(), chain.hex()):
            broken.append(expected)
    return broken


async def server_copy(session: aiohttp.ClientSession, feed_url: str, election: str) -> dict[str, Any]:
    """Return every area as the feed door returns it to plain GET requests."""
    async with session.get(f"{feed_url}/v1/elections/{election}") as response:
        registry = (await response.json())["registry"]
    found: dict[str, Any] = {}
    for parent in children_of(registry):
        async with session.get(f"{feed_url}/v1/elections/{election}/areas/{parent}") as response:
            area = await response.json()
        for each in (area, *area.pop("children")):
            each.pop("record", None)
            each.pop("rehearsal", None)
            found[each["area"]] = each
    return found


async def _whole_night(gateway: Gateway, database: Database, dataset: DataSet) -> Summary:
    """Push an election with readers connected from the start, and check every guarantee of the contract."""
    rehearsal = await _rehearsal(gateway, database, dataset, 2.0)
    reports = rehearsal.replay.reports
    port = int(gateway.feed_url.rpartition(":")[2])
    most = min(6_000_000, 500 * reports)  # less than the watcher of a small election reads
    async with CuttingProxy(port, seed=1, least=20_000, most=most).listening() as proxy:
        watcher = Watcher(proxy.url, rehearsal.election, dataset)
        async with asyncio.TaskGroup() as parts:
            parts.create_task(watcher.follow(reports))
            record = parts.create_task(follow_publications(gateway.feed_url, rehearsal.election, reports))
            rehearsing = parts.create_task(rehearsal.run())
        summary, publications = rehearsing.result(), record.result()

    assert (summary.receipts, summary.refused) == (reports, 0)
    assert summary.publications == reports
    assert summary.areas > 0
    assert summary.wrong == []

    assert [publication["sequence"] for publication in publications] == list(range(1, reports + 1))
    assert broken_links(publications) == []
    with_receipt = {
        (sending.unit, sending.revision): sending.answer
        for sendings in rehearsal.replay.senders.values()
        for sending in sendings
    }
    for publication in publications:
        answer = with_receipt.pop((publication["report"]["unit"], publication["report"]["revision"]))
        assert answer is not None
        assert answer.digest == publication["digest"]
        assert answer.sequence in (None, publication["sequence"])
    assert with_receipt == {}

    assert proxy.cuts > 0, "the watcher was never cut off, so the test shows nothing"
    assert watcher.inconsistent == []
    assert watcher.went_back == []
    async with aiohttp.ClientSession() as session:
        assert watcher.subscriber.copy == await server_copy(session, gateway.feed_url, rehearsal.election)
    return summary


@pytest.fixture
async def gateway(database: Database) -> AsyncIterator[Gateway]:
    """A gateway with two push and two feed processes."""
    async with running(database, push_workers=2, feed_workers=2) as started:
        yield started


async def test_the_recorded_night_yields_the_official_totals(
    gateway: Gateway, database: Database, recorded: Path
) -> None:
    """All 12 689 reports are pushed over three transports; readers cut off at random see consistent figures."""
    summary = await _whole_night(gateway, database, DataSet.open(recorded))
    assert summary.reports == 12_689
    assert summary.areas == 377


@full_only
async def test_a_generated_night_yields_its_official_totals(
    gateway: Gateway, database: Database, tmp_path: Path
) -> None:
    """A generated election passes the same checks as the recorded one."""
    write_election(tmp_path / "election", 3, SCALE)
    summary = await _whole_night(gateway, database, DataSet.open(tmp_path / "election"))
    assert summary.reports > 10_000 * SCALE
