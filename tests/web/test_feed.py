"""The feed: snapshots, changes, resuming, selections, paces, and readers that do not keep up."""

import asyncio
import json
import re
from contextlib import AsyncExitStack

import aiohttp
import pytest

from gateway.client.http_session import open_session
from gateway.rehearsal.generator import GeneratedElection
from gateway.wire.mirror import USER_AGENT
from tests.counts import count
from tests.running import Gateway, Sender
from tests.web.doors import (
    COUNTRY,
    EVERYTHING,
    FOREIGN_UNIT,
    HERE,
    OTHER_UNIT,
    THERE,
    UNIT,
    EventStream,
    a_registry,
    a_report,
    ask,
    digest_of,
    feed_url,
    moment,
    next_chain,
    open_connection,
    pushed,
    shown,
    streaming,
    units_of,
    until,
    wait_for_room,
)

COUNTY = "06"
START = "0-00000000"
SKIPPED = count(6, full=20)
"""Blocks that a reader who has stalled skips."""


@pytest.fixture
async def url(gateway: Gateway, sender: Sender) -> str:
    """The feed of the test's own election, which every worker serves."""
    await shown(gateway, sender.election)
    return feed_url(gateway, sender.election)


async def test_a_new_reader_gets_every_area_of_its_selection_parents_first(
    http: aiohttp.ClientSession, url: str, small: GeneratedElection
) -> None:
    """Reported or not, after a `retry:` field; by default all areas that have children."""
    above = [area for area in small.registry["areas"] if area["level"] != "precinct"]
    async with streaming(http, url) as stream:
        first = await stream.event()
        assert first is not None
        assert first.retry_ms is not None
        block = await stream.block()
    assert block.snapshot
    assert block.names == [area["id"] for area in above]
    assert (block.sequence, block.id, block.end["chain"]) == (0, START, "0" * 64)
    country = block.areas[0]
    assert country["units"] == {"total": 70, "reported": 0, "by_status": {"no_report": 70}}
    assert country["counts"] == {}
    assert (country["sequence"], country["published_at"], country["parent"]) == (0, None, None)
    assert (country["corrections"], country["last_correction"]) == (0, None)
    seen: set[str | None] = {None}
    for area in block.areas:
        assert area["parent"] in seen
        seen.add(area["area"])


async def test_the_answer_is_an_event_stream_for_any_origin_and_no_cache(
    http: aiohttp.ClientSession, url: str
) -> None:
    """With the headers that make proxies and browsers pass it on as it arrives."""
    async with streaming(http, url) as stream:
        headers = stream.response.headers
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["X-Accel-Buffering"] == "no"
    assert headers["Vary"] == "Accept-Encoding"


async def test_a_report_reaches_every_reader_as_a_block_of_the_areas_above_it(
    http: aiohttp.ClientSession, url: str, sender: Sender
) -> None:
    """With absolute values, the position in the record and the time of publication."""
    async with streaming(http, url) as stream, streaming(http, url, levels=EVERYTHING) as units:
        await stream.block()
        await units.block()
        report = a_report(votes=10, status="final")
        (receipt,) = await pushed(http, sender, report)
        block = await stream.block()
        whole = await units.block()
    assert not block.snapshot
    assert block.names == [COUNTRY, COUNTY, HERE]
    assert whole.names == [COUNTRY, COUNTY, HERE, UNIT]
    chain = next_chain("0" * 64, digest_of(report))
    assert block.end | {"server_time": None} == {
        "sequence": 1,
        "published_at": receipt["published_at"],
        "chain": chain,
        "snapshot": False,
        "areas": 3,
        "server_time": None,
    }
    assert block.id == f"1-{chain[:8]}"
    for area in block.areas:
        assert (area["sequence"], area["published_at"]) == (1, receipt["published_at"])
        assert area["units"]["by_status"]["final"] == 1
        counts = area["counts"]["election_day"]
        assert (counts["ballots"], counts["blank"], counts["rejected"]) == (11, 1, 2)
        assert counts["votes"]["FL"] == 10
        assert set(counts["votes"].values()) == {0, 10}
    unit = whole.areas[3]
    assert (unit["revision"], unit["counted_at"], unit["status"]) == (1, report["counted_at"], "final")
    assert unit["correction"] is None


