"""Work for single readers is cheap and bounded; shared work is not charged."""

import asyncio
import random
import statistics
import time
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from itertools import combinations
from typing import Any
from unittest.mock import patch

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.election.registry_reading import read_registry
from gateway.election.state import ElectionState
from gateway.feed import blocks, stream
from gateway.feed.blocks import LARGE_BLOCK_BYTES, PARTS_READERS_MAX, BlockMaker
from gateway.feed.compression import GZIP_START, deflate
from gateway.feed.selection import AREAS_MAX, read_selection, runs_of
from gateway.rehearsal.generator import GeneratedElection, generate
from tests.counts import examples
from tests.election.makers import REGISTRY
from tests.feed.served import FakeRecord, Served, a_night, served, until
from tests.web.doors import EVERYTHING, ask, streaming

PACKED = {"Accept-Encoding": "gzip"}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        yield session


@pytest.fixture
def record(small: GeneratedElection) -> FakeRecord:
    return FakeRecord(small.registry, a_night(small.registry, 140), shown=70)


class Night:
    """A state that changes, and its blocks."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.registry = read_registry(document)
        self.state = ElectionState(self.registry)
        self.maker = BlockMaker(self.state)
        self._publications = iter(a_night(document, 300))

    def publish(self, count: int) -> None:
        for _ in range(count):
            self.state.apply(next(self._publications))
        self.maker.advance()


def unpacked(piece: bytes) -> bytes:
    return zlib.decompressobj(31).decompress(GZIP_START + piece)


# What a block is made of.


def test_a_registry_is_runs_of_siblings() -> None:
    """Every area is in one run, in the order of the registry; the areas below an area are the runs below it."""
    runs = runs_of(REGISTRY)
    assert [index for run in runs.all for index in run] == list(range(len(REGISTRY.areas)))
    assert all(index in runs.all[runs.of_area[index]] for index in range(len(REGISTRY.areas)))
    for area in REGISTRY.areas:
        below = {index for number in runs.below(area.index) for index in runs.all[number]}
        assert below == REGISTRY.below(area) - {area.index}
    for run in runs.all:
        alike = {(area.parent, area.level, area.is_unit) for area in REGISTRY.areas[run.start : run.stop]}
        assert len(alike) == 1


def lists_of(names: Iterable[str]) -> st.SearchStrategy[str | None]:
    return st.none() | st.lists(st.sampled_from(sorted(names)), min_size=1, max_size=6).map(",".join)


@settings(deadline=None, max_examples=examples(40))
@given(st.data())
def test_a_block_in_parts_and_as_a_whole_decompress_to_the_same_text(
    small: GeneratedElection, data: st.DataObject
) -> None:
    """For any selection, as a snapshot or from any cursor, for the first reader and for the last."""
    night = Night(small.registry)
    far = data.draw(st.sampled_from([-1, 30, 1000]), label="far")
    levels = data.draw(lists_of(night.registry.levels), label="levels")
    areas = data.draw(lists_of(night.registry.by_id), label="areas")
    selection = read_selection(night.registry, levels, areas)
    for count in data.draw(st.lists(st.integers(0, 60), min_size=1, max_size=4)):
        before = data.draw(st.integers(0, night.state.sequence))
        night.publish(count)
        with patch.object(blocks, "SCAN_AREAS_AFTER", far):
            made = night.maker.snapshot(selection), night.maker.since(selection, before)
        for block in made:
            plain = b"".join(night.maker._event(index) for index in members(night, selection, block, before))
            assert block.plain.startswith(plain + b"event: block\n")
            forms = [
                block.bytes(gzip=True),
                block.bytes(gzip=True, readers=PARTS_READERS_MAX),
                block.bytes(gzip=True),
            ]
            assert [unpacked(each) for each in forms] == [block.plain] * 3
            assert forms[1] is forms[2]
        assert night.maker._parts_bytes == sum(part.memory for part in night.maker._parts.values())


def members(night: Night, selection: Any, block: Any, before: int) -> list[int]:
    """Indexes of the areas that a block has to contain, computed one by one."""
    snapshot = b'"snapshot":true' in block.plain
    return [
        area.index
        for area in night.registry.areas
        if area.index in selection and (snapshot or night.state.areas[area.index].sequence > before)
    ]


@pytest.fixture(scope="module")
def larger() -> dict[str, Any]:
    """The registry of an election of some hundreds of units."""
    return generate(seed=7, scale=0.15).registry


def test_snapshots_of_uncommon_selections_are_assembled_from_shared_parts(
    larger: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs are compressed once for all of them, and a little for each."""
    packed: list[int] = []

    def counted(text: bytes, **options: Any) -> bytes:
        packed.append(len(text))
        return deflate(text, **options)

    monkeypatch.setattr(blocks, "deflate", counted)
    night = Night(larger)
    night.publish(200)
    municipalities = [area.id for area in night.registry.areas if area.level == "municipality"]
    sent = 0
    for seed in range(100):
        named = random.Random(seed).sample(municipalities, AREAS_MAX)
        block = night.maker.snapshot(read_selection(night.registry, EVERYTHING, ",".join(named)))
        assert unpacked(block.bytes(gzip=True)) == block.plain
        sent += block.size
    assert sum(packed) < sent / 3
    assert night.maker.work < 4 * sent, "what is charged is near to what was done"
    assert len(packed) < 30 * 100


