"""Reading a mirror over HTTP: what is hostile, broken or elsewhere costs bounded bytes, and is named."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import aiohttp
import orjson
import pytest
from msgspec import structs

from gateway.client import mirror_reader, mirror_requests
from gateway.client.failures import Failure
from gateway.client.mirror_reader import MirrorReader
from gateway.client.subscriber import Block, FeedRefused, Subscriber
from gateway.wire.mirror import LIVE_READ_MAX, Position, decode_live, encode_live, live_path
from tests.client.scripted import Request, answer, scripted, serving, web_page
from tests.mirror.test_ledger import UNITS, Night

TIMEOUT_S = 20.0
E = "no-test"
Answers = Callable[[str, Request], bytes | None]
"""Answers a request for a path of the mirror; None: as a web server that has the files."""


def a_night() -> Night:
    """Return a night with a few steps."""
    night = Night()
    night.step()
    for unit in UNITS[:3]:
        night.publish_and_step(unit)
    night.files[f"v1/elections/{E}.json"] = orjson.dumps({"registry": night.registry.document})
    night.files["v1/elections.json"] = orjson.dumps({"elections": [{"id": E}]})
    return night


def served(night: Night, other: Answers = lambda *_: None) -> Callable[[Request], bytes]:
    """Return the script of a web server with the files of a mirror below `/results`."""

    def script(request: Request) -> bytes:
        path = request.target.removeprefix("/results/")
        if (given := other(path, request)) is not None:
            return given
        body = night.files.get(path)
        if body is None:
            return web_page(404)
        tag = f'"{zlib.crc32(body):08x}"'
        if request.headers.get("if-none-match") == tag:
            return answer(304, ETag=tag)
        return answer(200, gzip.compress(body), ETag=tag, Content_Encoding="gzip")

    return script


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let readers ask again at once."""
    monkeypatch.setattr(mirror_reader, "EVERY_MOST_S", 0.02)
    monkeypatch.setattr(mirror_reader, "RETRY_FIRST_S", 0.02)


@asynccontextmanager
async def reading(
    night: Night, other: Answers = lambda *_: None, **options: object
) -> AsyncIterator[tuple[Subscriber, list[Failure | None], list[Request]]]:
    """Serve a mirror, and yield a subscriber of its URL, what it reports, and the requests."""
    changes: list[Failure | None] = []
    async with (
        asyncio.timeout(TIMEOUT_S),
        scripted(served(night, other)) as server,
        Subscriber(f"{server.url}/results/", E, on_change=changes.append, **options) as subscriber,  # type: ignore[arg-type]
    ):
        yield subscriber, changes, server.requests


async def more(requests: list[Request], number: int) -> None:
    """Wait for more requests."""
    wanted = len(requests) + number
    while len(requests) < wanted:  # noqa: ASYNC110 - of a server that counts them only
        await asyncio.sleep(0.01)


async def test_a_mirror_is_read_as_a_gateway() -> None:
    """The whole state first, then what changed; a request for `live.json` without a change is answered with 304."""
    night = a_night()
    async with reading(night) as (subscriber, changes, requests):
        blocks = subscriber.blocks()
        first = await anext(blocks)
        assert (first.sequence, first.snapshot) == (3, True)
        assert first.cursor == night.record.cursor
        assert subscriber.source is not None
        assert (subscriber.source.kind, subscriber.source.why) == ("mirror", None)
        assert subscriber.copy == {name: orjson.loads(raw) for name, raw in night.shown("default", 3).items()}
        waiting = asyncio.ensure_future(anext(blocks))
        await more(requests, 4)
        night.publish_and_step(UNITS[4])
        second: Block = await waiting
        assert (second.sequence, second.snapshot) == (4, False)
        assert set(second.areas) < set(subscriber.copy)
        assert subscriber.copy == {name: orjson.loads(raw) for name, raw in night.shown("default", 4).items()}
        assert all("if-none-match" in each.headers for each in requests[4:] if "live.json" in each.target)
        assert changes == [None, None]
        assert 0 < subscriber.mirror_requests <= len(requests)


