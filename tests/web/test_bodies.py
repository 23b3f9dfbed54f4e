"""Bodies are made and compressed once for all clients that request the same, and equal bodies made separately."""

import gzip
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.feed import archive
from gateway.feed.compression import deflate
from gateway.rehearsal.generator import GeneratedElection
from gateway.web import bodies as bodies_module
from gateway.web import feed_documents, feed_streams, stream_limits
from gateway.web.allowance import BURST_S
from gateway.web.bodies import GZIP_MIN, Body, BodyCache, PrecompressedText
from gateway.wire import areas
from gateway.wire.areas import area_document, csv_head, csv_line
from gateway.wire.json import to_json
from tests.feed.served import FakeRecord, Served, a_night, served, until
from tests.web.doors import COUNTRY, HERE, UNIT, ask, streaming

GZIP = {"Accept-Encoding": "gzip"}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


@pytest.fixture
async def door(small: GeneratedElection) -> AsyncIterator[Served]:
    """A feed door on a record of up to 2100 publications."""
    async with served(FakeRecord(small.registry, a_night(small.registry, 2100), shown=70)) as opened:
        yield opened


class Work:
    """Counts the bytes compressed and the calls made."""

    def __init__(self) -> None:
        self.compressed = 0
        self.calls: Counter[str] = Counter()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """Count the work of the door."""
    found = Work()

    def counted(name: str, function: Callable[..., Any], *, compresses: bool = False) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            found.calls[name] += 1
            if compresses:
                found.compressed += len(arguments[0])
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(bodies_module, "deflate", counted("deflate", deflate, compresses=True))
    pack = bodies_module._gzip
    monkeypatch.setattr(bodies_module, "_gzip", counted("pack", pack, compresses=True))
    monkeypatch.setattr(areas, "area_document", counted("area", areas.area_document))
    monkeypatch.setattr(feed_streams, "publication_event", counted("event", feed_streams.publication_event))
    return found


# Bodies by themselves.


@settings(deadline=None)
@given(st.binary(max_size=3000), st.binary(max_size=300), st.binary(max_size=300))
def test_a_precompressed_text_is_the_same_plain_and_compressed(
    text: bytes, before: bytes, after: bytes
) -> None:
    """It is one gzip stream with a correct trailer, and a tag that distinguishes it from others."""
    shared = PrecompressedText(text)
    body, other = (shared.between(each, after, "text/plain") for each in (before, before + b"x"))
    assert body.plain == before + text + after
    assert gzip.decompress(body.compressed()) == body.plain
    assert gzip.decompress(other.compressed()) == other.plain
    assert body.tag == PrecompressedText(text).between(before, after, "text/plain").tag
    assert body.tag not in (
        other.tag,
        PrecompressedText(text + b"x").between(before, after, "text/plain").tag,
    )


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(0, 400)), max_size=60))
def test_the_cache_is_bounded_and_has_the_latest_body_of_each_name(
    asked: list[tuple[int, int, int]],
) -> None:
    """The most recently requested one stays, whatever its size."""
    bodies = BodyCache(limit=1000)
    made: list[Body] = []

    def make(size: int) -> Body:
        made.append(Body(bytes(size), "text/plain"))
        return made[-1]

    for name, version, size in asked:
        before = len(made)
        body = bodies.get(name, version, lambda size=size: make(size))
        assert len(made) == before or body is made[-1]
        assert bodies.get(name, version, lambda: pytest.fail("it was there")) is body
        assert bodies.find(name, version) is body
        assert bodies.find(name, version + 1) is None
        assert bodies._size == sum(each.size for _, each in bodies._bodies.values())
        assert bodies._size <= 1000 or len(bodies._bodies) == 1


def test_answers_of_one_body_share_its_bytes() -> None:
    """So a body that many clients have not read yet is in memory once."""
    body = Body(b"x" * (GZIP_MIN + 1), "text/plain")
    request = make_mocked_request("GET", "/")
    for compressed, expected in ((False, body.plain), (True, body.compressed())):
        answers = [body.answer(request, {}, gzip=compressed) for _ in range(3)]
        assert all(answer.body is expected for answer in answers)
        assert len({answer.headers["ETag"] for answer in answers}) == 1
    short = Body(b"x" * GZIP_MIN, "text/plain").answer(request, {}, gzip=True)
    assert "Content-Encoding" not in short.headers


