"""Two push and two feed workers under concurrent load: one record, and identical copies of it."""

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from gateway.rehearsal.generator import GeneratedElection
from tests.counts import count
from tests.running import Gateway, Sender
from tests.web.doors import (
    COUNTRY,
    EVERYTHING,
    a_report,
    ask,
    connected,
    feed_url,
    push,
    push_lines,
    shown,
    streaming,
    streaming_from_every_worker,
    units_of,
)

REPORTS = count(12, full=24)
"""Of each sender."""


def reports_of(unit: str) -> list[dict[str, Any]]:
    """Return a unit's reports, with decreases and repeated values."""
    chance = random.Random(unit)
    return [a_report(unit, revision, votes=chance.randrange(50)) for revision in range(1, REPORTS + 1)]


async def over_http(sender: Sender, unit: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as http:
        return [(await push(http, sender, report)).document for report in reports_of(unit)]


async def in_batches(sender: Sender, unit: str) -> list[dict[str, Any]]:
    reports = reports_of(unit)
    receipts = []
    async with aiohttp.ClientSession() as http:
        for start in range(0, REPORTS, 6):
            receipts += (await push_lines(http, sender, reports[start : start + 6])).results
    return receipts


async def over_websocket(sender: Sender, unit: str) -> list[dict[str, Any]]:
    """Push with a token of its own, since all sockets of a token share its credit."""
    own = await sender.gateway.issue(sender.election, [COUNTRY])
    async with aiohttp.ClientSession() as http, connected(http, own) as socket:
        for report in reports_of(unit):
            await socket.send(report["revision"], report)
        return await socket.results(REPORTS)


async def test_there_is_one_record_whichever_workers_reports_are_pushed_to(
    gateway: Gateway, http: aiohttp.ClientSession, small: GeneratedElection, sender: Sender
) -> None:
    """The sequence has no gaps or repetitions, and every reader on every worker ends up with the same areas."""
    await shown(gateway, sender.election)
    units = [unit for unit in units_of(small) if unit[5:] != "9999"][:30]
    ways = [(over_http, in_batches, over_websocket)[place % 3] for place in range(len(units))]
    total = len(units) * REPORTS
    url, publications = (feed_url(gateway, sender.election, path) for path in ("/feed", "/publications"))
    async with AsyncExitStack() as opened:
        enter = opened.enter_async_context
        streams = await enter(streaming_from_every_worker(gateway, http, url, levels=EVERYTHING))
        for options in ({"areas": "02"}, {"every_s": 1, "levels": EVERYTHING}):
            streams.append(await enter(streaming(http, url, {"Accept-Encoding": "gzip"}, **options)))
        records = [await enter(streaming(http, publications)) for _ in range(6)]
        pushing = asyncio.gather(*(way(sender, unit) for way, unit in zip(ways, units, strict=True)))
        following = asyncio.gather(*(stream.blocks_until(total) for stream in streams))
        recording = asyncio.gather(*(stream.events("publication", total) for stream in records))
        receipts = [receipt for each in await pushing for receipt in each]
        assert {receipt["outcome"] for receipt in receipts} == {"accepted"}
        blocks = await following
        recorded = await recording
    assert sorted(receipt["sequence"] for receipt in receipts) == list(range(1, total + 1))

    given = {receipt["sequence"]: (receipt["unit"], receipt["revision"]) for receipt in receipts}
    for events in recorded:
        documents = [event.document for event in events]
        assert [each["sequence"] for each in documents] == list(range(1, total + 1))
        for each in documents:
            assert given[each["sequence"]] == (each["report"]["unit"], each["report"]["revision"])
        assert documents == [event.document for event in recorded[0]]
    for each_blocks in blocks:
        sequences = [block.sequence for block in each_blocks]
        assert sequences == sorted(sequences)
        for block in each_blocks:
            assert all(area["sequence"] <= block.sequence for area in block.areas)

    areas = await read_all(http, gateway, sender.election, COUNTRY)
    for stream in streams:
        expected = {name: areas[name] for name in stream.copy}
        assert stream.copy == expected
    assert set(streams[0].copy) == set(areas)
    last = {unit: reports_of(unit)[-1]["counts"]["election_day"]["votes"]["FL"] for unit in units}
    assert areas[COUNTRY]["counts"]["election_day"]["votes"]["FL"] == sum(last.values())
    for name, area in areas.items():
        if area["level"] != "precinct":
            below = [unit for unit in units if unit in units_of(small, name)]
            votes = area["counts"].get("election_day", {}).get("votes", {}).get("FL", 0)
            assert votes == sum(last[unit] for unit in below)


async def read_all(
    http: aiohttp.ClientSession, gateway: Gateway, election: str, area: str
) -> dict[str, dict[str, Any]]:
    """Return an area and all below it, read one by one."""
    document = (await ask(http, "GET", feed_url(gateway, election, f"/areas/{area}"))).document
    found: dict[str, dict[str, Any]] = {}
    for child in document.pop("children"):
        found |= await read_all(http, gateway, election, child["area"])
    del document["record"], document["rehearsal"]
    return {area: document, **found}
