"""The list of holds on the feed door: which units are held, the lines, and that the record never waits for them."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest
from msgspec import structs

from gateway.election.hold_list import HoldLine, next_hold_chain
from gateway.election.record import CHAIN_START
from gateway.election.state import HistoryChanged
from gateway.errors import JournalUnavailable
from gateway.feed import holds, hub
from gateway.feed.holds import HoldList
from gateway.rehearsal.generator import GeneratedElection
from tests.feed.hold_lines import WrittenHolds
from tests.feed.served import AT, FakeRecord, Served, a_night, served, until
from tests.web.doors import COUNTRY, HERE, OTHER_UNIT, UNIT, ask, streaming

MINUTE = timedelta(minutes=1)


async def _nothing(_after: int, _most: int) -> list[HoldLine]:
    return []


def held_after(lines: Iterable[HoldLine]) -> dict[str, datetime]:
    listed = HoldList({"a", "b"}, _nothing)
    listed.add([*lines])
    return dict(listed.held)


def test_a_unit_is_held_from_a_beginning_to_an_end() -> None:
    """However it ends; a hold that supersedes another goes on, since the first; other units' are left out."""
    written = WrittenHolds()
    seen = []
    for unit, state, since in (
        ("a", "held", AT),
        ("b", "held", AT + MINUTE),
        ("a", "superseded", AT),
        ("a", "held", AT),
        ("unknown", "held", AT),
        ("b", "rejected", AT + MINUTE),
        ("a", "released", AT),
    ):
        written.write(unit, state, since=since)
        seen.append(held_after(written.lines))
    assert seen == [
        {"a": AT},
        {"a": AT, "b": AT + MINUTE},
        {"b": AT + MINUTE},
        {"a": AT, "b": AT + MINUTE},
        {"a": AT, "b": AT + MINUTE},
        {"a": AT},
        {},
    ]


@pytest.mark.parametrize("wrong", ["a gap", "a repetition", "another history"])
def test_a_line_that_does_not_continue_the_list_is_noticed(wrong: str) -> None:
    """By its number or its chain."""
    written = WrittenHolds()
    for state in ("held", "rejected", "held"):
        written.write("a", state)
    first, second, third = written.lines
    other = WrittenHolds(b"\x01" * 32)
    other.write("a", "held")
    other.write("a", "rejected")
    lines = {
        "a gap": [first, third],
        "a repetition": [first, first],
        "another history": [first, other.lines[1]],
    }
    assert held_after([first, second, third]) == {"a": AT}
    with pytest.raises(HistoryChanged):
        held_after(lines[wrong])


# On the door.


class Record(FakeRecord):
    """A record whose list of holds a test writes, and may break."""

    unreadable = False

    async def hold_lines(self, election: int, after: int, most: int) -> list[HoldLine]:
        if self.unreadable:
            raise JournalUnavailable("away")
        return await super().hold_lines(election, after, most)


@pytest.fixture
def record(small: GeneratedElection) -> Record:
    return Record(small.registry, a_night(small.registry, 20), shown=20)


@asynccontextmanager
async def opened(record: Record) -> AsyncIterator[Served]:
    """Open a door, and wait until it has read the list of holds."""
    async with served(record) as door:
        await shown(door, record.hold_list)
        yield door


async def shown(door: Served, lines: list[HoldLine]) -> None:
    """Put lines into the record, and wait until the door shows them."""
    door.record.hold_list = [*lines]
    door.hub.wake()
    await until(lambda: door.feed.holds.number == len(lines))


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def listed(http: aiohttp.ClientSession, door: Served, **query: int) -> list[dict[str, Any]]:
    answer = await ask(http, "GET", door.url("/holds"), params=query)
    assert answer.status == 200
    return [json.loads(line) for line in answer.body.splitlines()]


async def test_the_list_is_served_in_pages_that_can_be_verified(
    record: Record, http: aiohttp.ClientSession
) -> None:
    """Each line is its own bytes with the chain; a page has the last chain as its ETag."""
    written = WrittenHolds()
    for number in range(205):
        written.write(UNIT, "held" if number % 2 == 0 else "rejected")
    record.hold_list = written.lines
    async with opened(record) as door:
        assert [each["number"] for each in await listed(http, door)] == [*range(1, 101)]
        assert [each["number"] for each in await listed(http, door, after=203)] == [204, 205]
        assert [each["number"] for each in await listed(http, door, after=7, limit=2)] == [8, 9]
        assert await listed(http, door, after=205) == await listed(http, door, after=5000) == []
        chain = CHAIN_START
        for each in await listed(http, door, limit=1000):
            found = each.pop("chain")
            chain = next_hold_chain(chain, json.dumps(each, separators=(",", ":"), sort_keys=True).encode())
            assert found == chain.hex()
        for query in ({"after": 0}, {"after": 203}, {"after": 205}):
            answer = await ask(http, "GET", door.url("/holds"), params=query)
            lines = answer.body.splitlines()
            assert answer.headers["ETag"] == f'"{json.loads(lines[-1])["chain"] if lines else ""}"'
            assert answer.headers["Cache-Control"] == "public, max-age=1"
            again = await ask(
                http,
                "GET",
                door.url("/holds"),
                params=query,
                headers={"If-None-Match": answer.headers["ETag"]},
            )
            assert (again.status, again.body) == (304, b"")
        for query in ({"limit": 0}, {"limit": 1001}, {"after": -1}):
            (await ask(http, "GET", door.url("/holds"), params=query)).problem(400, "bad_query")


