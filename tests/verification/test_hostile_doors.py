"""A hostile or broken door costs bounded bytes and time, and every failure says where and why."""

import asyncio
import gzip
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from gateway.verification import feed_record
from gateway.verification.failures import VerificationFailed
from gateway.verification.feed_record import open_record
from gateway.verification.static_mirror import MirrorDirectory, open_published
from gateway.wire.mirror import FORMAT, Live, election_path, encode_live, range_path, rest_path
from tests.client.doors import a_door
from tests.transparency.records import REPORTS, STARTED, a_night
from tests.verification.feed import PREFIX, Feed
from tests.verification.test_record_verifier import verified

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def failure_with(path: str, handler: Handler) -> VerificationFailed:
    """Return how verifying a door fails that is as it has to be but for one path."""
    feed = Feed(a_night())
    routes = [web.get(f"{PREFIX}/{path}", handler)] + [
        route for route in feed.routes() if route.path != f"{PREFIX}/{path}"
    ]
    async with a_door(*routes) as url:
        with pytest.raises(VerificationFailed) as raised:
            await verified(f"{url}{PREFIX}")
        assert re.search(rf"{url}{PREFIX}/\S+: ", str(raised.value)), str(raised.value)
    return raised.value


BLOCK = b'event: block\nid: 0-0\ndata: {"sequence": %d, "chain": "", "snapshot": true}\n\n'
LIMITS = ("REGISTRY_MAX", "PAGE_MAX", "FEED_MAX", "BUNDLE_MAX", "NOTE_MAX")
PATHS = ("log/checkpoint", "log/registry", "log/tile/{path:.*}", "publications", "feed")