async def test_a_decrease_is_reported_until_the_next_one(
    http: aiohttp.ClientSession, url: str, sender: Sender
) -> None:
    """A reader that skips values still sees why a count went down."""
    reports = [
        a_report(votes=100),
        a_report(revision=2, votes=40, reason="booking_error"),
        a_report(OTHER_UNIT, votes=7),
    ]
    await pushed(http, sender, *reports)
    await shown(sender.gateway, sender.election, 3)
    async with streaming(http, url, levels=EVERYTHING) as stream:
        await stream.block()
    for above in (COUNTRY, COUNTY, HERE):
        assert stream.copy[above]["corrections"] == 1
        assert stream.copy[above]["last_correction"] == {
            "sequence": 2,
            "unit": UNIT,
            "reason": "booking_error",
            "explained": stream.copy[UNIT]["correction"]["explained"],
            "ballots": -60,
        }
        assert stream.copy[above]["counts"]["election_day"]["ballots"] == 41 + 8
    correction = stream.copy[UNIT]["correction"]
    assert (correction["sequence"], correction["reason"]) == (2, "booking_error")
    assert correction["previous"]["election_day"]["ballots"] == 101
    assert stream.copy[OTHER_UNIT]["correction"] is None


# Resuming.


async def test_a_returning_reader_gets_only_what_changed_since(
    http: aiohttp.ClientSession, url: str, sender: Sender
) -> None:
    """Each area once, with its latest value; its cursor is in the header, or in the query if a header cannot be set."""
    async with streaming(http, url, levels=EVERYTHING) as stream:
        await stream.block()
        await pushed(http, sender, a_report(FOREIGN_UNIT))
        cursor = (await stream.block()).id
    await pushed(http, sender, a_report(), a_report(revision=2, votes=20), a_report(OTHER_UNIT))
    await shown(sender.gateway, sender.election, 4)
    for headers, params in (
        ({"Last-Event-ID": cursor}, {}),
        ({}, {"last_event_id": cursor}),
        ({"Last-Event-ID": cursor}, {"last_event_id": START}),
    ):
        async with streaming(http, url, headers, levels=EVERYTHING, **params) as stream:
            block = await stream.block()
        assert not block.snapshot
        assert block.names == [COUNTRY, COUNTY, HERE, UNIT, OTHER_UNIT]
        assert block.sequence == 4
        assert block.areas[3]["counts"]["election_day"]["votes"]["FL"] == 20


async def test_a_reader_can_resume_from_any_position_of_the_record(
    http: aiohttp.ClientSession, url: str, sender: Sender
) -> None:
    """However old: a copy of that time, brought up to date, equals the current state."""
    units = [UNIT, OTHER_UNIT, FOREIGN_UNIT]
    cursors: list[str] = []
    copies = []
    async with streaming(http, url, levels=EVERYTHING) as stream:
        await stream.block()
        for number in range(1, 13):
            await pushed(http, sender, a_report(units[number % 3], revision=number, votes=number))
            cursors.append((await stream.block()).id)
            copies.append(dict(stream.copy))
    await shown(sender.gateway, sender.election, 12)
    for cursor, copy in zip(cursors, copies, strict=True):
        async with streaming(http, url, {"Last-Event-ID": cursor}, levels=EVERYTHING) as stream:
            stream.copy = copy
            block = await stream.block()
        assert not block.snapshot
        assert stream.copy == copies[-1]


