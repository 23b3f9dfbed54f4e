"""The feed door on a record that breaks off, changes, is incomplete or disappears; and clients that read nothing."""

import asyncio
import copy
import itertools
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import orjson
import pytest
from msgspec.structs import replace

from gateway.election.record import Head, Publication, Unapplied
from gateway.election.state import CatchUp, ElectionState
from gateway.feed import archive, blocks, hub, stream
from gateway.feed.selection import read_selection
from gateway.rehearsal.generator import GeneratedElection
from gateway.telemetry.metrics import FeedMetrics
from gateway.web import feed_lookup
from gateway.wire.areas import area_document
from tests.clocks import ManualClock
from tests.election.makers import DOCUMENT, REGISTRY, a_report, some_counts
from tests.election.makers import Record as Written
from tests.feed.reader import Client
from tests.feed.served import AT, KEY, FakeRecord, Served, a_night, served, until
from tests.web.doors import EVERYTHING, ask, open_connection, streaming

NIGHT = 280
"""Publications of most of these nights: four rounds of all units."""
SMALL_BUFFER = 4096
"""Bytes a socket holds, give or take what the kernel adds."""


@pytest.fixture(autouse=True, params=[stream.APPLY_SLICE, 3], ids=["one by one", "many at once"])
def _slice(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two heads there may be few publications or many."""
    monkeypatch.setattr(stream, "APPLY_SLICE", request.param)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        yield session


@pytest.fixture(scope="module")
def document(small: GeneratedElection) -> dict[str, Any]:
    """The registry of the record, unless a test has another."""
    return small.registry


@pytest.fixture(scope="module")
def another_document(document: dict[str, Any]) -> dict[str, Any]:
    """The same election with a different name, and with a county before all others."""
    another = copy.deepcopy(document)
    another["election"]["name"] = "Another election"
    root = another["areas"][0]
    another["areas"][1:1] = [
        {"id": "new", "name": "New", "level": "county", "parent": root["id"], "seats": 4},
        {"id": "new-1", "name": "New, 1", "level": "municipality", "parent": "new"},
        {"id": "new-1-1", "name": "New, 1, 1", "level": "precinct", "parent": "new-1", "eligible": 5},
    ]
    return another


@pytest.fixture
def record(document: dict[str, Any]) -> FakeRecord:
    """A record without publications."""
    return FakeRecord(document, a_night(document, NIGHT))


def names_above_units(document: dict[str, Any]) -> set[str]:
    return {area["id"] for area in document["areas"] if area["level"] != "precinct"}


# Clients that take nothing.


class Silent:
    """A client that reads only when asked."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def ask(self, *paths: str) -> None:
        """Send requests in one piece."""
        self.writer.write(b"".join(f"GET {path} HTTP/1.1\r\nHost: door\r\n\r\n".encode() for path in paths))

    async def answer(self) -> bytes:
        """Read one answer with a known length."""
        self.writer.transport.resume_reading()
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        return await self.reader.readexactly(int(fields[b"content-length"]))

    async def follow(self, sequence: int) -> Client:
        """Read an event stream from its header until a block reaches a sequence."""
        self.writer.transport.resume_reading()
        async with asyncio.timeout(20):
            assert (await self.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            client = Client(gzip=False)
            while not client.blocks or client.blocks[-1].sequence < sequence:
                piece = await self.reader.read(1 << 16)
                assert piece, "the stream ended"
                client.feed(piece)
        return client


@asynccontextmanager
async def silent(served: Served) -> AsyncIterator[Silent]:
    client = Silent(*await open_connection(served.origin, SMALL_BUFFER))
    client.writer.transport.pause_reading()
    try:
        yield client
    finally:
        client.writer.transport.abort()


async def stall(served: Served, opened: AsyncExitStack, count: int, path: str | None = None) -> list[Silent]:
    """Open this many feeds, one after the other, none of which reads its snapshot."""
    clients = []
    for _ in range(count):
        clients.append(await opened.enter_async_context(silent(served)))
        before = sum(channel.stalled for channel in served.feed.channels)
        clients[-1].ask(served.path(path or f"/feed?levels={EVERYTHING}"))
        await until(lambda before=before: sum(each.stalled for each in served.feed.channels) > before)
    return clients


def unsent(served: Served) -> list[int]:
    """Bytes that are pending for each reader."""
    return [reader._transport.get_write_buffer_size() for reader in served.readers]


async def test_a_reader_with_a_full_socket_is_stalled_from_its_start(
    record: FakeRecord,
) -> None:
    """One block waits for it, however much is published; then it gets the newest values."""
    async with served(record, send_buffer=SMALL_BUFFER) as door, silent(door) as client:
        await door.show(70)
        answers = await fill(door, client)
        client.ask(door.path(f"/feed?levels={EVERYTHING}"))
        await until(lambda: bool(door.readers))
        (reader,) = door.readers
        assert (reader.paused, door.channel.stalled) == (True, 1)
        before = unsent(door)
        for count in range(80, NIGHT + 1, 10):
            await door.show(count)
        assert (reader.paused, door.channel.stalled) == (True, 1)
        assert unsent(door) == before
        for _ in range(answers):
            await client.answer()
        read = await client.follow(NIGHT)
        assert [block.sequence for block in read.blocks] == [70, NIGHT]
        assert read.copy[door.feed.registry.root.id]["sequence"] == NIGHT
        await until(lambda: not door.channel.stalled)


async def fill(door: Served, client: Silent) -> int:
    """Send requests until an answer is not accepted any more; return their number."""
    await until(lambda: len(door.connections) == 1)
    (connection,) = door.connections._open
    handler = connection.handler
    assert handler is not None
    for answers in range(1, 200):
        client.ask(door.path(f"/areas/{door.feed.registry.root.id}"))
        await until(lambda wanted=answers: handler._request_count == wanted)
        await until(lambda: handler._current_request is None)
        if handler.unsent:
            return answers
    raise AssertionError("the socket is never full")


async def test_a_feed_requested_right_behind_another_request_works(record: FakeRecord) -> None:
    """Both requests arrive together, so the answer is not sent yet when the connection is taken over."""
    async with served(record) as door, silent(door) as client:
        client.ask(door.path(f"/areas/{door.feed.registry.root.id}"), door.path())
        await until(lambda: bool(door.readers))
        await client.answer()
        following = asyncio.create_task(client.follow(30))
        for count in (10, 20, 30):
            await door.show(count)
        read = await following
        assert read.copy[door.feed.registry.root.id]["sequence"] == 30
        await until(lambda: not door.channel.stalled)


async def test_new_readers_that_stall_share_one_block(
    record: FakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All wait for the same bytes, without copies; they are counted once."""
    monkeypatch.setattr(blocks, "BLOCK_SHARED_S", 60.0, raising=False)
    record.show(70)
    async with served(record, send_buffer=SMALL_BUFFER) as door, AsyncExitStack() as opened:
        await stall(door, opened, 1)
        plain = door.readers[0].unsent
        assert len(plain) > 30_000
        alone = sys.getrefcount(plain)
        await stall(door, opened, 7)
        assert {id(reader.unsent) for reader in door.readers} == {id(plain)}
        assert sys.getrefcount(plain) >= alone + 7
        ((size, readers),) = door.channel.pinned().values()
        assert (size, len(readers)) == (len(plain), 8)


async def test_stalled_readers_are_closed_after_a_change_of_history(
    record: FakeRecord, document: dict[str, Any], http: aiohttp.ClientSession
) -> None:
    """As are the others: the end of the stream makes each reconnect, and none is counted any more."""
    record.show(70)
    async with served(record, send_buffer=SMALL_BUFFER) as door, AsyncExitStack() as opened:
        await stall(door, opened, 5)
        reading = await opened.enter_async_context(streaming(http, door.url()))
        await reading.block()
        assert door.streams == 6
        record.night = a_night(document, 50, votes=5)
        await door.show(50)
        await until(lambda: door.streams == 0)
        assert await reading.rest() == []


# A server that has the release, and does not know yet that it is confirmed.


async def test_a_release_that_was_shown_is_not_taken_back_after_a_failover(
    record: FakeRecord, http: aiohttp.ClientSession
) -> None:
    """The feed keeps its state until the new primary has the release; readers stay connected and get later changes."""
    record.show(10)
    async with served(record) as door, streaming(http, door.url()) as reader:
        await reader.block()
        record.released = False
        record.show(0)
        await looked(door, 3)
        assert (door.feed.state.sequence, door.feed.settled, door.streams) == (10, True, 1)
        async with http.get(door.url(""), headers={"Accept-Encoding": "identity"}) as answer:
            document = await answer.json()
        assert (document["sequence"], document["released_at"] is not None) == (10, True)
        record.released = True
        await door.show(12)
        assert (await reader.blocks_until(12))[-1].id == record.cursor(12)


async def test_a_record_that_still_lacks_its_release_is_a_different_one(
    record: FakeRecord, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restore to an earlier point: nothing of the old record is shown any more."""
    monkeypatch.setattr(stream, "REPLICA_LAG_MAX_S", 0.0)
    record.show(10)
    async with served(record) as door, streaming(http, door.url()) as reader:
        await reader.block()
        record.released = False
        await door.show(0)
        assert await reader.rest() == []


async def looked(door: Served, times: int) -> None:
    """Wait until the hub has read the heads this many times from now on."""
    for _ in range(times):
        looks = door.record.looks
        await until(lambda looks=looks: door.record.looks > looks + 1)


async def test_a_notification_costs_one_query_while_the_heads_are_recent(
    record: FakeRecord, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows is complete up to a head without reading it; if there may be more, the heads are read."""
    monkeypatch.setattr(hub, "POLL_IDLE_S", 60.0)
    monkeypatch.setattr(hub, "BUSY_POLLS", 0)
    record.show(10)
    async with served(record) as door, streaming(http, door.url()) as reader:
        await door.show(11)  # the heads are recent now, and show which election moves
        await reader.blocks_until(11)
        looks, reads = record.looks, record.reads
        for count in (12, 14):
            await door.show(count)
            assert (await reader.blocks_until(count))[-1].id == record.cursor(count)
        assert (record.looks, record.reads) == (looks, reads + 2)
        assert door.feed.head.sequence == 14
        await door.show(14 + hub.NEXT_MAX)
        assert record.looks == looks + 1


async def test_what_is_published_while_a_query_runs_is_not_lost(
    record: FakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its notification comes before the feed has applied what that query found."""
    monkeypatch.setattr(hub, "POLL_IDLE_S", 60.0)
    monkeypatch.setattr(hub, "BUSY_POLLS", 0)
    read = record.publications

    async def publications(election: int, after: int, most: int) -> list[Publication]:
        found = await read(election, after, most)
        if record.head == 12:
            record.show(13)
            door.hub.wake()
        return found

    record.show(10)
    async with served(record) as door:
        await door.show(11)  # the heads are recent now, and show which election moves
        monkeypatch.setattr(record, "publications", publications)
        record.show(12)
        door.hub.wake()
        await until(lambda: door.feed.state.sequence == 13)


class Pair(FakeRecord):
    """The record of an election and of another, which has the next key."""

    other: FakeRecord

    async def heads(self) -> list[Head]:
        return [*await super().heads(), *(replace(head, key=KEY + 1) for head in await self.other.heads())]

    async def registry(self, election: int) -> bytes:
        return await (super() if election == KEY else self.other).registry(election)

    async def publications(self, election: int, after: int, most: int) -> list[Publication]:
        return await (super() if election == KEY else self.other).publications(election, after, most)


async def test_what_one_election_has_is_not_overlooked_while_another_moves(
    document: dict[str, Any], another_document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One notification stands for both."""
    monkeypatch.setattr(hub, "POLL_IDLE_S", 60.0)
    monkeypatch.setattr(hub, "BUSY_POLLS", 0)
    record = Pair(document, a_night(document, NIGHT), 10)
    second = copy.deepcopy(another_document)
    second["election"]["id"] = "another"
    record.other = FakeRecord(second, a_night(second, NIGHT), 10)
    async with served(record) as door:
        await door.show(11)  # the heads are recent now, and show which election moves
        other = door.hub.feed("another")
        assert other is not None
        record.other.show(11)
        await door.show(12)
        await until(lambda: other.state.sequence == 11)
        record.other.closed_at = AT
        door.hub.wake()
        await until(lambda: other.head.closed_at == AT)
        await door.show(13)
        looks = record.looks
        await door.show(14)
        assert record.looks == looks


async def test_the_heads_are_read_when_they_are_due_whatever_was_read_without_them(
    record: FakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was notified together with a publication, but does not follow it, waits no longer than without a NOTIFY."""
    monkeypatch.setattr(hub, "BUSY_POLLS", 0)
    record.show(10)
    async with served(record) as door:
        await door.show(11)
        monkeypatch.setattr(hub, "POLL_IDLE_S", 3600.0)
        looks = record.looks
        door.hub.wake()
        await until(lambda: record.looks > looks)
        door.hub._heads_due_at = asyncio.get_running_loop().time() + 0.1
        looks = record.looks
        await door.show(12)
        await until(lambda: record.looks > looks)


# A record that breaks off.


async def test_an_interrupted_catch_up_ends_where_the_record_ends(
    record: FakeRecord, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The announced head never comes; connected readers get the rest, new ones a complete snapshot."""
    monkeypatch.setattr(hub, "NEXT_MAX", 1)  # heads are read before publications
    record.show(10)
    async with served(record) as door, streaming(http, door.url()) as early:
        await early.block()
        record.head, record.rows = 15, 13
        door.hub.wake()
        await until(lambda: door.feed.state.sequence == 13)
        assert not door.feed.settled
        await door.show(13)
        block = (await early.blocks_until(13))[-1]
        assert (block.sequence, block.id) == (13, record.cursor(13))
        assert early.copy[door.feed.registry.root.id]["sequence"] == 13
        async with streaming(http, door.url()) as late:
            snapshot = await late.block()
        assert (snapshot.snapshot, snapshot.id) == (True, record.cursor(13))
        assert snapshot.areas[0]["sequence"] == 13
        assert late.copy == early.copy


async def test_reports_are_not_kept_for_recording_their_delays(
    record: FakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only those of one page, and of the next one, are in memory while many are applied."""
    monkeypatch.setattr(stream, "APPLY_SLICE", 3)
    monkeypatch.setattr(stream, "PAGE_MAX", 5)
    monkeypatch.setattr(stream, "DELAYS_MAX", 12)
    clock = ManualClock(AT + timedelta(seconds=11))
    shown: list[Publication] = []
    show = stream.ElectionFeed._show

    def noted_show(feed: stream.ElectionFeed, applied: Sequence[Publication]) -> float:
        shown.extend(applied)
        return show(feed, applied)

    monkeypatch.setattr(stream.ElectionFeed, "_show", noted_show)
    record.show(10)
    followed = hub.Hub(record, FeedMetrics(), heartbeat_s=10, clock=clock)
    following = asyncio.create_task(followed.run())
    await followed.wait_ready()
    clock.advance(20)
    record.show(30)
    followed.wake()
    await until(lambda: bool(shown))
    following.cancel()
    assert [each.sequence for each in shown] == [*range(19, 31)]
    assert not any(each.body for each in shown)


async def test_many_corrections_do_not_wait_for_the_end_of_catching_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The state is that of applying the reports one by one, and is not shown before the end."""
    monkeypatch.setattr(stream, "APPLY_SLICE", 3)
    monkeypatch.setattr(stream, "CORRECTIONS_MAX", 4)
    waiting, shown = list[int](), list[int]()

    class Watched(CatchUp):
        def add(self, publications: Sequence[Publication]) -> Sequence[int]:
            indexes = super().add(publications)
            waiting.append(self.corrections)
            return indexes

    show = stream.ElectionFeed._show

    def noted_show(feed: stream.ElectionFeed, applied: Sequence[Publication]) -> float:
        shown.append(feed.state.sequence)
        return show(feed, applied)

    monkeypatch.setattr(stream, "CatchUp", Watched)
    monkeypatch.setattr(stream.ElectionFeed, "_show", noted_show)
    written, expected = Written(), ElectionState(REGISTRY)
    for number in range(60):
        counts = {"advance": some_counts(P=100 if number % 2 else 10)}
        expected.apply(
            written.write(a_report(("a-2", "b-2", "a-1-1")[number % 3], number + 1, counts=counts))
        )
    followed = hub.Hub(FakeRecord(DOCUMENT, written.publications, 60), FeedMetrics(), heartbeat_s=10)
    following = asyncio.create_task(followed.run())
    await followed.wait_ready()
    following.cancel()
    (feed,) = followed.feeds()
    assert 4 < max(waiting) <= 4 + 3
    assert len(waiting) == 20
    assert shown == [60]
    for area in REGISTRY.areas:
        assert area_document(feed.state, area.index) == area_document(expected, area.index)
    assert expected.areas[0].corrections == 28


async def test_heartbeats_continue_while_a_long_run_is_being_applied(
    record: FakeRecord, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do not move readers: their copies stay as they are until everything is applied."""
    monkeypatch.setattr(stream, "PAGE_MAX", 5)
    record.show(10)
    async with (
        served(record, heartbeat_s=1) as door,
        streaming(http, door.url()) as usual,
        streaming(http, door.url(), {"Accept-Encoding": "gzip"}, every_s=60) as paced,
    ):
        for reader in (usual, paced):
            await reader.block()
        await door.half_apply(40, readable=20)
        for reader in (usual, paced):
            beat = await reader.block()
            assert (beat.areas, beat.snapshot, beat.id) == ([], False, record.cursor(10))
        assert not door.feed.settled
        record.fails_after = None
        block = (await usual.blocks_until(40))[-1]
        assert (block.names[0], block.areas[0]["sequence"]) == (door.feed.registry.root.id, 40)


async def test_the_list_of_elections_shows_no_sequence_between_two_heads(
    record: FakeRecord, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor a chain from there."""
    monkeypatch.setattr(stream, "PAGE_MAX", 5)
    record.show(10)

    async def shown() -> tuple[int, str]:
        (election,) = (await ask(http, "GET", f"{door.origin}/v1/elections")).document["elections"]
        return election["sequence"], election["chain"]

    async with served(record) as door:
        await door.half_apply(40, readable=20)
        assert await shown() == (10, record.night[9].chain.hex())
        record.fails_after = None
        await door.show(40)
        assert await shown() == (40, record.night[39].chain.hex())


async def test_a_browser_that_asks_for_publications_meanwhile_gets_a_retry_delay(
    record: FakeRecord, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With status 200, since it gives up for good on any other; other clients get 503."""
    monkeypatch.setattr(stream, "PAGE_MAX", 5)
    monkeypatch.setattr(feed_lookup, "SETTLE_S", 0.05)
    record.show(10)
    async with served(record) as door:
        await door.half_apply(40, readable=20)
        for path in ("/publications", "/feed"):
            async with streaming(http, door.url(path)) as refused:
                (event,) = await refused.rest()
            assert event.retry_ms is not None
            assert 2_000 <= event.retry_ms <= 6_000
            (await ask(http, "GET", door.url(path))).problem(503, "starting")
        assert door.streams == 0


# Another record, or none.


async def test_after_a_restore_the_feed_uses_the_registry_of_the_record(
    record: FakeRecord, another_document: dict[str, Any], http: aiohttp.ClientSession
) -> None:
    """It may have changed; also if the new record is longer."""
    record.show(10)
    async with served(record) as door:
        for restored, count in ((another_document, 5), (json.loads(record.document), 30)):
            async with streaming(http, door.url()) as before:
                await before.block()
                record.replace(restored)
                record.night = a_night(restored, count, votes=count)
                await door.show(count)
                assert await before.rest() == []
            async with streaming(http, door.url()) as after:
                block = await after.block()
            assert (block.id, set(block.names)) == (record.cursor(count), names_above_units(restored))
            answer = await ask(http, "GET", door.url(""))
            assert answer.document["name"] == restored["election"]["name"]
            assert answer.document["registry"] == restored


async def test_a_registry_replaced_while_a_reader_waits_is_the_one_it_gets(
    record: FakeRecord, another_document: dict[str, Any], http: aiohttp.ClientSession
) -> None:
    """No reader keeps a selection of the old one."""
    async with served(record) as door, AsyncExitStack() as opened:
        ahead = {"Last-Event-ID": "2-12345678"}
        waiting = asyncio.create_task(opened.enter_async_context(streaming(http, door.url(), ahead)))
        await until(lambda: len(door.feed._sequence_waiters) == 1)
        record.replace(another_document)
        record.night = a_night(another_document, 2)
        door.hub.wake()
        await until(lambda: door.feed.documents.registry == record.document)
        await door.show(2)
        first = await waiting
        second = await opened.enter_async_context(streaming(http, door.url()))
        for reader in (first, second):
            block = await reader.block()
            assert (block.snapshot, block.id) == (True, record.cursor(2))
            assert set(block.names) == names_above_units(another_document)


async def test_a_registry_replaced_while_the_record_is_read_for_the_first_time_is_followed_from_the_start(
    record: FakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was applied before is not shown, and not counted twice."""
    monkeypatch.setattr(stream, "APPLY_SLICE", 3)
    monkeypatch.setattr(stream, "PAGE_MAX", 5)
    record.show(20)
    half, answer = asyncio.Event(), asyncio.Event()
    publications, shown = record.publications, list[int]()

    async def publications_later(election: int, after: int, most: int) -> list[Publication]:
        if after >= 10:
            half.set()
            await answer.wait()
        return await publications(election, after, most)

    monkeypatch.setattr(record, "publications", publications_later)
    show = stream.ElectionFeed._show

    def noted_show(feed: stream.ElectionFeed, applied: Sequence[Publication]) -> float:
        shown.append(feed.state.sequence)
        return show(feed, applied)

    monkeypatch.setattr(stream.ElectionFeed, "_show", noted_show)
    followed = hub.Hub(record, FeedMetrics(), heartbeat_s=10)
    following = asyncio.create_task(followed.run())
    await half.wait()
    (feed,) = followed.feeds()
    renamed = json.loads(record.document)
    renamed["election"]["name"] = "Another election"
    record.replace(renamed)
    followed.wake()
    await until(lambda: feed.documents.registry == record.document)
    answer.set()
    await until(lambda: feed.settled and feed.state.sequence == 20)
    following.cancel()
    assert set(shown) == {20}
    assert sum(feed.transfers.published().values()) == 20


async def test_a_quiet_election_without_readers_keeps_nothing_encoded(
    record: FakeRecord, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its areas are encoded again for the next reader; as long as one reads, they are kept."""
    encoded: list[int] = []
    encode = blocks.area_event

    def counted(state: ElectionState, index: int) -> bytes:
        encoded.append(index)
        return encode(state, index)

    monkeypatch.setattr(blocks, "area_event", counted)
    record.show(70)
    clock = itertools.count(asyncio.get_running_loop().time(), 2 * stream.QUIET_S)

    async def snapshot(door: Served, *, quiet: bool) -> set[str]:
        """Read a snapshot; time passes before, or while the reader is there."""
        now = next(clock)
        if quiet:
            door.feed.run_timers(now, 1, 10.0)
            door.feed.run_timers(now + stream.QUIET_S, 1, 10.0)
        async with streaming(http, door.url()) as reader:
            names = set((await reader.block()).names)
            if not quiet:
                door.feed.run_timers(now, 1, 10.0)
                door.feed.run_timers(now + stream.QUIET_S, 1, 10.0)
        await until(lambda: not door.feed.channels)
        return names

    async with served(record) as door:
        names = await snapshot(door, quiet=False)
        count = len(encoded)
        assert count == len(names)
        assert await snapshot(door, quiet=False) == names
        assert len(encoded) == count
        assert await snapshot(door, quiet=True) == names
        assert len(encoded) == 2 * count


async def test_an_election_that_disappears_is_closed_for_all_readers(
    record: FakeRecord, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading, stalled and waiting clients are released; it is 404 until it is back."""
    monkeypatch.setattr(feed_lookup, "SETTLE_S", 0.05)
    monkeypatch.setattr(hub, "MISSING_MAX_S", 0.0)
    record.show(70)
    async with served(record, send_buffer=SMALL_BUFFER, heartbeat_s=1) as door, AsyncExitStack() as opened:
        await stall(door, opened, 2)
        reading = await opened.enter_async_context(streaming(http, door.url()))
        await reading.block()
        publications = await opened.enter_async_context(
            streaming(http, door.url("/publications"), {"Last-Event-ID": record.cursor(69)})
        )
        await publications.events("publication", 1)
        ahead = {"Last-Event-ID": "71-12345678"}
        waiting = asyncio.create_task(opened.enter_async_context(streaming(http, door.url(), ahead)))
        await until(lambda: len(door.feed._sequence_waiters) == 2)
        record.present = False
        door.hub.wake()
        for each in (reading, publications):
            rest = [event for event in await each.rest() if event.type]
            assert all(orjson.loads(event.data).get("areas") == 0 for event in rest), "heartbeats at the most"
        await until(lambda: door.streams == 0)
        assert [event.retry_ms is not None for event in await (await waiting).rest()] == [True]
        for path in ("/feed", "/publications", ""):
            (await ask(http, "GET", door.url(path))).problem(404, "unknown_election")
        assert (await ask(http, "GET", f"{door.origin}/v1/elections")).document["elections"] == []
        record.present = True
        door.hub.wake()
        await until(lambda: bool(door.hub.feeds()))
        async with streaming(http, door.url()) as again:
            assert (await again.block()).id == record.cursor(70)


# Publications, and a record that is read short.


async def test_readers_max_applies_to_streams_that_waited(
    record: FakeRecord, http: aiohttp.ClientSession
) -> None:
    """All of them may wait; when their sequence is reached, two are accepted and the others refused."""
    record.show(10)
    ahead = {"Last-Event-ID": record.cursor(11)}
    async with served(record, readers_max=2) as door, AsyncExitStack() as opened:
        waiting = [
            asyncio.create_task(opened.enter_async_context(streaming(http, door.url("/publications"), ahead)))
            for _ in range(12)
        ]
        await until(lambda: len(door.feed._sequence_waiters) == 12)
        await door.show(12)
        first = [await (await each).event() for each in waiting]
        assert door.streams == 2
        delays = sorted(event.retry_ms or 0 for event in first if event is not None)
        assert [delay >= 10_000 for delay in delays] == [False] * 2 + [True] * 10
        await until(lambda: len(door.feed._sequence_waiters) == 2)


@pytest.fixture
def long_record(document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> FakeRecord:
    """A record of which all but the newest publications are read from the database."""
    monkeypatch.setattr(archive, "TAIL_MAX", archive.RANGE_SIZE)
    return FakeRecord(document, a_night(document, 2100), shown=2100)


async def test_an_incomplete_range_is_not_cached(
    long_record: FakeRecord, http: aiohttp.ClientSession
) -> None:
    """It is 503 while the record is incomplete, and correct afterwards; a part of it is never shown."""
    record = long_record
    async with served(record) as door:
        record.rows = 400
        for path in ("/publications/1-1000", "/publications?after=300&limit=200"):
            answer = await ask(http, "GET", door.url(path))
            answer.problem(503, "journal_unavailable")
            assert int(answer.headers["Retry-After"]) >= 1
        record.rows = 2100
        for path, sequences in (
            ("/publications/1-1000", range(1, 1001)),
            ("/publications?after=300&limit=200", range(301, 501)),
        ):
            answer = await ask(http, "GET", door.url(path))
            assert sequences_of(answer.body) == [*sequences]


def sequences_of(lines: bytes) -> list[int]:
    return [json.loads(line)["sequence"] for line in lines.splitlines()]


async def test_a_stream_over_an_incomplete_record_ends_and_continues_at_its_position(
    long_record: FakeRecord, http: aiohttp.ClientSession
) -> None:
    """It neither skips a publication nor reads the record again and again."""
    record = long_record
    got: list[int] = []
    async with served(record) as door:
        record.rows = 400
        reads = record.reads
        for headers in ({}, {"Last-Event-ID": record.cursor(300)}):
            async with streaming(http, door.url("/publications"), headers) as reader:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await reader.rest()
        assert record.reads <= reads + 2
        assert door.streams == 0
        record.rows = 2100
        async with streaming(http, door.url("/publications")) as reader:
            got = [event.document["sequence"] for event in await reader.events("publication", 2100)]
        assert got == [*range(1, 2101)]


# What is shown.


@pytest.mark.parametrize("shared_s", [0.0, 60.0])
async def test_a_snapshot_contains_the_current_time(
    record: FakeRecord, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, shared_s: float
) -> None:
    """A snapshot is shared only for a while, so its time is never old."""
    monkeypatch.setattr(blocks, "BLOCK_SHARED_S", shared_s, raising=False)
    record.show(10)
    async with served(record) as door:
        times = []
        for _ in range(2):
            async with streaming(http, door.url()) as reader:
                block = await reader.block()
            assert set(block.names) == names_above_units(json.loads(record.document))
            times.append(block.end["server_time"])
    assert (times[0] == times[1]) == bool(shared_s)


async def test_blocks_that_are_made_again_are_counted_once(
    record: FakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A maker's counter equals the sum of its blocks at all times."""
    monkeypatch.setattr(blocks, "BLOCK_SHARED_S", 0.0, raising=False)
    record.show(20)
    async with served(record) as door:
        maker = door.feed.maker
        for levels in (None, EVERYTHING, "country", None, EVERYTHING):
            selection = read_selection(door.feed.registry, levels, None)
            for sequence in (10, 15):
                maker.since(selection, sequence)
            maker.snapshot(selection)
        assert maker._blocks_bytes == sum(len(block.plain) for block in maker._blocks.values())


async def test_no_more_is_shown_as_accepted_than_the_journal_has(
    record: FakeRecord, http: aiohttp.ClientSession
) -> None:
    """Whatever is applied between the query and the use of its result."""
    record.show(10)

    async def shown(name: str) -> int:
        document = (await ask(http, "GET", door.url("/transfers"))).document
        return sum(each[name] for each in document["transfers"])

    async with served(record) as door:
        record.rows = 15
        await door.feed.refresh_transfers()
        assert (await shown("accepted"), await shown("published")) == (15, 10)
        await door.show(15)
        assert (await shown("accepted"), await shown("published")) == (15, 15)
        record.rows = 20
        record.unapplied_held = asyncio.Event()
        looking = asyncio.create_task(door.feed.refresh_transfers())
        await asyncio.sleep(0)
        await door.show(20)
        record.unapplied_held.set()
        await looking
        assert (await shown("accepted"), await shown("published")) == (20, 20)


async def test_what_a_feed_lacks_is_counted_if_catching_up_takes_long(
    record: FakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at once, since there may be a publication of each unit; even if the record cannot be read."""
    asked: list[int] = []

    async def unapplied(_: int, sequence: int) -> Sequence[Unapplied]:
        asked.append(sequence)
        return []

    async with served(record) as door:
        monkeypatch.setattr(record, "unapplied", unapplied)
        record.fails_after = 0
        record.show(15)
        await until(
            lambda: door.feed.head.sequence == 15 and (stream.APPLY_SLICE > 15 or not door.feed.settled)
        )
        await door.feed.refresh_transfers()
        assert bool(asked) == (stream.APPLY_SLICE > 15)
        monkeypatch.setattr(stream, "CATCH_UP_S", 0.0)
        await door.feed.refresh_transfers()
        assert asked[-1:] == [0]
        record.fails_after = None
        await door.show(15)


async def test_transfers_are_hidden_until_the_release_is_applied(
    record: FakeRecord, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then nothing that depends on reports is read, so neither content, size nor time of an answer does."""
    record.released = False
    asked: list[str] = []

    async def shown() -> dict[str, Any]:
        document: dict[str, Any] = (await ask(http, "GET", door.url("/transfers"))).document
        return {**document, "server_time": None}

    async def asked_for(*_: object) -> Any:
        asked.append("reports or contacts")
        return []

    async with served(record) as door:
        hidden = await shown()
        assert hidden["hidden_until"] is not None
        with monkeypatch.context() as patched:
            patched.setattr(record, "unapplied", asked_for)
            patched.setattr(record, "contacts", asked_for)
            record.rows = 15
            await door.feed.refresh_transfers()
            await looked(door, 2)
            assert await shown() == hidden
            assert asked == []
        record.released, record.fails_after = True, 0
        record.show(15)
        await until(lambda: door.feed.head.sequence == 15)
        assert door.feed.hidden_until is not None, "nothing is applied yet"
        record.fails_after = None
        await door.show(15)
        transfers = await shown()
        assert transfers["hidden_until"] is None
        assert sum(each["accepted"] for each in transfers["transfers"]) == 15


async def test_a_release_of_nothing_hides_nothing(record: FakeRecord, http: aiohttp.ClientSession) -> None:
    """Zeros are figures then."""
    async with served(record) as door:
        transfers = (await ask(http, "GET", door.url("/transfers"))).document
        assert (transfers["sequence"], transfers["hidden_until"]) == (0, None)


async def test_transfers_read_while_the_record_changes_do_no_harm(
    record: FakeRecord, another_document: dict[str, Any], http: aiohttp.ClientSession
) -> None:
    """The result may contain units that do not exist in the registry."""
    root = another_document["areas"][0]["id"]
    other = {
        **another_document,
        "areas": [
            each for each in another_document["areas"] if each["id"] in (root, "new", "new-1", "new-1-1")
        ],
    }
    record.show(10)
    async with served(record) as door:
        record.rows = 20
        record.unapplied_held = asyncio.Event()
        looking = asyncio.create_task(door.feed.refresh_transfers())
        await asyncio.sleep(0)
        record.replace(other)
        record.night, record.rows = a_night(other, 30), 30
        record.unapplied_held, held = None, record.unapplied_held
        await door.feed.refresh_transfers()
        await door.show(5)
        held.set()
        await looking
        assert door.feed.backlog == {}
        record.rows = 15
        await door.feed.refresh_transfers()
        (transfer,) = (await ask(http, "GET", door.url("/transfers"))).document["transfers"]
        assert (transfer["municipality"], transfer["accepted"], transfer["published"]) == ("new-1", 15, 5)


# What a client wants.


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
        ("application/json, text/csv;q=0", "application/json"),
        ("application/json, text/csv;q=0.1", "application/json"),
        ("text/csv;q=nonsense", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV", "text/csv"),
        ("text/*", "text/csv"),
        ("text/csv, */*;q=0.1", "text/csv"),
        ("application/json;q=0.2, text/csv; Q=0.9", "text/csv"),
    ],
)
async def test_an_area_has_the_format_that_the_client_prefers(
    record: FakeRecord, http: aiohttp.ClientSession, accept: str | None, kind: str
) -> None:
    """And JSON without a preference."""
    async with served(record) as door:
        url = door.url(f"/areas/{door.feed.registry.root.id}")
        skipped = ["Accept"] if accept is None else []
        headers = {} if accept is None else {"Accept": accept}
        answer = await ask(http, "GET", url, headers=headers, skip_auto_headers=skipped)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip", True), ("br, GZIP", True), ("gzip;Q=0", False), ("gzip; q=0.0", False), ("br", False)],
)
async def test_gzip_is_sent_only_to_clients_that_accept_it(
    record: FakeRecord, http: aiohttp.ClientSession, accepted: str, packed: bool
) -> None:
    """In upper or lower case; for areas and for the feed."""
    async with served(record) as door:
        headers = {"Accept-Encoding": accepted}
        answer = await ask(http, "GET", door.url(f"/areas/{door.feed.registry.root.id}"), headers=headers)
        async with streaming(http, door.url(), headers) as reader:
            assert (await reader.block()).snapshot
            assert ("Content-Encoding" in reader.response.headers) == packed
    assert ("Content-Encoding" in answer.headers) == packed


@pytest.mark.parametrize(
    ("accept", "streamed"),
    [
        ("text/event-stream", True),
        ("text/event-stream, */*;q=0.1", True),
        ("text/event-stream, */*", True),
        ("*/*", False),
        ("application/x-ndjson, text/event-stream;q=0", False),
    ],
)
async def test_publications_are_sent_as_lines_or_as_a_stream(
    record: FakeRecord, http: aiohttp.ClientSession, accept: str, streamed: bool
) -> None:
    """As the client prefers; `Vary` says that it depends on that."""
    record.show(3)
    async with served(record) as door:
        if streamed:
            async with streaming(http, door.url("/publications"), {"Accept": accept}) as reader:
                events = await reader.events("publication", 3)
            assert [event.id for event in events] == [record.cursor(number) for number in (1, 2, 3)]
        else:
            answer = await ask(http, "GET", door.url("/publications"), headers={"Accept": accept})
            assert answer.headers["Content-Type"].startswith("application/x-ndjson")
            assert answer.headers["Vary"] == "Accept"
            assert sequences_of(answer.body) == [1, 2, 3]
