"""Clients that close their side of a connection after a request: they get the answer, and nothing is left open."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import GeneratedElection
from tests.counts import variants
from tests.running import Gateway, Sender, served
from tests.web.conftest import make_database
from tests.web.doors import (
    COUNTRY,
    HERE,
    TIMEOUT_S,
    a_registry,
    a_report,
    disconnect,
    head_locked,
    open_connection,
    shown,
    until,
    waiting_for_lock,
)

OPEN_CONNECTIONS = "valgnatt_connections{"
READERS = "valgnatt_readers{"
PUBLICATION_READERS = "valgnatt_publication_readers{"


async def answer_to(url: str, *pieces: bytes) -> bytes:
    """Send pieces, close the sending side, and return everything up to the end of the connection."""
    reader, writer = await open_connection(url)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(TIMEOUT_S):
            return await reader.read()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def get(path: str, *headers: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", "Host: door", *headers, "", ""]).encode()


def post(sender: Sender, report: dict[str, Any], *, length: int | None = None) -> bytes:
    body = json.dumps(report).encode()
    lines = [
        f"POST /v1/elections/{sender.election}/reports HTTP/1.1",
        "Host: door",
        f"Authorization: Bearer {sender.secret}",
        "Content-Type: application/json",
        f"Content-Length: {len(body) if length is None else length}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def total(gateway: Gateway, name: str) -> float:
    return sum(value for key, value in (await gateway.metrics()).items() if key.startswith(name))


async def test_the_admin_port_answers(gateway: Gateway) -> None:
    """All requests that have arrived; half of another one, or none, has no answer."""
    for path in ("/health/live", "/health/ready", "/metrics"):
        answer = await answer_to(gateway.admin_url, get(path))
        assert status_of(answer) == 200
        assert answer.count(b"HTTP/1.1 ") == 1
    answer = await answer_to(gateway.admin_url, get("/metrics"), get("/health/live") + get("/nothing"))
    assert [int(each[:3]) for each in answer.split(b"HTTP/1.1 ")[1:]] == [200, 200, 404]
    assert (await answer_to(gateway.admin_url, get("/health/live") + b"GET /met")).count(b"HTTP/1.1 ") == 1
    assert await answer_to(gateway.admin_url) == b""


async def test_a_report_is_answered(gateway: Gateway, sender: Sender) -> None:
    """With its receipt, also if the commit takes a while; then the connection is closed."""
    answer = await answer_to(gateway.push_url, post(sender, a_report()))
    assert status_of(answer) == 201
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["sequence"] == 1
    async with head_locked(gateway, sender.election):
        waiting = asyncio.create_task(answer_to(gateway.push_url, post(sender, a_report(revision=2))))
        await waiting_for_lock(gateway)
        assert not waiting.done()
    assert status_of(await waiting) == 201


async def test_documents_are_answered(gateway: Gateway, sender: Sender) -> None:
    """Small and large ones, in HTTP/1.0 too, and several that were sent at once in their order."""
    await answer_to(gateway.push_url, post(sender, a_report(votes=10)))
    await shown(gateway, sender.election, 1)
    path = f"/v1/elections/{sender.election}"
    for request in (
        get(path),
        get(path, version="1.0"),
        get(f"{path}/areas/{HERE}"),
        get("/static/0/texts.js"),
    ):
        answer = await answer_to(gateway.feed_url, request)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert status_of(answer) == 200
        assert f"content-length: {len(body)}".encode() in head.lower()
    answer = await answer_to(
        gateway.feed_url, *(get(f"{path}/{each}") for each in ("areas/0604", "none", "transfers"))
    )
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"]


async def test_a_request_that_waits_is_answered(gateway: Gateway, sender: Sender) -> None:
    """When what it waits for comes."""
    await shown(gateway, sender.election)
    path = f"/v1/elections/{sender.election}/areas/{HERE}?at_least=1"
    waiting = asyncio.create_task(answer_to(gateway.feed_url, get(path)))
    await asyncio.sleep(0)
    assert status_of(await answer_to(gateway.push_url, post(sender, a_report()))) == 201
    assert status_of(await waiting) == 200


async def test_a_stream_ends_after_what_there_is(gateway: Gateway, sender: Sender) -> None:
    """A feed after its snapshot, publications after those that exist."""
    await answer_to(gateway.push_url, post(sender, a_report()))
    await shown(gateway, sender.election, 1)
    path = f"/v1/elections/{sender.election}"
    answer = await answer_to(gateway.feed_url, get(f"{path}/feed"))
    assert status_of(answer) == 200
    assert answer.count(b"event: block\nid: 1-") == 1
    answer = await answer_to(gateway.feed_url, get(f"{path}/publications", "Accept: text/event-stream"))
    assert answer.count(b"event: publication\n") == 1

    async def gone() -> bool:
        return not await total(gateway, READERS) and not await total(gateway, PUBLICATION_READERS)

    await until(gone)


@pytest.mark.parametrize("reset", [None, False, True])
@pytest.mark.parametrize("rest", variants(["/feed", "/publications"], "/feed"))
async def test_a_reader_that_leaves_an_open_stream_is_noticed(
    tight: Gateway, small: GeneratedElection, rest: str, reset: bool | None
) -> None:
    """If it closes its side (None), closes the connection or resets it."""
    sender = await tight.issue(await tight.load(a_registry(small)), [COUNTRY])
    await answer_to(tight.push_url, post(sender, a_report()))
    await shown(tight, sender.election, 1)
    readers = READERS if rest == "/feed" else PUBLICATION_READERS
    reader, writer = await open_connection(tight.feed_url)
    writer.write(get(f"/v1/elections/{sender.election}{rest}", "Accept: text/event-stream"))
    async with asyncio.timeout(TIMEOUT_S):
        await reader.readuntil(b"\nid: 1-")
    assert await total(tight, readers) == 1

    async def none_left() -> bool:
        return await total(tight, readers) == 0

    if reset is None:
        writer.write_eof()
        await until(none_left)
        async with asyncio.timeout(TIMEOUT_S):
            await reader.read()
    await disconnect(writer, reset=bool(reset))
    await until(none_left)


async def test_an_incomplete_body_is_an_error_at_once(gateway: Gateway, sender: Sender) -> None:
    """Nothing of it is accepted."""
    chunked = post(sender, a_report()).replace(b"Content-Length: ", b"Transfer-Encoding: chunked\r\nX: ")
    head, _, body = chunked.partition(b"\r\n\r\n")
    for request in (
        post(sender, a_report(), length=5000),
        head + b"\r\n\r\n",
        head + b"\r\n\r\n%x\r\n" % len(body) + body,
    ):
        answer = await answer_to(gateway.push_url, request)
        assert status_of(answer) == 400, answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "malformed"
        assert sender.secret.encode() not in answer
    assert status_of(await answer_to(gateway.push_url, post(sender, a_report()))) == 201


@pytest.fixture
def own_gateway(postgres: EmbeddedPostgres) -> Iterator[Gateway]:
    """A gateway that nothing else uses: a browser of other tests may keep connections to a shared one open."""
    with served(make_database(postgres)) as gateway:
        yield gateway


async def test_nothing_to_answer_ends_the_connection(own_gateway: Gateway, small: GeneratedElection) -> None:
    """No request, half of one, a whole one and half of another, or a WebSocket."""
    gateway = own_gateway
    sender = await gateway.open_election(a_registry(small), [COUNTRY])
    await shown(gateway, sender.election)
    whole = get(f"/v1/elections/{sender.election}")
    assert await answer_to(gateway.feed_url) == b""
    assert await answer_to(gateway.feed_url, whole[:-2]) == b""
    assert (await answer_to(gateway.feed_url, whole + whole[:-2])).count(b"HTTP/1.1 200 ") == 1
    handshake = get(
        f"/v1/elections/{sender.election}/push",
        f"Authorization: Bearer {sender.secret}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: " + "A" * 22 + "==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: valgnatt.push.v1",
    )
    assert status_of(await answer_to(gateway.push_url, handshake)) in (101, 400)  # it may be open by then

    async def all_closed() -> bool:
        return await total(gateway, OPEN_CONNECTIONS) == 0

    await until(all_closed)


async def test_a_refused_request_is_explained(gateway: Gateway) -> None:
    """What is no HTTP, a head that is too large, a body where none is read."""
    for data, status in (
        (b"no HTTP\r\n\r\n", 400),
        (get("/", "Cookie: " + "x" * 30_000), 431),
        (get("/v1/elections", "Content-Length: 5"), 400),
    ):
        assert status_of(await answer_to(gateway.feed_url, data)) == status