def test_only_changed_parts_are_assembled_again(small: GeneratedElection) -> None:
    """A publication changes the runs of its unit and of the areas above."""
    night = Night(small.registry)
    everything = read_selection(night.registry, EVERYTHING, None)
    night.maker.snapshot(everything)
    before = dict(night.maker._parts)
    night.publish(1)
    night.maker.snapshot(everything)
    after = night.maker._parts
    changed = {number for number in before if after[number] is not before[number]}
    (publication,) = a_night(small.registry, 1)
    unit = night.registry.by_id[publication.unit]
    touched = {runs_of(night.registry).of_area[index] for index in (unit.index, *unit.path)}
    assert changed == touched & set(before)


def test_the_cache_of_parts_is_bounded(small: GeneratedElection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that do not fit are encoded again."""
    monkeypatch.setattr(blocks, "PARTS_BYTES_MAX", 20_000)
    night = Night(small.registry)
    everything = read_selection(night.registry, EVERYTHING, None)
    for _ in range(5):
        night.publish(10)
        block = night.maker.snapshot(everything)
        assert unpacked(block.bytes(gzip=True)) == block.plain
        assert night.maker._parts_bytes <= 20_000
        assert night.maker._parts_bytes == sum(part.memory for part in night.maker._parts.values())


def test_a_block_with_many_readers_is_compressed_as_a_whole(small: GeneratedElection) -> None:
    """The larger the block, the more readers; or as soon as enough ask at once. All later readers get that."""
    night = Night(small.registry)
    night.publish(70)
    block = night.maker.snapshot(read_selection(night.registry, EVERYTHING, None))
    first = block.bytes(gzip=True)
    enough = PARTS_READERS_MAX * (1 + block.size // LARGE_BLOCK_BYTES)
    assert {id(block.bytes(gzip=True)) for _ in range(enough - 1)} == {id(first)}
    whole = block.bytes(gzip=True)
    assert len(whole) < len(first)
    assert block.bytes(gzip=True) is whole
    assert block.bytes(gzip=False) is block.plain
    other = night.maker.snapshot(read_selection(night.registry, "precinct", None))
    assert other.bytes(gzip=True, readers=PARTS_READERS_MAX) == deflate(other.plain)


def test_creating_a_selection_does_not_iterate_over_all_areas(small: GeneratedElection) -> None:
    """Its areas are computed only when needed."""
    registry = read_registry(small.registry)
    runs_of(registry)

    class Untouched(tuple[Any, ...]):
        def __iter__(self) -> Any:
            raise AssertionError("all areas were looked at")

    looked_at = registry.areas
    registry.areas = Untouched(looked_at)
    names = [area.id for area in looked_at if area.level == "county"]
    assert read_selection(registry, EVERYTHING, ",".join(names)).key


# The door.


def unusual(door: Served) -> list[str]:
    """Selections that no other reader has, the largest first."""
    names = [area.id for area in door.feed.registry.areas if area.level in ("county", "municipality")]
    found = [",".join(choice) for count in (3, 2) for choice in combinations(names, count)]
    return [f"/feed?levels={EVERYTHING}&areas={choice}" for choice in found]


async def snapshot(http: aiohttp.ClientSession, url: str, **headers: str) -> int:
    """Request a feed, read its first block, and leave; return the status, or 0 for a refusal with status 200."""
    async with http.get(url, headers={**PACKED, **headers}) as response:
        if response.status != 200:
            return response.status
        packed = "Content-Encoding" in response.headers
        unpacker = zlib.decompressobj(31)
        text = b""
        async for piece in response.content.iter_any():
            text += unpacker.decompress(piece) if packed else piece
            if b"event: block" in text:
                return 200
        return 0


async def test_an_address_with_too_much_unshared_work_is_refused(
    record: FakeRecord, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It still gets shared blocks; a browser gets a retry delay."""
    async with served(record, unshared_per_address=1) as door:
        now = time.monotonic()
        monkeypatch.setattr(door.door.limits.allowance, "_clock", lambda: now)
        monkeypatch.setattr(door.door.limits.allowance, "_rate", 20_000.0)
        found = []
        for path in unusual(door):
            found.append(await snapshot(http, door.url(path)))
            if found[-1] != 200:
                break
        assert found[-1] == 429
        answer = await ask(http, "GET", door.url(path))
        assert answer.problem(429, "overloaded")
        assert int(answer.headers["Retry-After"]) >= 1
        assert await snapshot(http, door.url(path), Accept="text/event-stream") == 0
        for query in ("", "?levels=county", "?every_s=10"):
            assert await snapshot(http, door.url("/feed" + query)) == 200
        now += 60.0
        assert await snapshot(http, door.url(path)) == 200


async def test_many_readers_of_one_address_may_return_together(
    record: FakeRecord, http: aiohttp.ClientSession
) -> None:
    """They read shared blocks, so nothing is charged."""
    async with served(record, unshared_per_address=1) as door, AsyncExitStack() as opened:
        cursors = [record.cursor(number) for number in range(1, 71)] * 3
        streams = [
            await opened.enter_async_context(streaming(http, door.url(), {"Last-Event-ID": cursor}))
            for cursor in cursors
        ]
        blocks = [await each.block() for each in streams]
        assert all(not block.snapshot for block in blocks)
        assert door.streams == len(cursors)
        assert door.door.limits.allowance._used == {}


async def test_an_uncommon_selection_with_many_readers_is_not_charged(
    record: FakeRecord, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first few readers paid for it."""
    monkeypatch.setattr(blocks, "BLOCK_SHARED_S", 0.0)
    async with served(record) as door, AsyncExitStack() as opened:
        path = unusual(door)[0]
        used = []
        for _ in range(12):
            stream = await opened.enter_async_context(streaming(http, door.url(path)))
            await stream.block()
            used.append(sum(each.burst - each._left for each in door.door.limits.allowance._used.values()))
        assert used[0] > 0
        assert len(door.feed.channels) == 1
        monkeypatch.setattr(door.door.limits.allowance, "_used", {})
        stream = await opened.enter_async_context(streaming(http, door.url(path)))
        await stream.block()
        assert door.door.limits.allowance._used == {}


async def test_selections_of_one_address_are_limited(record: FakeRecord, http: aiohttp.ClientSession) -> None:
    """Further readers of open selections and of common ones are accepted; a closed selection makes room."""
    async with served(record, selections_per_address=3) as door, AsyncExitStack() as opened:
        paths = unusual(door)[:4]
        streams = [await opened.enter_async_context(streaming(http, door.url(path))) for path in paths[:3]]
        for stream in streams:
            await stream.block()
        (await ask(http, "GET", door.url(paths[3]))).problem(429, "too_many_selections")
        for path in (paths[0], "/feed", "/feed?levels=county"):
            other = await opened.enter_async_context(streaming(http, door.url(path)))
            await other.block()
        for reader in door.readers:
            reader.abort()
        await until(lambda: not door.feed.channels)
        assert door.door.limits._selections == 0
        assert door.door.limits._selections_of._counts == {}
        again = await opened.enter_async_context(streaming(http, door.url(paths[3])))
        await again.block()


async def test_selections_of_all_addresses_are_limited(
    record: FakeRecord, http: aiohttp.ClientSession
) -> None:
    """Common ones do not count."""
    async with served(record, selections_max=2) as door, AsyncExitStack() as opened:
        paths = unusual(door)[:3]
        for path in (*paths[:2], "/feed"):
            await (await opened.enter_async_context(streaming(http, door.url(path)))).block()
        (await ask(http, "GET", door.url(paths[2]))).problem(503, "full")


async def test_selections_are_released_when_the_history_changes(
    record: FakeRecord, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """All readers are closed, and reconnect."""
    async with served(record) as door, AsyncExitStack() as opened:
        for path in unusual(door)[:2]:
            await (await opened.enter_async_context(streaming(http, door.url(path)))).block()
        assert door.door.limits._selections == 2
        record.night = a_night(small.registry, 140, votes=2)
        record.show(71)
        door.hub.wake()
        await until(lambda: door.feed.settled and door.feed.state.sequence == 71)
        await until(lambda: door.streams == 0)
        assert door.door.limits._selections == 0


async def test_a_pass_serves_common_selections_and_as_many_others_as_it_has_time_for(
    record: FakeRecord, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others follow in later passes, in turn, and all get the newest values."""
    monkeypatch.setattr(stream, "PASS_MAX_S", -1.0)  # so that one is as many as it has time for
    written: list[list[str]] = []
    async with served(record) as door, AsyncExitStack() as opened:
        paths = [*unusual(door)[:6], "/feed", "/feed?levels=county"]
        streams = [await opened.enter_async_context(streaming(http, door.url(path))) for path in paths]
        for each in streams:
            await each.block()
        passes = door.feed._write_due

        def watched() -> tuple[int, float]:
            before = {key: channel.position for key, channel in door.feed._channels.items()}
            result = passes()
            after = door.feed._channels
            moved = [key[0] for key, position in before.items() if after[key].position is not position]
            if moved:  # the timer passes over the readers too, perhaps before there is anything to write
                written.append(moved)
            return result

        monkeypatch.setattr(door.feed, "_write_due", watched)
        await door.show(140)
        for each in streams:
            await each.blocks_until(140)
        unusual_ones = [len([key for key in each if not key.endswith("/")]) for each in written]
        assert max(unusual_ones) == 1
        assert sum(unusual_ones) == 6
        assert {"/", "county/"} <= set(written[0])
        assert not door.feed._due


async def test_large_channels_come_before_small_ones(
    record: FakeRecord, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any order of joining."""
    monkeypatch.setattr(stream, "PASS_MAX_S", -1.0)
    monkeypatch.setattr(stream, "LARGE_CHANNEL_READERS", 3)
    async with served(record) as door, AsyncExitStack() as opened:
        narrow, wide = unusual(door)[:2]
        for path in (narrow, wide, wide, wide):
            await (await opened.enter_async_context(streaming(http, door.url(path)))).block()
        positions: list[list[bool]] = []
        passes = door.feed._write_due

        def watched() -> tuple[int, float]:
            result = passes()
            positions.append([channel.position.sequence == 140 for channel in door.feed.channels])
            return result

        monkeypatch.setattr(door.feed, "_write_due", watched)
        await door.show(140)
        await until(lambda: [True, True] in positions)
        assert [each for each in positions if any(each)][:2] == [[False, True], [True, True]]


async def test_waiting_requests_of_one_address_are_limited(
    record: FakeRecord, http: aiohttp.ClientSession
) -> None:
    """Above the limit `at_least` is refused, and a feed starts at once with a snapshot."""
    async with served(record, readers_per_address=3) as door, asyncio.TaskGroup() as parts:
        root = door.url(f"/areas/{door.feed.registry.root.id}")
        waiting = [parts.create_task(ask(http, "GET", root, params={"at_least": 71})) for _ in range(3)]
        await until(lambda: len(door.feed._sequence_waiters) == 3)
        (await ask(http, "GET", root, params={"at_least": 71})).problem(429, "overloaded")
        assert (await ask(http, "GET", root, params={"at_least": 70})).status == 200
        async with streaming(http, door.url(), {"Last-Event-ID": record.cursor(71)}) as ahead:
            assert (await ahead.block()).snapshot
        await door.show(71)
        assert [(await each).document["record"]["sequence"] for each in waiting] == [71] * 3
        assert door.door.limits.waits_of._counts == {}


def test_an_uncommon_snapshot_costs_a_small_part_of_compressing_it(larger: dict[str, Any]) -> None:
    """Both measured in CPU time, in turns in the same run; the median of their ratios, and with room for noise."""
    night = Night(larger)
    night.publish(200)
    municipalities = [area.id for area in night.registry.areas if area.level == "municipality"]
    night.maker.snapshot(read_selection(night.registry, EVERYTHING, None)).bytes(gzip=True)  # makes the parts
    ratios = []
    for turn in range(10):
        area_lists = [
            ",".join(random.Random(10 * turn + number).sample(municipalities, AREAS_MAX))
            for number in range(10)
        ]
        began = time.process_time()
        made = [
            night.maker.snapshot(read_selection(night.registry, EVERYTHING, areas)) for areas in area_lists
        ]
        for block in made:
            block.bytes(gzip=True)
        in_parts_s, began = time.process_time() - began, time.process_time()
        for block in made:
            deflate(block.plain)
        ratios.append(in_parts_s / (time.process_time() - began))
    assert statistics.median(ratios) < 1 / 2
