"""The subscriber against servers that are no feed, or one that fails: it says why and goes on where that may help."""

import asyncio
import json
from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from gateway.client.failures import Failure
from gateway.client.feed_notices import FeedNotices
from gateway.client.subscriber import Block, FeedRefused, Subscriber
from tests.client.scripted import Open, Request, answer, scripted, serving, web_page

TIMEOUT_S = 30.0
BLOCK = json.dumps(
    {
        "sequence": 3, "published_at": None, "chain": "c" * 64, "snapshot": True, "areas": 0,
        "server_time": "2025-09-08T12:00:00Z",
    }
)  # fmt: skip
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
STREAM = HEAD + f"retry: 50\n\nevent: block\nid: 3-cccccccc\ndata: {BLOCK}\n\n".encode()


def a_problem(status: int, code: str) -> bytes:
    body = json.dumps({"code": code, "detail": "a detail"})
    return answer(status, body, kind="application/problem+json", Retry_After="0")


def in_turn(*answers: bytes | None) -> Callable[[Request], bytes | None]:
    """Answer with one after the other, and with the last one from then on; without a mirror."""
    given: Iterator[bytes | None] = chain(answers, repeat(answers[-1]))
    return lambda request: next(given) if "/feed" in request.target else web_page(404)


async def followed(
    script: Callable[[Request], bytes | None], blocks: int = 1, *, silence_s: float = TIMEOUT_S
) -> tuple[list[Block], list[Failure | None]]:
    """Return the first blocks, and everything that was reported until then."""
    changes: list[Failure | None] = []
    received: list[Block] = []
    async with (
        asyncio.timeout(TIMEOUT_S),
        scripted(script) as server,
        Subscriber(server.url, "e", on_change=changes.append, silence_s=silence_s) as subscriber,
    ):
        async for block in subscriber.blocks():
            received.append(block)
            if len(received) == blocks:
                break
    return received, changes


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (web_page(404), "foreign"),
        (web_page(403), "foreign"),
        (answer(400), "foreign"),
        (web_page(502), "unavailable"),
        (answer(408), "unavailable"),
        (answer(503, Retry_After="Sun, 06 Nov 1994 08:49:37 GMT"), "unavailable"),
        (answer(429, Retry_After="-1"), "unavailable"),
        (a_problem(503, "starting"), "problem"),
        (b"", "disconnected"),
        (HEAD, "no_block"),
        (HEAD + b"event: block\ndata: {", "no_block"),
        (HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 900\r\n\r\n"), "cut_off"),
        (HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + b"no gzip", "failed"),
    ],
)
async def test_an_interruption_is_reported_and_the_feed_is_tried_again(first: bytes, code: str) -> None:
    attempts = 1 if first else 2  # aiohttp itself repeats a request once whose connection was closed
    blocks, changes = await followed(in_turn(*[first] * attempts, STREAM))
    assert [change and change.code for change in changes] == [code, None]
    assert blocks[0].sequence == 3


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (web_page(200), "web page"),
        (answer(200, "{}", kind="application/json"), "not a feed door"),
        (a_problem(404, "unknown_election"), "unknown_election"),
        (a_problem(400, "bad_selection"), "bad_selection"),
        (HEAD + b"event: block\nid: 1-0\ndata: {}\n\n", "not a feed of version 1"),
        (HEAD + b"event: area\ndata: []\n\nevent: block\nid: 1-0\ndata: {}\n\n", "not a feed of version 1"),
    ],
)
async def test_what_is_no_feed_ends_with_the_reason(given: bytes, word: str) -> None:
    """In one line."""
    with pytest.raises(FeedRefused, match=word) as raised:
        await followed(lambda _: given)
    assert "\n" not in str(raised.value)


async def test_after_the_first_block_only_the_gateway_can_refuse() -> None:
    """A network that asks for a login for a while does not end a subscriber of days."""
    blocks, changes = await followed(in_turn(STREAM, web_page(200), STREAM), 2)
    assert len(blocks) == 2
    assert [change and change.code for change in changes] == [None, "not_a_door", None]
    with pytest.raises(FeedRefused, match="unknown_election"):
        await followed(in_turn(STREAM, a_problem(404, "unknown_election")), 2)


async def test_a_redirect_to_a_login_page_is_named_by_its_address() -> None:
    async with scripted(lambda _: web_page(200)) as login:
        with pytest.raises(FeedRefused, match=f"{login.url}/login"):
            await followed(lambda _: answer(302, Location=f"{login.url}/login"))


async def test_a_silent_stream_is_given_up() -> None:
    """Before its head, after it, and after a block; bytes that complete no event do not count."""
    blocks, changes = await followed(in_turn(None, Open(HEAD), Open(STREAM), STREAM), 2, silence_s=0.1)
    assert [change and change.code for change in changes] == ["timeout", "timeout", None, "timeout", None]
    assert len(blocks) == 2

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        while not reader.at_eof():
            writer.write(b": comment\n\n")
            await asyncio.sleep(0.02)

    trickled: asyncio.Queue[Failure | None] = asyncio.Queue()
    async with (
        asyncio.timeout(TIMEOUT_S),
        serving(trickle) as port,
        Subscriber(
            f"http://127.0.0.1:{port}", "e", on_change=trickled.put_nowait, silence_s=0.1
        ) as subscriber,
    ):
        task = asyncio.ensure_future(subscriber.wait_for(lambda _: True))
        failure = await trickled.get()
        task.cancel()
        await asyncio.wait({task})
    assert failure is not None
    assert failure.code == "timeout"


@pytest.mark.parametrize("keep_copy", [True, False])
async def test_blocks_have_the_bytes_of_their_areas_if_asked(keep_copy: bool) -> None:
    """Exactly as received, whatever the spelling of the JSON; with `keep_copy` beside the values."""
    area = b'{ "area":"no" ,"name":"\\u004eoreg"}'
    stream = HEAD + b"event: area\ndata: " + area + b"\n\n" + STREAM.removeprefix(HEAD)
    async with (
        asyncio.timeout(TIMEOUT_S),
        scripted(lambda _: stream) as server,
        Subscriber(server.url, "e", raw=True, keep_copy=keep_copy) as subscriber,
    ):
        block = await subscriber.wait_for(lambda _: True)
    assert block.raw == {"no": area}
    assert block.areas == subscriber.copy == ({"no": {"area": "no", "name": "Noreg"}} if keep_copy else {})


def test_an_interruption_is_shown_at_growing_intervals() -> None:
    """Another reason is shown at once, and the end of the interruption once."""
    notices = FeedNotices()
    refused, outage = (
        Failure("refused", "connection refused"),
        Failure("unavailable", "answered 503", status=503),
    )
    assert notices.on_change(None, 0.0) is None
    times = [second for second in range(200) if notices.on_change(refused, float(second)) is not None]
    assert times == [0, 10, 30, 70, 130, 190]
    assert notices.on_change(outage, 200.0) == "answered 503; trying again"
    assert notices.on_change(None, 201.0) == "Results arrive again."
    assert notices.on_change(None, 202.0) is None