@pytest.mark.parametrize(
    ("selection", "profile"),
    [
        ({"levels": "country,county"}, "country"),
        ({"levels": "county", "areas": "03"}, "country"),
        ({"levels": "municipality"}, "default"),
        ({"areas": "03"}, "area-03"),
        ({"levels": "precinct", "areas": "0303"}, "area-03"),
        ({"areas": "no"}, "default"),
    ],
)
async def test_the_smallest_profile_with_the_selection_is_read(
    selection: dict[str, str], profile: str
) -> None:
    """Filtered to what a gateway would send."""
    night = a_night()
    levels = selection.get("levels")
    wanted = {
        area.id
        for area in night.registry.areas
        if (area.level in levels.split(",") if levels else not area.is_unit)
        and selection.get("areas", area.id)
        in (area.id, *(night.registry.areas[index].id for index in area.path))
    }
    async with reading(night, raw=True, **selection) as (subscriber, _, requests):
        block = await subscriber.wait_for(lambda _: True)
    assert set(block.areas) == set(block.raw) == set(subscriber.copy) == wanted
    files = [each.target.split("/")[-2] for each in requests if each.target.endswith(".ndjson")]
    assert set(files) == {profile}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": "precinct"}, "no profile of the mirror contains this selection (10 areas)"),
        ({"areas": "01,02"}, None),
        ({"levels": "precinct", "areas": "01,02"}, "select less, or read the gateway itself"),
        ({"areas": "99"}, "areas: this election has no '99'"),
        ({"levels": "district"}, "levels: this election has no 'district'"),
        ({"levels": ","}, "levels is an empty list"),
    ],
)
async def test_a_selection_that_no_profile_contains_is_refused(
    options: dict[str, str], message: str | None
) -> None:
    async with reading(a_night(), **options) as (subscriber, _, _):
        if message is None:
            await subscriber.wait_for(lambda _: True)
            return
        with pytest.raises(FeedRefused) as raised:
            await subscriber.wait_for(lambda _: True)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


async def test_a_mirror_without_the_election_names_those_that_it_has() -> None:
    async with (
        scripted(served(a_night())) as server,
        Subscriber(f"{server.url}/results", "other") as subscriber,
    ):
        with pytest.raises(FeedRefused, match=f"this mirror has no election 'other'; it has: {E}"):
            await subscriber.wait_for(lambda _: True)


BOMB = gzip.compress(bytes(80 << 20), 1)


def of_live(content: bytes) -> Answers:
    """Answer the second request for `live.json`, and those after it up to the fourth, with this."""
    asked: list[str] = []

    def other(path: str, _: Request) -> bytes | None:
        if not path.endswith("live.json"):
            return None
        asked.append(path)
        return content if 2 <= len(asked) <= 4 else None

    return other


def of_files(content: bytes) -> Answers:
    """Answer the first request for a snapshot or delta with this."""
    asked: list[str] = []

    def other(path: str, _: Request) -> bytes | None:
        if not path.endswith(".ndjson"):
            return None
        asked.append(path)
        return content if len(asked) == 1 else None

    return other


def another_live(**members: object) -> bytes:
    """Return an answer with the `live.json` of a night whose members are others."""
    live = orjson.loads(a_night().files[live_path(E)])
    return answer(200, orjson.dumps(live | members))


