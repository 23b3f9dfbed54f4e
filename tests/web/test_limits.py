"""Limits of a door: each of them is reached, and clients within them are served as before."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import aiohttp
import asyncpg
import pytest

from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import GeneratedElection
from gateway.web.answers import ANY_ORIGIN, SECURITY_HEADERS
from tests.running import Gateway, Sender, served
from tests.web.conftest import make_database
from tests.web.doors import (
    COUNTRY,
    TIMEOUT_S,
    a_registry,
    a_report,
    connected,
    disconnect,
    head_locked,
    open_connection,
    shown,
    until,
    waiting_for_lock,
)

ELSEWHERE = "127.0.0.2"
FAR = "127.0.0.3"
PROXY = "127.0.0.9"
ALONE = "127.0.0.4"
"""An address that one test has for itself: streams of others there may not be closed yet."""
JSON = "application/json"
HEADERS_OF_PAGES = {"accept", "cache-control", "if-none-match", "last-event-id", "traceparent", "tracestate"}
OPTIONS = {
    "connections_max": 12,
    "connections_per_address": 4,
    "readers_per_address": 2,
    "readers_max": 100,
    "sockets_per_sender": 2,
    "requests_per_sender": 2,
    "trusted_proxies": PROXY,
    "mirror_url": "https://cdn.example/results",
}


@pytest.fixture(scope="module")
def narrow(postgres: EmbeddedPostgres) -> Iterator[Gateway]:
    """One worker per door, with few connections."""
    with served(make_database(postgres), **OPTIONS) as gateway:
        yield gateway


@pytest.fixture
async def election(narrow: Gateway, small: GeneratedElection) -> str:
    """An open election for the test alone."""
    election = await narrow.load(a_registry(small))
    await shown(narrow, election)
    return election


@pytest.fixture
async def clients() -> AsyncIterator["Clients"]:
    """Clients at addresses of their own."""
    async with AsyncExitStack() as stack:
        yield Clients(stack)


class Clients:
    """HTTP clients at any local address."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def at(self, address: str) -> aiohttp.ClientSession:
        """Return a client at an address, with a new connection per request."""
        connector = aiohttp.TCPConnector(local_addr=(address, 0), limit=0, force_close=True)
        return await self._stack.enter_async_context(aiohttp.ClientSession(connector=connector))

    async def silent(self, url: str, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection and send nothing."""
        port = int(url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        self._stack.push_async_callback(_closed, writer)
        return reader, writer


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def is_live(client: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with client.get(f"{url}/health/live") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def test_one_address_cannot_take_all_connections(narrow: Gateway, clients: Clients) -> None:
    """A connection above its limit replaces its longest idle one, if there is one; others are served."""
    here, elsewhere = await clients.at(FAR), await clients.at(ELSEWHERE)
    for url in (narrow.push_url, narrow.feed_url):
        opened = [await clients.silent(url, FAR) for _ in range(4)]
        assert await is_live(elsewhere, url)
        await until(lambda url=url: is_live(here, url))
        async with asyncio.timeout(TIMEOUT_S):
            assert await opened[0][0].read() == b""
        for _, writer in opened:
            writer.close()


async def test_the_total_number_of_connections_is_limited(narrow: Gateway, clients: Clients) -> None:
    """A connection that has been silent for a second is evicted for a new one, the oldest first."""
    here = await clients.at("127.0.1.1")
    opened = [await clients.silent(narrow.feed_url, f"127.0.2.{number}") for number in range(1, 13)]
    await until(lambda: is_live(here, narrow.feed_url))
    async with asyncio.timeout(TIMEOUT_S):
        assert await opened[0][0].read() == b""
    name = 'valgnatt_connections{process="feed-0"}'
    assert (await narrow.metrics())[name] <= 12


@pytest.mark.parametrize(("secret", "network"), [("", "127.0.3"), ("valgnatt_no_such_token", "127.0.4")])
async def test_idle_connections_of_many_addresses_do_not_keep_a_push_out(
    narrow: Gateway, election: str, clients: Clients, secret: str, network: str
) -> None:
    """They use up the limit after one request each, even with a wrong token, and are evicted for every push.

    An idle push WebSocket stays open. No connection of another test counts for an address of the `network`, or at all.
    """
    await until(lambda: _no_connection_to_push(narrow))
    client = await clients.at(f"{network}.9")
    sender = await narrow.issue(election, [COUNTRY])
    # Each push opens a connection: one that is kept may be idle for long enough to be evicted itself.
    headers = {**sender.headers, "Content-Type": JSON, "Connection": "close"}
    ask = f"GET /v1/elections/{election}/transfers HTTP/1.1\r\nHost: door\r\n" + (
        f"Authorization: Bearer {secret}\r\n\r\n" if secret else "\r\n"
    )
    async with connected(client, sender) as socket:
        for revision in range(1, 9):
            for number in range(1, 5):
                for _ in range(4):
                    reader, writer = await clients.silent(narrow.push_url, f"{network}.{number}")
                    writer.write(ask.encode())
                    async with asyncio.timeout(TIMEOUT_S):
                        try:
                            line = await reader.readline()
                            assert line == b"" or line.startswith(b"HTTP/1.1 401 ")
                        except ConnectionError:
                            pass  # its address has its share, none of it idle long enough
            report = json.dumps(a_report(revision=revision))
            try:
                async with client.post(sender.url(), data=report, headers=headers) as answer:
                    assert answer.status == 201
            except aiohttp.ClientError as error:
                pytest.fail(f"push {revision}: {error!r}; {await _connections_to_push(narrow)}")
        await socket.send(1, a_report(revision=99))
        assert [result["outcome"] for result in await socket.results(1)] == ["accepted"]


async def _connections_to_push(gateway: Gateway) -> dict[str, float]:
    """Return how many connections the push process has, and how many it has refused and evicted, by reason."""
    metrics = await gateway.metrics()
    return {
        name: value
        for name, value in metrics.items()
        if name.startswith("valgnatt_connections") and 'process="push-0"' in name
    }


async def _no_connection_to_push(gateway: Gateway) -> bool:
    return (await _connections_to_push(gateway))['valgnatt_connections{process="push-0"}'] == 0


@pytest.mark.long
async def test_a_client_that_does_not_finish_the_head_of_a_request_is_disconnected(
    narrow: Gateway, clients: Clients
) -> None:
    """After HEAD_S, whether it is silent or sends a byte per second."""
    start = asyncio.get_running_loop().time()
    ends = []
    for url in (narrow.push_url, narrow.feed_url):
        for first in (b"", b"GET /health/live HTTP/1.1\r\nX-Slow: "):
            reader, writer = await clients.silent(url, ELSEWHERE)
            writer.write(first)
            ends.append(asyncio.create_task(_trickle(reader, writer, bool(first))))
    assert await asyncio.gather(*ends) == [b""] * 4
    assert 9 < asyncio.get_running_loop().time() - start < 30


async def _trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, talks: bool) -> bytes:
    reading = asyncio.create_task(reader.read())
    while not (await asyncio.wait({reading}, timeout=1.0))[0]:
        if talks:
            writer.write(b"x")
    try:
        return await reading
    except ConnectionResetError:
        return b""


async def test_streams_per_address_are_limited(narrow: Gateway, election: str, clients: Clients) -> None:
    """At the limit, a plain request gets 429 and an EventSource only a `retry` field; another address is admitted."""
    here, elsewhere = await clients.at(FAR), await clients.at(ELSEWHERE)
    feed = f"{narrow.feed_url}/v1/elections/{election}/feed"
    async with AsyncExitStack() as streams:
        for _ in range(2):
            answer = await streams.enter_async_context(here.get(feed))
            assert answer.status == 200
        async with here.get(feed) as answer:
            assert answer.status == 429
            assert (await answer.json())["code"] == "too_many_streams"
            assert int(answer.headers["Retry-After"]) >= 1
        for path in ("feed", "publications"):
            address = f"{narrow.feed_url}/v1/elections/{election}/{path}"
            async with here.get(address, headers={"Accept": "text/event-stream"}) as answer:
                assert answer.status == 200
                text = await answer.text()
                assert text.startswith("retry: ")
                assert int(text.split()[1]) >= 10_000
        async with elsewhere.get(feed) as answer:
            assert answer.status == 200
    await until(lambda: _lets_in(here, feed))


async def _lets_in(client: aiohttp.ClientSession, feed: str) -> bool:
    async with client.get(feed) as answer:
        return answer.status == 200


async def test_clients_behind_a_trusted_proxy_are_counted_separately(
    narrow: Gateway, election: str, clients: Clients
) -> None:
    """And the header of a peer that is not trusted is ignored."""
    proxy, untrusted = await clients.at(PROXY), await clients.at(FAR)
    feed = f"{narrow.feed_url}/v1/elections/{election}/feed"
    async with AsyncExitStack() as streams:

        async def status(client: aiohttp.ClientSession, header: str) -> int:
            answer = await streams.enter_async_context(client.get(feed, headers={"X-Forwarded-For": header}))
            return answer.status

        assert [await status(proxy, "192.0.2.1") for _ in range(3)] == [200, 200, 429]
        assert await status(proxy, "192.0.2.1, 192.0.2.2") == 200
        assert await status(proxy, "192.0.2.2, 192.0.2.1") == 429
        forged = [await status(untrusted, f"192.0.2.{number}") for number in range(3, 6)]
        assert forged == [200, 200, 429]


async def test_websockets_per_token_are_limited(narrow: Gateway, election: str, clients: Clients) -> None:
    """The third is refused with 429; that of another token is not, nor the third after one has closed."""
    client = await clients.at(ELSEWHERE)
    sender, other = [await narrow.issue(election, [COUNTRY]) for _ in range(2)]
    async with connected(client, sender):
        async with connected(client, sender):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(
                    sender.url("/push"), headers=sender.headers, protocols=("valgnatt.push.v1",)
                )
            assert refused.value.status == 429
            assert refused.value.headers is not None
            assert int(refused.value.headers["Retry-After"]) >= 1
            async with connected(client, other) as socket:
                await socket.send(1, a_report())
                assert [result["outcome"] for result in await socket.results(1)] == ["accepted"]
        await until(lambda: _connects(client, sender))


async def _connects(client: aiohttp.ClientSession, sender: object) -> bool:
    try:
        async with connected(client, sender):  # type: ignore[arg-type]
            return True
    except aiohttp.WSServerHandshakeError:
        return False


async def test_requests_per_token_are_limited(narrow: Gateway, election: str, clients: Clients) -> None:
    """A third one while two are in progress is refused with 429; that of another token is accepted."""
    client = await clients.at(ELSEWHERE)
    sender, other = [await narrow.issue(election, [COUNTRY]) for _ in range(2)]

    async def push(who: object, revision: int) -> tuple[int, str]:
        headers = {**who.headers, "Content-Type": "application/json"}  # type: ignore[attr-defined]
        body = json.dumps(a_report(revision=revision))
        async with client.post(who.url(), data=body, headers=headers) as answer:  # type: ignore[attr-defined]
            return answer.status, (await answer.json()).get("code", "")

    async with head_locked(narrow, election):
        under_way = [asyncio.create_task(push(sender, revision)) for revision in (1, 2)]
        await waiting_for_lock(narrow)
        await until(lambda: _refused(push, sender))
        third = asyncio.create_task(push(other, 3))
    assert 201 in [status for status, _ in await asyncio.gather(*under_way)]
    assert (await third)[0] == 201


async def _refused(push: object, sender: object) -> bool:
    status, code = await asyncio.wait_for(push(sender, 9), 5)  # type: ignore[operator]
    return (status, code) == (429, "overloaded")


@pytest.mark.parametrize(("path", "most"), [("/transfers", 1), ("/reports/0604-0001", 4)])
async def test_reads_of_reports_per_token_are_limited(
    narrow: Gateway, election: str, clients: Clients, path: str, most: int
) -> None:
    """Any more are refused with 429; those of another token are answered, and so are its own afterwards."""
    addresses = [await clients.at(address) for address in (ELSEWHERE, FAR)]
    sender, other = [await narrow.issue(election, [COUNTRY]) for _ in range(2)]

    async def get(number: int, who: Sender = sender) -> tuple[int, str]:
        async with addresses[number % 2].get(who.url(path), headers=who.headers) as answer:
            return answer.status, (await answer.json()).get("code", "")

    async with addresses[0].post(
        sender.url(), data=json.dumps(a_report()), headers={**sender.headers, "Content-Type": JSON}
    ) as answer:
        assert answer.status == 201
    async with reports_locked(narrow):
        asking = {asyncio.create_task(get(number)) for number in range(most + 1)}
        refused, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result() for task in refused] == [(429, "overloaded")]
        await until(lambda: _refused_reading(get))
        others = asyncio.create_task(get(0, other))
    assert {(await task)[0] for task in (*asking, others)} == {200}
    assert (await get(1))[0] == 200


async def _refused_reading(get: Callable[[int], Awaitable[tuple[int, str]]]) -> bool:
    return await get(1) == (429, "overloaded")


@asynccontextmanager
async def reports_locked(gateway: Gateway) -> AsyncIterator[None]:
    """Lock the table of reports, so that nothing is read or written."""
    connection = await asyncpg.connect(gateway.database.url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE valgnatt.report IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def test_a_request_counts_until_its_answer_is_read(
    narrow: Gateway, election: str, clients: Clients
) -> None:
    """A sender with two large unread answers is refused a third request until it has read one."""
    client = await clients.at(ELSEWHERE)
    sender = await narrow.issue(election, [COUNTRY])
    line = json.dumps({"unit": "\U0001f5f3" * 64}, ensure_ascii=False).encode() + b"\n"
    body = line * 9999  # each is answered with its unit: together more than a kernel keeps

    async def push_small() -> int:
        headers = {**sender.headers, "Content-Type": JSON}
        async with client.post(sender.url(), data=json.dumps(a_report()), headers=headers) as answer:
            return answer.status

    before = await _refusals(narrow)
    deaf = [await open_connection(narrow.push_url, 4096) for _ in range(2)]
    try:
        for _, writer in deaf:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(
                f"POST /v1/elections/{election}/reports HTTP/1.1\r\nHost: door\r\nConnection: close\r\n"
                f"Authorization: Bearer {sender.secret}\r\nContent-Type: application/x-ndjson\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
        await until(lambda: _refused_reports(narrow, before + 2 * 9999))
        assert {await push_small() for _ in range(50)} == {429}
        reader, writer = deaf[0]
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(TIMEOUT_S):
            assert (await reader.read()).endswith(b"}]}")
        await until(lambda: _is(push_small, 201, 200))
    finally:
        for _, writer in deaf:
            await disconnect(writer, reset=True)


async def _refusals(gateway: Gateway) -> float:
    """Return the number of reports answered with a refusal."""
    return (await gateway.metrics()).get('valgnatt_answers_total{process="push-0",outcome="refused"}', 0)


async def _refused_reports(gateway: Gateway, count: float) -> bool:
    return await _refusals(gateway) == count


async def _is(push: Callable[[], Awaitable[int]], *statuses: int) -> bool:
    return await push() in statuses


async def test_a_page_of_another_origin_cannot_push(narrow: Gateway, election: str, clients: Clients) -> None:
    """Even with a valid token."""
    client = await clients.at(ELSEWHERE)
    sender = await narrow.issue(election, [COUNTRY])

    async def connect(origin: str) -> None:
        headers = {**sender.headers, "Origin": origin}
        async with client.ws_connect(sender.url("/push"), headers=headers, protocols=("valgnatt.push.v1",)):
            pass

    for origin in ("https://evil.example", "null"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connect(origin)
        assert refused.value.status == 403
    await connect(narrow.push_url)


async def test_every_answer_has_the_security_headers(
    narrow: Gateway, election: str, clients: Clients
) -> None:
    """Streams and errors too; none names the software behind it."""
    client = await clients.at(ELSEWHERE)
    for url in (
        f"{narrow.feed_url}/v1/elections",
        f"{narrow.feed_url}/v1/elections/{election}/feed",
        f"{narrow.feed_url}/v1/elections/{election}/publications",
        f"{narrow.feed_url}/nothing",
        f"{narrow.push_url}/v1/elections/{election}/transfers",
        f"{narrow.push_url}/health/ready",
    ):
        for kind in ("*/*", "text/event-stream"):
            async with client.get(url, headers={"Accept": kind}) as answer:
                for name, value in SECURITY_HEADERS.items():
                    assert answer.headers[name] == value, (url, kind)
                if url.startswith(narrow.feed_url):
                    for name, value in ANY_ORIGIN.items():
                        assert answer.headers[name] == value, (url, kind)


async def test_every_answer_of_the_feed_names_the_mirror(
    narrow: Gateway, election: str, clients: Clients
) -> None:
    """Also a refusal, so that a reader who is turned away knows where to go; no other answer has the header."""
    client = await clients.at(ALONE)
    link = '<https://cdn.example/results>; rel="alternate"'
    feed = f"{narrow.feed_url}/v1/elections/{election}/feed"

    async def named(url: str, **headers: str) -> tuple[int, str | None]:
        async with client.get(url, headers=headers) as answer:
            return answer.status, answer.headers.get("Link")

    assert await named(f"{feed}?every_s=3") == (400, link)
    assert await named(f"{feed}?nothing=1") == (400, link)
    async with AsyncExitStack() as readers:
        for coding in ("gzip", "identity"):
            stream = await readers.enter_async_context(client.get(feed, headers={"Accept-Encoding": coding}))
            assert (stream.status, stream.headers.get("Link")) == (200, link)
        assert await named(feed) == (429, link)
        assert await named(feed, Accept="text/event-stream") == (200, link)
    assert await named(f"{narrow.feed_url}/v1/elections/none/feed") == (404, link)
    assert await named(f"{narrow.feed_url}/v1/elections/{election}") == (200, None)
    async with client.get(f"{narrow.feed_url}/v1/elections") as answer:
        assert (await answer.json())["mirror"] == "https://cdn.example/results"


async def test_a_preflight_lets_pages_resume(narrow: Gateway, election: str, clients: Clients) -> None:
    """A page that uses `fetch` asks first whether it may send any of the headers that the contract names."""
    client = await clients.at(ELSEWHERE)
    headers = {
        "Origin": "https://newspaper.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": ",".join(sorted(HEADERS_OF_PAGES)),
    }
    feed = f"{narrow.feed_url}/v1/elections/{election}/feed"
    async with client.options(feed, headers=headers) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert set(allowed) >= HEADERS_OF_PAGES
        assert "GET" in answer.headers["Access-Control-Allow-Methods"]