async def test_a_malformed_cursor_or_one_of_another_history_gets_a_snapshot(
    http: aiohttp.ClientSession, url: str, sender: Sender
) -> None:
    """Never an error: with any cursor, a reader ends up with the current state."""
    await pushed(http, sender, a_report())
    await shown(sender.gateway, sender.election, 1)
    for cursor in (
        START,
        "1-00000000",
        "1-0000000",
        "x",
        "-1-00000000",
        "1",
        "01-00000000",
        "1-" + "f" * 8,
        "9" * 400,
    ):
        async with streaming(http, url, {"Last-Event-ID": cursor}) as stream:
            assert (await stream.block()).snapshot, cursor


async def test_a_reader_ahead_of_this_process_waits_for_it(
    http: aiohttp.ClientSession, url: str, sender: Sender
) -> None:
    """Another process was faster; what the reader has already received is not sent again."""
    (first,) = await pushed(http, sender, a_report())
    await shown(sender.gateway, sender.election, 1)
    second = a_report(revision=2)
    chain = next_chain(next_chain("0" * 64, first["digest"]), digest_of(second))

    async def resume() -> tuple[bool, int, list[str]]:
        async with streaming(http, url, {"Last-Event-ID": f"2-{chain[:8]}"}) as stream:
            block = await stream.block()
            return block.snapshot, block.sequence, block.names

    resuming = [asyncio.create_task(resume()) for _ in range(4)]
    area = feed_url(sender.gateway, sender.election, f"/areas/{HERE}")
    await asyncio.gather(*(ask(http, "GET", area) for _ in range(8)))
    assert not any(each.done() for each in resuming)
    await pushed(http, sender, second)
    assert await asyncio.gather(*resuming) == [(False, 2, [])] * 4


async def test_a_cursor_that_is_never_reached_gets_a_snapshot_in_the_end(
    http: aiohttp.ClientSession, url: str, sender: Sender
) -> None:
    """After 5 s; likewise a publication stream starts from the beginning, and `at_least` is answered with 503."""
    await pushed(http, sender, a_report())
    await shown(sender.gateway, sender.election, 1)
    ahead = {"Last-Event-ID": "7-12345678"}

    async def on_the_feed() -> None:
        async with streaming(http, url, ahead) as stream:
            block = await stream.block()
            assert (block.snapshot, block.sequence) == (True, 1)

    async def of_publications() -> None:
        async with streaming(
            http, feed_url(sender.gateway, sender.election, "/publications"), ahead
        ) as stream:
            (event,) = await stream.events("publication", 1)
            assert event.document["sequence"] == 1

    async def of_an_area() -> None:
        area = feed_url(sender.gateway, sender.election, f"/areas/{HERE}")
        answer = await ask(http, "GET", area, params={"at_least": 7})
        answer.problem(503, "not_yet")
        assert int(answer.headers["Retry-After"]) >= 1

    began = asyncio.get_running_loop().time()
    await asyncio.gather(on_the_feed(), of_publications(), of_an_area())
    assert asyncio.get_running_loop().time() - began > 4.5


# What a reader wants.


async def test_a_selection_is_of_levels_and_of_areas_with_all_below_them(
    http: aiohttp.ClientSession, url: str, sender: Sender, small: GeneratedElection
) -> None:
    """Or both together; in the order of the registry, whatever the order of the query."""
    below = [HERE, *units_of(small, HERE)]
    for params, expected in (
        ({"levels": "country"}, [COUNTRY]),
        ({"levels": "county,country"}, [COUNTRY, "01", "02", "06"]),
        ({"areas": HERE}, [HERE]),
        ({"areas": HERE, "levels": EVERYTHING}, below),
        ({"areas": f"{HERE},{THERE}", "levels": "municipality"}, [THERE, HERE]),
        ({"areas": COUNTY}, ["06", "0602", "0603", "0604"]),
        ({"areas": UNIT, "levels": "precinct"}, [UNIT]),
        ({"areas": UNIT}, []),
        ({"areas": f"{COUNTRY},{HERE}", "levels": "county"}, ["01", "02", "06"]),
    ):
        async with streaming(http, url, **params) as stream:
            assert (await stream.block()).names == expected, params
    async with streaming(http, url, areas=HERE, levels="municipality,precinct") as stream:
        await stream.block()
        await pushed(http, sender, a_report(FOREIGN_UNIT), a_report())
        assert (await stream.block()).names == [HERE, UNIT]