@pytest.mark.parametrize(
    ("other", "code", "word"),
    [
        (of_live(answer(200, b"x" * (LIVE_READ_MAX + 1))), "mirror_malformed", "larger than 65536 bytes"),
        (of_live(answer(200, BOMB, Content_Encoding="gzip")), "mirror_malformed", "larger than 65536 bytes"),
        (of_live(answer(200, b"no gzip", Content_Encoding="gzip")), "mirror_malformed", "not gzip"),
        (of_live(answer(200, b"[" * 60_000)), "mirror_malformed", "not a live.json"),
        (of_live(another_live(format="valgnatt-mirror/2")), "mirror_malformed", "valgnatt-mirror/2"),
        (of_live(another_live(election="other")), "mirror_malformed", "of another election"),
        (of_live(another_live(history="../../x")), "mirror_malformed", "history"),
        (of_live(web_page(404)), "mirror_missing", "no mirror of this election"),
        (of_live(answer(302, Location="http://127.0.0.2/")), "redirect", "redirected to http://127.0.0.2/"),
        (of_live(answer(302, Location="/results/v1/elections/no-test/live.json")), "redirect", "more than 3 times"),
        (of_live(answer(503, Retry_After="0")), "unavailable", "answered 503"),
        (of_live(answer(200, b"{}", length=100)), "cut_off", "cut off"),
        (of_files(answer(200, BOMB, Content_Encoding="gzip")), "mirror_malformed", "larger than 67108864 bytes"),
        (of_files(answer(200, BOMB[:500], Content_Encoding="gzip")), "mirror_malformed", "cut off"),
        (of_files(answer(200, gzip.compress(b"{}") * 2, Content_Encoding="gzip")), "mirror_malformed", "follows"),
        (of_files(answer(200, b"")), "mirror_malformed", "not a block"),
        (of_files(answer(200, b"[" * 100_000)), "mirror_malformed", "not a block"),
        (of_files(web_page(404)), "mirror_file_missing", "answered 404; it may have been removed since"),
        (of_files(answer(301, Location="http://127.0.0.2/x")), "redirect", "redirected to http://127.0.0.2/x"),
    ],
)  # fmt: skip
async def test_what_is_no_file_of_a_mirror_is_named_and_asked_for_again(
    other: Answers, code: str, word: str
) -> None:
    """The copy is exact afterwards, and no block was made of it."""
    night = a_night()
    async with reading(night, other) as (subscriber, changes, requests):
        async for _ in subscriber.blocks():
            night.publish_and_step(UNITS[0])
            if subscriber.sequence >= 5 and len(changes) > 3:
                break
        shown = night.shown("default", subscriber.sequence)
        assert subscriber.copy == {name: orjson.loads(raw) for name, raw in shown.items()}
    failures = [change for change in changes if change is not None]
    assert failures
    assert failures[0].code == code
    assert word in failures[0].text
    assert "\n" not in failures[0].text
    assert requests


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(b'"areas":', b'"areas":1'),
        lambda content: content.replace(b'"snapshot":true', b'"snapshot":false'),
        lambda content: content.replace(b'"sequence":3,"pub', b'"sequence":4,"pub').replace(
            b'"sequence":0,"pub', b'"sequence":4,"pub'
        ),
        lambda content: content[: content.rindex(b"\n", 0, -1) + 1],
        lambda content: b"\n" + content,
        lambda content: content.replace(b'{"area"', b'{"aria"', 1),
        lambda content: content.replace(b'{"area"', b'["area"', 1),
    ],
)
async def test_a_file_is_applied_completely_or_not_at_all(change: Callable[[bytes], bytes]) -> None:
    """A wrong count, another kind, another sequence, no last line, one too many, and two that are no areas."""
    night = a_night()
    asked: list[str] = []

    def other(path: str, _: Request) -> bytes | None:
        if not path.endswith(".ndjson"):
            return None
        asked.append(path)
        if len(asked) > 1:
            return None
        changed = change(night.files[path])
        assert changed != night.files[path]
        return answer(200, changed)

    async with reading(night, other) as (subscriber, changes, _):
        await subscriber.wait_for(lambda _: True)
        shown = night.shown("default", subscriber.sequence)
        assert subscriber.copy == {name: orjson.loads(raw) for name, raw in shown.items()}
    assert [each and each.code for each in changes] == ["mirror_malformed", None]


async def test_a_body_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its bytes, and one that is silent by the time; it is closed."""
    monkeypatch.setattr(mirror_requests, "SILENCE_S", 0.1)
    closed = asyncio.Event()
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if b"/feed" in request:
            writer.write(web_page(404))
            return
        writer.write(head)
        if b"elections.json" in request:
            await reader.read()
        try:
            while True:
                writer.write(b"{" * 10_000)
                await writer.drain()
        finally:
            closed.set()

    changes: asyncio.Queue[Failure | None] = asyncio.Queue()
    async with (
        asyncio.timeout(TIMEOUT_S),
        serving(endless) as port,
        Subscriber(f"http://127.0.0.1:{port}", E, on_change=changes.put_nowait) as subscriber,
    ):
        task = asyncio.ensure_future(subscriber.wait_for(lambda _: True))
        failure = await changes.get()
        await closed.wait()
        task.cancel()
        await asyncio.wait({task})
        assert subscriber.wire_bytes < 2 << 20
    assert failure is not None
    assert failure.code == "foreign"


async def test_an_older_live_json_changes_nothing() -> None:
    """As another edge may have it: of the same history, or of an earlier one."""
    night = a_night()
    old = night.files[live_path(E)]
    night.publish_and_step(UNITS[0])
    history = "20200101T000000Z-00000000"
    earlier = encode_live(structs.replace(decode_live(old), history=history, sequence=900))
    before = decode_live(old).history
    night.files |= {path.replace(before, history): body for path, body in night.files.items()}
    async with reading(night, of_live(answer(200, old))) as (subscriber, changes, requests):
        blocks = subscriber.blocks()
        assert (await anext(blocks)).sequence == 4
        waiting = asyncio.ensure_future(anext(blocks))
        await more(requests, 5)
        assert not waiting.done()
        night.files[live_path(E)], newest = earlier, night.files[live_path(E)]
        await more(requests, 3)
        assert not waiting.done()
        night.files[live_path(E)] = newest
        night.publish_and_step(UNITS[1])
        assert (await waiting).sequence == 5
        assert changes == [None, None]


async def test_an_etag_that_stays_although_the_content_changes_is_not_relied_on_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once the mirror looks as if it were behind, the whole `live.json` is requested."""
    monkeypatch.setattr(mirror_reader, "WHOLE_EVERY_S", 0.2)
    night = a_night()

    def stuck(path: str, request: Request) -> bytes | None:
        if path != live_path(E):
            return None
        if "if-none-match" in request.headers:
            return answer(304, ETag='"same"')
        return answer(200, night.files[path], ETag='"same"')

    async with reading(night, stuck) as (subscriber, _, _):
        blocks = subscriber.blocks()
        assert (await anext(blocks)).sequence == 3
        night.publish_and_step(UNITS[0])
        assert (await anext(blocks)).sequence == 4