async def test_units_that_are_held_appear_in_transfers_and_blocks_say_that_the_list_has_grown(
    record: Record, http: aiohttp.ClientSession
) -> None:
    """How many units of each municipality are held, and since when; nothing of it changes an event of an area."""
    written = WrittenHolds()
    async with opened(record) as door:
        async with streaming(http, door.url(), levels="country") as reader:
            before = await reader.block()
        assert "holds" not in before.end
        written.write(UNIT, "held", since=AT)
        written.write(OTHER_UNIT, "held", since=AT + MINUTE)
        await shown(door, written.lines)
        one = (await ask(http, "GET", door.url(f"/transfers/{HERE}"))).document
        assert one["held"] == 2
        assert one["oldest_held_s"] > 1_000_000
        everywhere = (await ask(http, "GET", door.url("/transfers"))).document["transfers"]
        others = [each for each in everywhere if each["municipality"] != HERE]
        assert {(each["held"], each["oldest_held_s"]) for each in others} == {(0, None)}
        assert one["accepted"] == one["published"]
        door.feed.maker.advance()
        async with streaming(http, door.url(), levels="country") as reader:
            after = await reader.block()
        assert (after.end["holds"], after.areas, after.id) == (2, before.areas, before.id)
        written.write(UNIT, "released")
        await shown(door, written.lines)
        assert set(door.feed.held) == {OTHER_UNIT}


async def test_the_list_is_read_only_when_it_has_changed(record: Record) -> None:
    """However often the head is."""
    written = WrittenHolds()
    written.write(UNIT, "held")
    record.hold_list = written.lines
    async with opened(record):
        reads, looks = record.hold_reads, record.looks
        assert reads == 1
        await until(lambda: record.looks > looks + 5)
        assert record.hold_reads == reads


async def test_the_record_goes_on_while_the_list_cannot_be_read(record: Record) -> None:
    """Publications are shown; the list follows when it can be read."""
    record.night = a_night(json.loads(record.document), 40)
    written = WrittenHolds()
    written.write(UNIT, "held")
    async with opened(record) as door:
        record.unreadable = True
        record.hold_list = written.lines
        for count in range(21, 30):
            await door.show(count)
        assert door.feed.holds.number == 0
        record.unreadable = False
        await shown(door, written.lines)
        assert set(door.feed.held) == {UNIT}


async def test_another_list_is_read_from_its_beginning(
    record: Record, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restore of the database; one that only lacks lines may be a replica's, and is waited for."""
    written, another = WrittenHolds(), WrittenHolds()
    for state in ("held", "rejected", "held"):
        written.write(UNIT, state)
        another.write(OTHER_UNIT, state)
    record.hold_list = written.lines
    async with opened(record) as door:
        assert {each["unit"] for each in await listed(http, door)} == {UNIT}
        record.hold_list = another.lines
        door.hub.wake()
        await until(lambda: set(door.feed.held) == {OTHER_UNIT})
        assert {each["unit"] for each in await listed(http, door)} == {OTHER_UNIT}
        record.hold_list = another.lines[:2]
        looks = record.looks
        await until(lambda: record.looks > looks + 5)
        assert door.feed.holds.number == 3
        monkeypatch.setattr(holds, "BEHIND_MAX_S", 0.0)
        await until(lambda: door.feed.holds.number == 2)
        assert not door.feed.held


async def test_a_long_list_is_read_in_pages_and_old_lines_on_request(
    record: Record, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the newest lines stay in memory."""
    written = WrittenHolds()
    for number in range(4100):
        written.write(UNIT, "held" if number % 2 == 0 else "rejected")
    record.hold_list = written.lines
    async with opened(record) as door:
        reads = record.hold_reads
        assert reads == 5
        assert [each["number"] for each in await listed(http, door, after=500, limit=1000)] == [
            *range(501, 1501)
        ]
        assert record.hold_reads == reads + 1 + 1
        await listed(http, door, after=300)
        assert record.hold_reads == reads + 2


async def test_nothing_of_holds_is_shown_while_figures_are_hidden(
    record: Record, http: aiohttp.ClientSession
) -> None:
    """Even if the record had lines before the release, which it has not."""
    written = WrittenHolds()
    written.write(UNIT, "held")
    record.released = False
    record.show(0)
    record.hold_list = written.lines
    async with served(record) as door:
        await asyncio.sleep(0)
        answer = await ask(http, "GET", door.url("/holds"))
        assert (answer.body, answer.headers["ETag"]) == (b"", '""')
        for each in (await ask(http, "GET", door.url("/transfers"))).document["transfers"]:
            assert (each["held"], each["oldest_held_s"]) == (0, None)
        assert COUNTRY in door.feed.registry.by_id


@pytest.mark.parametrize("ended", ["released", "superseded"])
async def test_a_hold_ends_with_the_publication_that_ends_it(
    record: Record, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever follows the record without reading its heads: one notification is for both."""
    monkeypatch.setattr(hub, "POLL_IDLE_S", 3600.0)
    monkeypatch.setattr(hub, "BUSY_POLLS", 0)
    record.show(18)
    last = record.night[19]
    written = WrittenHolds()
    written.write(last.unit, "held", since=AT)
    async with opened(record) as door:
        await shown(door, written.lines)
        await door.show(19)
        written.write(last.unit, ended, since=AT)
        record.hold_list = [*written.lines]
        if ended == "released":
            record.night[19] = structs.replace(last, held_since=AT)
        await door.show(20)
        await until(lambda: not door.feed.held)