async def test_a_selection_with_unknown_names_is_answered_400(http: aiohttp.ClientSession, url: str) -> None:
    """To browsers too, which then do not reconnect, as that would not help."""
    for params, code in (
        ({"levels": "street"}, "bad_selection"),
        ({"levels": ""}, "bad_selection"),
        ({"areas": "nowhere"}, "bad_selection"),
        ({"areas": ","}, "bad_selection"),
        ({"areas": ",".join(f"0604-{number:04}" for number in range(21))}, "bad_selection"),
        ({"every_s": "3"}, "bad_query"),
        ({"every_s": "-1"}, "bad_query"),
        ({"every_s": "x"}, "bad_query"),
        ({"every_s": "1.0"}, "bad_query"),
        ({"every_s": "9" * 500}, "bad_query"),
    ):
        for accept in ("*/*", "text/event-stream"):
            answer = await ask(http, "GET", url, params=params, headers={"Accept": accept})
            problem = answer.problem(400, code)
            assert len(problem["detail"]) < 300
            assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_an_unknown_election_is_answered_404(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """At once, without waiting for it."""
    for path in ("/feed", "/areas/vl", "/publications", "/publications/1-1000", "/transfers", ""):
        (await ask(http, "GET", feed_url(gateway, "nowhere", path))).problem(404, "unknown_election")


async def test_a_paced_reader_gets_at_most_one_block_per_interval_with_the_latest_values(
    http: aiohttp.ClientSession, url: str, sender: Sender
) -> None:
    """Values in between are skipped, but never the last one; other readers get each change."""
    async with streaming(http, url, every_s=1) as paced, streaming(http, url) as quick:
        blocks = [await paced.block()]
        await quick.block()
        revision = 0
        while len(blocks) < 3:
            reading = asyncio.ensure_future(paced.block())
            while not reading.done():
                revision += 1
                await pushed(http, sender, a_report(revision=revision, votes=revision))
                await asyncio.wait({reading}, timeout=0.05)
            blocks.append(reading.result())
            votes = paced.copy[COUNTRY]["counts"]["election_day"]["votes"]["FL"]
            assert votes == blocks[-1].sequence
        heard = await quick.blocks_until(revision)
        if blocks[-1].sequence < revision:
            blocks += await paced.blocks_until(revision)
    times = [moment(block.end["server_time"]) for block in blocks[1:]]
    assert len(times) <= (times[-1] - times[0]).total_seconds() + 2
    assert len(heard) > len(blocks)
    assert paced.copy == quick.copy


# Compression.


async def test_a_compressed_stream_decompresses_to_the_plain_one(
    http: aiohttp.ClientSession, url: str, sender: Sender
) -> None:
    """With any decompressor, incrementally: once a block's bytes are read, the block can be decoded."""
    gzip = {"Accept-Encoding": "br, gzip"}
    await pushed(http, sender, a_report(FOREIGN_UNIT))
    await shown(sender.gateway, sender.election, 1)
    async with streaming(http, url) as plain, streaming(http, url, gzip) as stream:
        assert stream.response.headers["Content-Encoding"] == "gzip"
        await plain.block()
        await stream.block()
        for revision in range(1, 4):
            await pushed(http, sender, a_report(revision=revision, votes=revision))
            assert (await plain.block()).areas == (await stream.block()).areas
        # Who joins later takes the same blocks as who was there before; by another worker, once that is as far.
        await shown(sender.gateway, sender.election, 4)
        async with streaming(http, url, gzip) as late:
            await late.block()
            await pushed(http, sender, a_report(revision=9))
            assert (await late.block()).areas == (await stream.block()).areas == (await plain.block()).areas
    without = [
        re.sub(rb"retry: \d+\n\n|\"server_time\":\"[^\"]*\"", b"", each.text) for each in (plain, stream)
    ]
    assert without[0] == without[1]
    async with streaming(http, url, {"Accept-Encoding": "gzip;q=0"}) as stream:
        assert "Content-Encoding" not in stream.response.headers


async def test_a_library_that_decompresses_transparently_reads_the_stream(url: str) -> None:
    """As common clients do, which know nothing of its flushes and missing trailer."""
    async with (
        aiohttp.ClientSession() as usual,
        usual.get(url, headers={"Accept-Encoding": "gzip"}) as response,
    ):
        text = b""
        while b"event: block" not in text:
            text += await response.content.readany()
    assert text.startswith(b"retry: ")


async def test_blocks_that_refer_to_earlier_ones_are_decoded_by_all_their_readers(
    http: aiohttp.ClientSession, url: str, sender: Sender
) -> None:
    """With enough readers for every process to share blocks; some arrive while others share a window."""
    gzip = {"Accept-Encoding": "gzip"}
    async with AsyncExitStack() as opened, streaming(http, url) as plain:
        await plain.block()
        streams: list[EventStream] = []
        for revision in range(1, 9):
            for _ in range(6):
                streams.append(await opened.enter_async_context(streaming(http, url, gzip)))
                await streams[-1].block()
            await pushed(http, sender, a_report(revision=revision, votes=revision))
            areas = (await plain.block()).areas
            assert areas
            assert all([(await stream.block()).areas == areas for stream in streams])
    assert all(stream.copy == plain.copy for stream in streams)


# The heartbeat.


async def test_an_idle_stream_sends_heartbeats_that_move_the_cursor(
    tight: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """A reader whose selection does not change gets empty blocks, so it resumes from there when it returns."""
    election = await tight.load(a_registry(small))
    sender = await tight.issue(election, [COUNTRY])
    await shown(tight, election)
    await wait_for_room(tight, http, election)
    async with streaming(http, feed_url(tight, election), areas=THERE) as stream:
        await stream.block()
        await pushed(http, sender, a_report())
        block = await stream.block()
        while block.sequence == 0:
            block = await stream.block()
        assert (block.areas, block.snapshot, block.sequence) == ([], False, 1)
    resumed = {"Last-Event-ID": block.id}
    async with streaming(http, feed_url(tight, election), resumed, areas=THERE) as stream:
        assert (await stream.block()).areas == []


async def test_paced_and_compressed_streams_send_heartbeats_too(
    tight: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """Even if the pace is slower than the heartbeat."""
    election = await tight.load(a_registry(small))
    await shown(tight, election)
    gzip = {"Accept-Encoding": "gzip"}
    url = feed_url(tight, election)
    await wait_for_room(tight, http, election)
    async with streaming(http, url, gzip, every_s=60) as slow, streaming(http, url, gzip) as usual:
        for stream in (slow, usual):
            await stream.block()
            assert [(await stream.block()).areas for _ in range(2)] == [[], []]


# Readers that do not keep up, and too many of them.


class SlowReader:
    """A reader whose socket accepts almost nothing until it reads."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connected(cls, url: str, query: str) -> "SlowReader":
        origin, _, path = url.removeprefix("http://").partition("/")
        slow = cls(*await open_connection(f"http://{origin}", receive_buffer=4096))
        slow.writer.write(f"GET /{path}?{query} HTTP/1.1\r\nHost: door\r\n\r\n".encode())
        head = await slow.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        slow.writer.transport.pause_reading()
        return slow

    async def blocks_until(self, sequence: int) -> list[tuple[list[dict[str, object]], dict[str, object]]]:
        """Return the areas and the end of each block, up to the one that reaches a sequence."""
        self.writer.transport.resume_reading()
        blocks = []
        areas: list[dict[str, object]] = []
        async with asyncio.timeout(20):
            while True:
                entry = (await self.reader.readuntil(b"\n\n")).decode()
                _, _, data = entry.partition("data: ")
                if entry.startswith("event: area"):
                    areas.append(json.loads(data))
                elif entry.startswith("event: block"):
                    blocks.append((areas, json.loads(data)))
                    areas = []
                    if blocks[-1][1]["sequence"] == sequence:
                        return blocks


async def test_a_reader_that_stalls_gets_the_latest_values_at_once_when_it_resumes(
    gateway: Gateway, http: aiohttp.ClientSession, url: str, sender: Sender, small: GeneratedElection
) -> None:
    """Nothing is queued for it: it skips the values in between, and other readers never wait for it."""
    units = units_of(small)
    slow = await SlowReader.connected(url, f"levels={EVERYTHING}")

    async def blocked() -> bool:
        samples = await gateway.metrics()
        return sum(value for name, value in samples.items() if name.startswith("valgnatt_slow_readers")) == 1

    try:
        async with streaming(http, url, levels=EVERYTHING) as quick:
            await quick.block()
            revision = 0
            while not await blocked():
                assert revision < 300, "the reader is never blocked"
                revision += 1
                await pushed(http, sender, *(a_report(unit, revision, votes=revision) for unit in units))
                await quick.blocks_until(revision * len(units))
            for _ in range(SKIPPED):
                revision += 1
                await pushed(http, sender, *(a_report(unit, revision, votes=revision) for unit in units))
                await quick.blocks_until(revision * len(units))
            await shown(gateway, sender.election, revision * len(units))  # by every worker
            for _ in range(6):  # some of them where it is
                async with streaming(http, url) as other:
                    assert (await other.block()).sequence == revision * len(units)
            await until(blocked)
            blocks = await slow.blocks_until(revision * len(units))
    finally:
        slow.writer.transport.abort()
    sequences = [int(str(end["sequence"])) for _, end in blocks]
    assert sequences == sorted(set(sequences))
    assert sequences[-1] - sequences[-2] >= (SKIPPED - 1) * len(units), "what was in between came too"
    copy = {area["area"]: area for areas, _ in blocks for area in areas}
    assert copy == quick.copy
    assert len(blocks[-1][0]) == len(quick.copy)


async def test_readers_above_the_limit_are_told_when_to_retry(
    tight: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """A browser with 200 and the end of the stream, since it stops for good on anything else; others with 503.

    A mirror on the machine of the door is admitted: those who are turned away read its files.
    """
    election = await tight.load(a_registry(small))
    await shown(tight, election)
    await wait_for_room(tight, http, election)
    url, publications = feed_url(tight, election), feed_url(tight, election, "/publications")
    async with streaming(http, url) as first, streaming(http, publications):
        await first.block()
        for address in (url, publications):
            async with streaming(http, address) as refused:
                (event,) = await refused.rest()
                assert event.retry_ms is not None
                assert 10_000 <= event.retry_ms <= 30_000
        answer = await ask(http, "GET", url, headers={"Accept": "*/*"})
        answer.problem(503, "full")
        assert int(answer.headers["Retry-After"]) >= 1
        assert (await tight.metrics())['valgnatt_readers_turned_away_total{process="feed-0"}'] >= 2
        assert (await ask(http, "GET", feed_url(tight, election, f"/areas/{HERE}"))).status == 200
        async with (
            asyncio.timeout(20),
            open_session(None, decompress=False, user_agent=USER_AGENT) as mirror,
            streaming(mirror, url, areas=HERE, levels=EVERYTHING) as admitted,
        ):
            await admitted.block()

    async def let_in() -> bool:
        async with streaming(http, url) as stream:
            event = await stream.event()
            return event is not None and await stream.event() is not None

    await until(let_in)