async def test_another_mirror_may_take_the_place_of_one_that_has_stopped_and_no_reader_goes_back() -> None:
    """Its history may be earlier: it is written later. A reader that is ahead of it waits."""
    night = a_night()
    history = "20200101T000000Z-00000000"

    def of_another(body: bytes) -> bytes:
        live = decode_live(body)
        paths = {path for path in night.files if live.history in path}
        night.files.update({path.replace(live.history, history): night.files[path] for path in paths})
        later = live.written_at + timedelta(seconds=1)
        return encode_live(structs.replace(live, history=history, written_at=later))

    other = of_another(night.files[live_path(E)])
    night.publish_and_step(UNITS[0])
    async with reading(night, lambda path, _: answer(200, shown[0]) if path == live_path(E) else None) as (
        subscriber,
        changes,
        requests,
    ):
        shown = [night.files[live_path(E)]]
        blocks = subscriber.blocks()
        assert (await anext(blocks)).sequence == 4
        assert subscriber.is_behind
        waiting = asyncio.ensure_future(anext(blocks))
        shown[0] = other
        await more(requests, 3)
        assert not waiting.done()
        night.publish_and_step(UNITS[1])
        shown[0] = of_another(night.files[live_path(E)])
        assert (await waiting).sequence == 5
        assert changes == [None, None]


async def test_a_reader_of_another_mirror_never_goes_back() -> None:
    """Its history means nothing to this mirror: while it is ahead of it, it waits, as after a stream."""
    async with scripted(served(a_night())) as server, aiohttp.ClientSession(auto_decompress=False) as session:
        elsewhere = "20190101T000000Z-00000000"
        reader = MirrorReader(session, f"{server.url}/results", E)
        assert await reader.next(Position(3, "3-00000000", elsewhere)) is not None
        for ahead in (4, 900):
            reader = MirrorReader(session, f"{server.url}/results", E)
            assert await reader.next(Position(ahead, f"{ahead}-00000000", elsewhere)) is None


async def test_the_mirror_of_a_closed_election_is_not_behind_however_old_it_is() -> None:
    night = a_night()
    live = decode_live(night.files[live_path(E)])
    old = datetime(2001, 1, 1, tzinfo=UTC)
    for closed_at in (None, old):
        shown = structs.replace(live, written_at=old, closed_at=closed_at)
        night.files[live_path(E)] = encode_live(shown)
        async with reading(night) as (subscriber, _, _):
            await anext(subscriber.blocks())
            assert (subscriber.is_behind, subscriber.closed_at) == (closed_at is None, closed_at)


async def test_a_gateway_names_its_mirror_in_the_list_of_elections() -> None:
    """For readers behind something that lets no stream pass; a mirror without TLS is no substitute for one with it."""
    night = a_night()

    async with asyncio.timeout(TIMEOUT_S), scripted(served(night)) as mirror:
        listed = orjson.dumps({"elections": [], "mirror": f"{mirror.url}/results"})

        def gateway(request: Request) -> bytes:
            if request.target == "/v1/elections":
                return answer(200, listed, kind="application/json")
            return web_page(403)

        async with scripted(gateway) as door, Subscriber(door.url, E) as subscriber:
            await subscriber.wait_for(lambda _: True)
            assert subscriber.source is not None
            assert (subscriber.source.kind, subscriber.source.url) == ("mirror", f"{mirror.url}/results")
            assert subscriber.source.why is not None
            assert subscriber.source.why.status == 403