@pytest.mark.parametrize("path", PATHS)
async def test_a_bomb_is_not_unpacked(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than the limit of what is read."""
    for name in LIMITS:
        monkeypatch.setattr(feed_record, name, 100_000)
    bomb = gzip.compress(bytes(3_000_000))
    kind = "text/event-stream" if path == "feed" else "text/plain"

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip", "Content-Type": kind})

    failure = await failure_with(path, answer)
    assert (failure.code, "larger than" in str(failure)) == ("unreachable", True)


def endless(piece: bytes, pause_s: float) -> Handler:
    """Answer without an end."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while True:
            await response.write(piece)
            await asyncio.sleep(pause_s)

    return answer


@pytest.mark.parametrize("path", PATHS)
async def test_an_endless_answer_ends(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After as many bytes as are read at most."""
    for name in LIMITS:
        monkeypatch.setattr(feed_record, name, 100_000)
    failure = await failure_with(path, endless(b":" * 10_000, 0))
    assert (failure.code, "larger than" in str(failure)) == ("unreachable", True)


@pytest.mark.parametrize("path", PATHS)
async def test_a_slow_answer_ends(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However steadily its bytes arrive."""
    monkeypatch.setattr(feed_record, "REQUEST_S", 0.3)
    monkeypatch.setattr(feed_record, "FEED_S", 0.3)
    failure = await failure_with(path, endless(b":", 0.02))
    assert (failure.code, "no answer in time" in str(failure)) == ("unreachable", True)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body", [b"", b"<html>log in</html>", b"\xff\x00" * 40], ids=["empty", "page", "bytes"]
)
async def test_something_else_is_a_failure_with_a_code(path: str, body: bytes) -> None:
    """Not a traceback, whatever it is."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="text/html")

    feed = Feed(a_night())
    routes = [web.get(f"{PREFIX}/{path}", answer)]
    routes += [route for route in feed.routes() if route.path != f"{PREFIX}/{path}"]
    async with a_door(*routes) as url:
        with pytest.raises(VerificationFailed) as raised:
            await verified(f"{url}{PREFIX}")
    assert raised.value.code in (
        "unreachable",
        "bad_signature",
        "root_mismatch",
        "registry_mismatch",
        "chain_mismatch",
    )


@pytest.mark.parametrize(
    "events",
    [
        b"event: block\nid: 1-00000000\ndata: []\n\n",
        b"event: block\nid: 1-00000000\ndata: {\n\n",
        b'event: block\nid: x\ndata: {"sequence": "1", "chain": 5, "snapshot": true}\n\n',
        b"event: area\ndata: []\n\n",
        b'event: area\ndata: {"area": []}\n\n',
        b"event: area\ndata: " + b"[" * 5000 + b"\n\n",
        b'event: area\ndata: {"area": 3}\n\n' + BLOCK % 0,
        BLOCK % -7,
        BLOCK % 300,
        BLOCK % (1 << 60),
        b"\xff\xfe\n\n",
    ],
)
async def test_a_feed_of_something_else_is_a_failure_with_a_code(events: bytes) -> None:
    """Not a traceback."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=events, content_type="text/event-stream")

    feed = Feed(a_night())
    routes = [web.get(f"{PREFIX}/feed", answer)]
    routes += [route for route in feed.routes() if route.path != f"{PREFIX}/feed"]
    async with a_door(*routes) as url:
        with pytest.raises(VerificationFailed) as raised:
            await verified(f"{url}{PREFIX}")
    assert raised.value.code in ("unreachable", "figures_differ", "chain_mismatch")


async def test_a_door_without_room_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the figures as for everything else."""
    monkeypatch.setattr(feed_record, "PAUSE_S", 0.01)
    feed = Feed(a_night())
    refused = 2

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal refused
        refused -= 1
        return await feed.feed(request) if refused < 0 else web.Response(status=503)

    path = f"{PREFIX}/feed"
    routes = [web.get(path, answer)] + [route for route in feed.routes() if route.path != path]
    async with a_door(*routes) as url:
        await verified(f"{url}{PREFIX}")


async def test_answers_of_another_encoding_are_refused() -> None:
    """Only gzip was asked for."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"x", headers={"Content-Encoding": "br"})

    assert "not asked for" in str(await failure_with("log/checkpoint", answer))


async def test_what_does_not_exist_says_so() -> None:
    """With the reason of the door."""

    async def answer(_: web.Request) -> web.Response:
        problem = b'{"code": "not_signed", "detail": "this election has no log"}'
        return web.Response(status=404, body=problem, content_type="application/problem+json")

    failure = await failure_with("log/checkpoint", answer)
    assert (failure.code, "this election has no log" in str(failure)) == ("unreachable", True)


async def test_a_door_that_is_behind_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process of it has shown the checkpoint a moment earlier."""
    monkeypatch.setattr(feed_record, "PAUSE_S", 0.01)
    feed = Feed(a_night())
    behind = 2

    async def answer(request: web.Request) -> web.Response:
        nonlocal behind
        behind -= 1
        if behind >= 0:
            problem = b'{"code": "beyond_checkpoint", "detail": "not yet"}'
            return web.Response(status=404, body=problem, content_type="application/problem+json")
        return await feed.tile(request)

    path = f"{PREFIX}/log/tile/{{path:.*}}"
    routes = [web.get(path, answer)] + [route for route in feed.routes() if route.path != path]
    async with a_door(*routes) as url:
        await verified(f"{url}{PREFIX}")


async def test_a_door_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    """Neither a host nor a directory."""
    async with a_door() as url:
        pass
    for where in (f"{url}{PREFIX}", url, str(tmp_path / "nothing"), str(tmp_path)):
        with pytest.raises(VerificationFailed) as raised:
            await verified(where)
        assert raised.value.code == "unreachable"
        assert where in str(raised.value)


async def test_an_election_is_found_by_the_list_of_the_door() -> None:
    """If only the host is named."""
    feed = Feed(a_night())

    async def elections(_: web.Request) -> web.Response:
        return web.json_response({"elections": [{"id": "made-up-1", "rehearsal": False}]})

    async with a_door(web.get("/v1/elections", elections), *feed.routes()) as url:
        assert (await verified(url)).election == "made-up-1"
        async with open_record(url, "made-up-1") as record:
            assert record.where == f"{url}{PREFIX}"


DEEP = b"[" * 200_000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("log/checkpoint", b'{"code": "\xee", "detail": ""}'),
        ("log/checkpoint", b'{"code": ' + DEEP),
        ("publications", b'{"held": ' + DEEP),
        ("publications", b'{"digest": "\xee"}'),
        ("log/registry", DEEP),
        ("feed", b'event: block\ndata: {"held": ' + DEEP + b"\n\n"),
    ],
)
async def test_json_that_no_decoder_reads_is_a_failure_with_a_code(path: str, body: bytes) -> None:
    """Nested too deeply, or not UTF-8, where decoders raise errors of their own."""
    kinds = {"log/checkpoint": "application/problem+json", "feed": "text/event-stream"}

    async def answer(_: web.Request) -> web.Response:
        status = 404 if path == "log/checkpoint" else 200
        return web.Response(status=status, body=body, content_type=kinds.get(path, "text/plain"))

    feed = Feed(a_night())
    routes = [web.get(f"{PREFIX}/{path}", answer)]
    routes += [route for route in feed.routes() if route.path != f"{PREFIX}/{path}"]
    async with a_door(*routes) as url:
        with pytest.raises(VerificationFailed) as raised:
            await verified(f"{url}{PREFIX}")
    assert raised.value.code in ("unreachable", "chain_mismatch", "registry_mismatch", "figures_differ")


async def test_areas_of_a_snapshot_are_kept_as_text() -> None:
    """Parsed JSON can take twenty times the memory of its text."""
    area = b'{"area": "0", "more": [[], [], []]}'
    events = b"event: area\ndata: " + area + b"\n\n" + BLOCK % 0

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=events, content_type="text/event-stream")

    async with a_door(web.get(f"{PREFIX}/feed", answer)) as url, open_record(f"{url}{PREFIX}") as record:
        assert (await record.areas(("country",))).areas == {"0": area}


async def test_the_areas_of_a_snapshot_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """In number too, as each takes memory besides its bytes."""
    monkeypatch.setattr(feed_record, "AREAS_MAX", 3)
    events = b"".join(b'event: area\ndata: {"area": "%d"}\n\n' % each for each in range(4))

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=events + BLOCK % 0, content_type="text/event-stream")

    assert "more than 3 areas" in str(await failure_with("feed", answer))


@pytest.mark.parametrize(
    ("page", "lines"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b"a\nb\n", [b"a", b"b"]),
        (b"\n" * 5000, [b""] * 1000),
        (b"a\n" * 1001, [b"a"] * 1000),
    ],
)
def test_no_more_lines_of_a_page_are_split_than_it_may_have(page: bytes, lines: list[bytes]) -> None:
    """Line feeds alone would take eight times their bytes."""
    assert feed_record._lines_of(page) == lines


async def test_a_range_of_a_mirror_without_what_it_is_named_after_is_a_failure(tmp_path: Path) -> None:
    """Such ranges do not keep the verifier reading, however many there are."""
    live = Live(
        format=FORMAT, election="made-up-1", history="20250908T190000Z-5f3a9c21", sequence=REPORTS, chain="",
        cursor="", published_at=None, written_at=STARTED, every_s=2, recent=(), documents=0, ranges=1 << 60,
        holds=0, profiles={},
    )  # fmt: skip
    directory = a_night().write(tmp_path / election_path(live.election))
    (directory / "live.json").write_bytes(encode_live(live))
    for path in (range_path(live.election, live.history, 1), rest_path(live.election)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    async with open_published(str(directory)) as record:
        assert isinstance(record, MirrorDirectory)
        with pytest.raises(VerificationFailed, match="without publication 1") as raised:
            [lines async for lines in record.publications(0, REPORTS)]
    assert raised.value.code == "chain_mismatch"