# The door.


@pytest.mark.parametrize("path", ["", f"/areas/{COUNTRY}", f"/areas/{HERE}?format=csv"])
async def test_a_body_is_made_once_for_any_number_of_requests(
    door: Served, http: aiohttp.ClientSession, work: Work, path: str
) -> None:
    """HEAD and 304 included."""
    first = await ask(http, "GET", door.url(path), headers=GZIP)
    before = work.compressed, work.calls.copy()
    for _ in range(5):
        again = await ask(http, "GET", door.url(path), headers=GZIP)
        assert again.body == first.body
        assert (await ask(http, "HEAD", door.url(path), headers=GZIP)).body == b""
        tag = first.headers["ETag"]
        cached = await ask(http, "GET", door.url(path), headers={**GZIP, "If-None-Match": tag})
        assert cached.status == 304
    assert (work.compressed, work.calls) == before


async def test_transfers_are_made_once_per_second_and_state(
    door: Served, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For any number of requests."""
    made = Counter[tuple[int, int]]()
    make = feed_documents._transfers_body

    def counted(feed: Any, only: str | None, now: datetime) -> Body:
        made[feed.state.sequence, int(now.timestamp())] += 1
        return make(feed, only, now)

    monkeypatch.setattr(feed_documents, "_transfers_body", counted)
    for count in (70, 71):
        await door.show(count)
        for _ in range(20):
            answer = await ask(http, "GET", door.url("/transfers"))
            assert answer.document["sequence"] == count
    assert {count for count, _ in made} == {70, 71}
    assert set(made.values()) == {1}


async def test_a_registry_is_compressed_once_while_the_record_grows(
    door: Served, http: aiohttp.ClientSession, work: Work
) -> None:
    """Each publication changes the position of the record, which precedes it in the document."""
    size = len(door.record.document)
    for count in range(70, 90):
        await door.show(count)
        answer = await ask(http, "GET", door.url(""), headers=GZIP)
        document = json.loads(gzip.decompress(answer.body))
        assert document["sequence"] == count
        assert document["registry"] == json.loads(door.record.document)
    assert work.compressed < size + 20 * 2000


async def test_assembled_documents_equal_those_made_from_scratch(
    door: Served, http: aiohttp.ClientSession
) -> None:
    """Areas as documents and tables, whichever of them changed."""
    for count in (70, 75, 140):
        await door.show(count)
        state, registry = door.feed.state, door.feed.registry
        for name in (COUNTRY, HERE, UNIT):
            area = registry.by_id[name]
            document = {
                **area_document(state, area.index),
                "rehearsal": registry.rehearsal,
                "record": {
                    "sequence": count,
                    "chain": state.chain.hex(),
                    "published_at": state.published_at,
                },
                "children": [area_document(state, index) for index in area.children],
            }
            assert (await ask(http, "GET", door.url(f"/areas/{name}"))).body == to_json(document)
            table = csv_head(registry) + b"".join(
                csv_line(state, each) for each in (area.index, *area.children)
            )
            assert (await ask(http, "GET", door.url(f"/areas/{name}?format=csv"))).body == table


async def test_an_area_is_encoded_once_per_change_for_feeds_and_documents(
    door: Served, http: aiohttp.ClientSession, work: Work
) -> None:
    """For the document of its parent, for its own, and for a stream."""
    async with streaming(http, door.url("/feed"), levels="country,county,municipality,precinct") as stream:
        await stream.block()
    made = work.calls["area"]
    for area in door.feed.registry.areas:
        assert (await ask(http, "GET", door.url(f"/areas/{area.id}"))).status == 200
    assert work.calls["area"] == made == len(door.feed.registry.areas)


async def test_another_history_has_other_bodies(
    door: Served, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """Even at the same sequence."""
    paths = ("", f"/areas/{COUNTRY}", f"/areas/{COUNTRY}?format=csv", "/publications?after=0&limit=100")
    first = [await ask(http, "GET", door.url(path)) for path in paths]
    door.record.night = a_night(small.registry, 70, votes=5)
    generation = door.feed.generation
    door.hub.wake()
    await until(lambda: door.feed.generation != generation)
    await until(lambda: door.feed.settled and door.feed.state.sequence == 70)
    for path, before in zip(paths, first, strict=True):
        assert (await ask(http, "GET", door.url(path))).body != before.body


async def test_unshared_pages_of_publications_are_limited(
    door: Served, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages of 100 that start at a multiple of 100 are shared and not limited."""
    await door.show(2100)
    monkeypatch.setattr(door.door.limits.allowance, "_rate", 10_000.0)
    now = time.monotonic()
    monkeypatch.setattr(door.door.limits.allowance, "_clock", lambda: now)
    for after in range(1, 100):
        answer = await ask(http, "GET", door.url("/publications"), params={"after": after, "limit": 1000})
        if answer.status != 200:
            break
    answer.problem(429, "overloaded")
    for after in (0, 100, 1000):
        for limit in (100, 1000):
            page = await ask(http, "GET", door.url("/publications"), params={"after": after, "limit": limit})
            assert len(page.body.splitlines()) == min(limit, 2100 - after)
    assert (await ask(http, "GET", door.url("/publications/1-1000"))).status == 200


async def test_streams_of_publications_share_chunks(
    door: Served, http: aiohttp.ClientSession, work: Work
) -> None:
    """Wherever they start, they are soon sent the same chunks."""
    await door.show(2000)
    for after in (3, 170, 333, 420):
        async with streaming(http, door.url("/publications"), after=after) as stream:
            found = await stream.events("publication", 2000 - after)
        assert [event.document["sequence"] for event in found] == list(range(after + 1, 2001))
    assert work.calls["event"] == sum(500 - after for after in (3, 170, 333, 420)) + 1500


async def test_reads_of_old_ranges_are_limited_and_their_results_shared(
    http: aiohttp.ClientSession, small: GeneratedElection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages, ranges and streams: a client is refused if too much is read from the database for it alone."""
    monkeypatch.setattr(archive, "TAIL_MAX", archive.RANGE_SIZE)
    record = FakeRecord(small.registry, a_night(small.registry, 5000), shown=5000)
    async with served(record) as door:
        now = time.monotonic()
        monkeypatch.setattr(door.door.limits.allowance, "_clock", lambda: now)
        monkeypatch.setattr(door.door.limits.allowance, "_rate", stream_limits.RANGE_COST * 2 / BURST_S)
        asked = ("/publications/1-1000", "/publications?after=1000&limit=100")
        for path in asked:
            assert (await ask(http, "GET", door.url(path))).status == 200
        assert (await ask(http, "GET", door.url("/publications?after=2000&limit=100"))).status == 200
        reads = record.reads
        for path in (
            "/publications/3001-4000",
            "/publications?after=3000&limit=100",
            "/publications?after=3001",
        ):
            (await ask(http, "GET", door.url(path))).problem(429, "overloaded")
        async with streaming(http, door.url("/publications"), after=3000) as stream:
            (event,) = await stream.rest()
            assert event.retry_ms is not None
        assert record.reads == reads
        for path in (*asked, "/publications/1001-2000", "/publications/4001-5000"):
            assert (await ask(http, "GET", door.url(path))).status == 200
        assert record.reads == reads
        async with streaming(http, door.url("/publications"), after=999) as stream:
            await stream.events("publication", 1500)


async def test_pages_after_the_end_of_the_record_are_not_cached(
    door: Served, http: aiohttp.ClientSession
) -> None:
    """Their number is unbounded, and they are empty."""
    await door.show(70)
    url = door.url("/publications?after=")
    assert (await ask(http, "GET", url + "0&limit=100")).body
    kept = len(door.door.bodies._bodies)
    for page in range(1, 50):
        assert (await ask(http, "GET", f"{url}{100 * page}&limit=100")).body == b""
    assert len(door.door.bodies._bodies) == kept


def test_the_number_of_cached_bodies_is_bounded_even_if_they_are_short() -> None:
    """Each takes memory for its name too."""
    kept = BodyCache(limit=100 << 10)
    for name in range(1000):
        kept.get(name, 0, lambda: Body(b"", "text/plain"))
    assert len(kept._bodies) <= 100
