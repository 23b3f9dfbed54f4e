"""HAProxy and nginx in front of both doors, with the shipped files: every guarantee is kept through them."""

import asyncio
import gzip
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import pytest

from gateway.feed.channel import SHARED_WINDOW_READERS_MIN
from gateway.rehearsal.generator import GeneratedElection
from gateway.web.websocket import PING_S
from tests.conftest import Database
from tests.counts import full_only, variants
from tests.deploy.conftest import READERS_PER_ADDRESS
from tests.deploy.proxies import KINDS, Proxied, a_proxy
from tests.running import Gateway, Sender, running
from tests.signer.signing import signing
from tests.web.doors import (
    COUNTRY,
    EVERYTHING,
    HERE,
    SUBPROTOCOL,
    UNIT,
    Answer,
    Block,
    EventStream,
    PushSocket,
    a_registry,
    a_report,
    ask,
    connected,
    feed_url,
    moment,
    ndjson,
    push,
    pushed,
    shown,
    streaming,
    units_of,
    until,
)

pytestmark = pytest.mark.long

FRESH_S = 1.0
"""How long a cache may keep an area."""
TAKEN_S = 0.25
"""Additional time for an answer in these tests, or as long as the longest really took."""


def hit(answer: Answer) -> bool:
    """Whether the answer came from a cache."""
    return answer.headers.get("X-Cache") == "HIT"


async def next_change(stream: EventStream) -> Block:
    """Return the next block that is not a heartbeat."""
    while not (block := await stream.block()).areas:
        pass
    return block


async def test_a_report_over_http_gets_its_receipt(
    http: aiohttp.ClientSession, sender: Sender, small: GeneratedElection
) -> None:
    """Valid, repeated and invalid reports are answered, and so is a compressed body larger than the proxy's buffers."""
    accepted = await push(http, sender, a_report())
    assert (accepted.status, accepted.document["sequence"]) == (201, 1)
    again = await push(http, sender, a_report())
    assert (again.status, again.document["digest"]) == (200, accepted.document["digest"])
    (await push(http, sender, a_report(votes=-1, revision=2))).problem(422, "invalid_report")
    units = units_of(small)
    many = [a_report(unit, revision) for revision in range(2, 2 + 4000 // len(units)) for unit in units]
    body = gzip.compress(ndjson(many), 1)
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    results = (await push(http, sender, None, data=body, headers=headers)).results
    assert [each["sequence"] for each in results] == list(range(2, len(many) + 2))


async def test_a_body_that_is_too_large_is_refused_by_the_gateway_and_not_by_the_proxy(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """The sender gets the error of the gateway, which explains the problem."""
    body = b" " * ((8 << 20) + 1)
    (await push(http, sender, None, data=body)).problem(413, "too_large")


async def test_a_head_with_many_cookies_reaches_the_gateway(
    http: aiohttp.ClientSession, proxy: Proxied, election: str
) -> None:
    """Browsers send 16 kB of them with every request to a shared domain."""
    headers = {"Cookie": "x" * (16 << 10)}
    answer = await ask(http, "GET", f"{proxy.feed_url}/v1/elections/{election}", headers=headers)
    assert (answer.status, answer.document["id"]) == (200, election)


async def test_a_report_over_a_websocket_gets_its_receipt(
    http: aiohttp.ClientSession, proxy: Proxied, sender: Sender
) -> None:
    """The upgrade is passed on, and the door recognizes its own origin by the host name that clients use."""
    async with connected(http, sender) as socket:
        await socket.send(1, a_report())
        (result,) = await socket.results(1)
    assert (result["outcome"], result["sequence"]) == ("accepted", 1)
    own, other = {"Origin": proxy.push_url}, {"Origin": "http://elsewhere.example"}
    async with http.ws_connect(
        sender.url("/push"), protocols=[SUBPROTOCOL], headers=sender.headers | own
    ) as page:
        assert (await page.receive_json())["type"] == "hello"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(sender.url("/push"), protocols=[SUBPROTOCOL], headers=sender.headers | other)
    assert refused.value.status == 403


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_a_block_arrives_within_a_second_of_its_publication(
    http: aiohttp.ClientSession, proxy: Proxied, sender: Sender, election: str, coding: str
) -> None:
    """Events are not delayed, compressed or not, and heartbeats arrive between them.

    There are readers enough for packed blocks to refer to those before.
    """
    url, wanted = feed_url(proxy, election), {"Accept-Encoding": coding}
    async with AsyncExitStack() as opened:
        for _ in range(SHARED_WINDOW_READERS_MIN):
            stream = await opened.enter_async_context(streaming(http, url, wanted, levels=EVERYTHING))
        assert stream.response.headers.get("Content-Encoding", "identity") == coding
        assert (await stream.block()).snapshot
        delays = []
        for revision in range(1, 6):
            (receipt,) = await pushed(http, sender, a_report(revision=revision))
            received = time.monotonic()
            block = await next_change(stream)
            delays.append(time.monotonic() - received)
            assert (block.sequence, block.names[-1]) == (receipt["sequence"], UNIT)
        assert median(delays) < 1.0  # what else the machine does may delay one
        assert not (await stream.block()).areas


async def test_publications_arrive_one_by_one_as_a_stream(
    http: aiohttp.ClientSession, proxy: Proxied, sender: Sender, election: str
) -> None:
    """The stream is not buffered, although its path also has plain answers."""
    delays = []
    async with streaming(http, feed_url(proxy, election, "/publications")) as stream:
        for revision in range(1, 4):
            (receipt,) = await pushed(http, sender, a_report(revision=revision))
            received = time.monotonic()
            (event,) = await stream.events("publication", 1)
            delays.append(time.monotonic() - received)
            assert event.document["sequence"] == receipt["sequence"]
    assert median(delays) < 1.0
    lines = await ask(http, "GET", feed_url(proxy, election, "/publications?limit=2"))
    assert [json.loads(line)["sequence"] for line in lines.body.splitlines()] == [1, 2]


async def test_a_reader_that_reconnects_gets_what_changed(
    http: aiohttp.ClientSession, proxy: Proxied, sender: Sender, election: str
) -> None:
    """`Last-Event-ID` is passed on, and so is the query."""
    url = feed_url(proxy, election)
    await pushed(http, sender, a_report())
    await shown(proxy, election, 1)
    async with streaming(http, url, levels=EVERYTHING) as stream:
        place = (await stream.block()).id
    await pushed(http, sender, a_report(revision=2))
    await shown(proxy, election, 2)
    async with streaming(http, url, {"Last-Event-ID": place}, levels=EVERYTHING) as stream:
        by_header = await stream.block()
    async with streaming(http, url, levels=EVERYTHING, last_event_id=place) as stream:
        by_query = await stream.block()
    for block in (by_header, by_query):
        assert not block.snapshot
        assert block.names == [COUNTRY, "06", HERE, UNIT]


async def test_a_range_is_requested_once_and_then_served_from_the_cache(
    http: aiohttp.ClientSession, proxy: Proxied, sender: Sender, election: str, small: GeneratedElection
) -> None:
    """A URL with a chain is cached permanently, and conditional requests do not reach the gateway."""
    units = units_of(small)
    reports = [a_report(units[n % len(units)], 1 + n // len(units)) for n in range(1000)]
    await pushed(http, sender, *reports)
    await shown(proxy, election, 1000)
    path = f"/v1/elections/{election}/publications/1-1000"
    first = await ask(http, "GET", proxy.feed_url + path)
    chain = first.headers["ETag"].strip('"')
    before = proxy.request_count(path)
    lasting = [await ask(http, "GET", f"{proxy.feed_url}{path}?chain={chain}") for _ in range(2)]
    await asyncio.sleep(2.1)  # longer than the cache keeps entries with max-age=1
    lasting.append(await ask(http, "GET", f"{proxy.feed_url}{path}?chain={chain}"))
    assert {each.body for each in lasting} == {first.body}
    assert [hit(each) for each in lasting] == [False, True, True]
    assert all("immutable" in each.headers["Cache-Control"] for each in lasting)
    revalidated = await ask(
        http, "GET", f"{proxy.feed_url}{path}?chain={chain}", headers={"If-None-Match": first.headers["ETag"]}
    )
    assert (revalidated.status, revalidated.body) == (304, b"")
    assert proxy.request_count(path) == before + 1
    not_its_own = [await ask(http, "GET", f"{proxy.feed_url}{path}?chain={'0' * 64}") for _ in range(2)]
    assert {each.headers["Cache-Control"] for each in not_its_own} == {"public, max-age=1"}
    missing = await ask(http, "GET", proxy.feed_url + path.replace("1-1000", "1001-2000"))
    missing.problem(404, "not_complete")


async def test_a_changed_area_is_never_served_after_the_second_for_which_it_may_be_kept(
    http: aiohttp.ClientSession, gateway: Gateway, proxy: Proxied, sender: Sender, election: str
) -> None:
    """This applies at any time within a second; most requests of a crowd are answered from the cache."""
    path = f"/v1/elections/{election}/areas/{HERE}"
    published: list[tuple[float, int]] = []
    answers: list[tuple[float, Answer]] = []
    taken: list[float] = []
    over = asyncio.Event()

    async def read() -> None:
        while not over.is_set():
            requested_at = time.monotonic()
            answers.append((requested_at, await ask(http, "GET", proxy.feed_url + path)))
            taken.append(time.monotonic() - requested_at)
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as parts:
        for _ in range(4):
            parts.create_task(read())
        for revision in range(1, 15):
            (receipt,) = await pushed(http, sender, a_report(revision=revision, votes=revision))
            await shown(gateway, election, receipt["sequence"])
            published.append((time.monotonic(), receipt["sequence"]))
            await asyncio.sleep(0.31)
        over.set()
    late_s = FRESH_S + max(TAKEN_S, *taken)
    for requested_at, answer in answers:
        due = max((number for at, number in published if at < requested_at - late_s), default=0)
        assert answer.document["sequence"] >= due, (requested_at, answer.headers)
    assert any(hit(answer) for _, answer in answers)
    assert proxy.request_count(path) < len(answers) / 4


async def test_a_signed_log_is_read_through_a_cache(
    request: pytest.FixtureRequest,
    http: aiohttp.ClientSession,
    gateway: Gateway,
    proxy: Proxied,
    sender: Sender,
    election: str,
    tmp_path: Path,
) -> None:
    """One request per second for the newest checkpoint and, from nginx, for each tile, packed or not."""
    await pushed(http, sender, *(a_report(revision=revision) for revision in range(1, 9)))
    log, kind = f"{proxy.feed_url}/v1/elections/{election}/log", request.node.callspec.params["proxy"]
    async with signing(gateway.database, tmp_path / "sign", live=[election]):

        async def covered() -> bool:
            answer = await ask(http, "GET", f"{log}/tile/entries/000.p/9")
            return answer.status == 200

        await until(covered)
    for path in ("checkpoint", "registry", "tile/0/000.p/9", "tile/entries/000.p/9", "history/1/checkpoint"):
        for coding in ("identity", "gzip"):
            headers = {"Accept-Encoding": coding}
            asked = [await ask(http, "GET", f"{log}/{path}", headers=headers) for _ in range(6)]
            assert {(each.status, each.body) for each in asked} == {(200, asked[0].body)}
            assert any(hit(each) for each in asked) or (kind == "haproxy" and path != "checkpoint")
    missing = [await ask(http, "GET", f"{log}/tile/entries/000.p/10") for _ in range(3)]
    assert not any(hit(each) for each in missing)
    missing[0].problem(404, "beyond_checkpoint")


async def test_clients_that_request_different_formats_each_get_their_own(
    http: aiohttp.ClientSession, proxy: Proxied, sender: Sender, election: str
) -> None:
    """JSON, CSV and compressed bytes of one path are never mixed up, and nothing is compressed twice."""
    await pushed(http, sender, a_report())
    await shown(proxy, election, 1)
    url = feed_url(proxy, election, f"/areas/{COUNTRY}")
    requests = [
        ({"Accept": accept, "Accept-Encoding": coding}, kind)
        for coding in ("identity", "gzip", "gzip, deflate, br", "br", "gzip;q=0")
        for accept, kind in (
            ("*/*", "application/json"),
            ("application/json", "application/json"),
            ("text/csv", "text/csv"),
            ("text/csv, application/json;q=0.5", "text/csv"),
            ("application/json;q=0.1, */*", "text/csv"),
            ("text/html,*/*;q=0.8", "application/json"),
        )
    ]
    tags: dict[tuple[str, str], set[str]] = {}
    for headers, kind in requests * 3:
        answer = await ask(http, "GET", url, headers=headers)
        coding = answer.headers.get("Content-Encoding", "identity")
        assert answer.headers["Content-Type"].startswith(kind), headers
        assert coding == (
            "gzip" if headers["Accept-Encoding"] in ("gzip", "gzip, deflate, br") else "identity"
        )
        assert {"Accept", "Accept-Encoding"} <= {each.strip() for each in answer.headers["Vary"].split(",")}
        body = gzip.decompress(answer.body) if coding == "gzip" else answer.body
        if kind == "application/json":
            assert json.loads(body)["area"] == COUNTRY
        else:
            assert body.decode().splitlines()[0].startswith("sequence,published_at,area,")
        tags.setdefault((kind, coding), set()).add(answer.headers["ETag"])
    assert all(len(found) == 1 for found in tags.values()), tags
    assert len({tag for found in tags.values() for tag in found}) == len(tags)


async def test_nothing_of_an_election_is_visible_before_its_release_and_everything_promptly_afterwards(
    http: aiohttp.ClientSession, gateway: Gateway, proxy: Proxied, small: GeneratedElection
) -> None:
    """No cached answer delays the release for longer than permitted."""
    publish_from = datetime.now(UTC) + timedelta(seconds=5)
    election = await gateway.load(a_registry(small, publish_from=publish_from.isoformat()))
    sender = proxy.sender(await gateway.issue(election, [COUNTRY]))
    await shown(gateway, election)
    async with streaming(http, feed_url(proxy, election), levels=EVERYTHING) as stream:
        await stream.block()
        began = time.monotonic()
        before = await everything_shown(http, proxy, election)
        again = timedelta(seconds=max(0.7, 4 * (time.monotonic() - began)))
        receipts = await pushed(http, sender, *(a_report(unit) for unit in units_of(small)))
        assert {each["state"] for each in receipts} == {"embargoed"}
        own = await ask(http, "GET", sender.url(f"/reports/{UNIT}"), headers=sender.headers)
        assert own.document["receipt"]["state"] == "embargoed"
        while datetime.now(UTC) < publish_from - again:
            assert await everything_shown(http, proxy, election) == before
        assert datetime.now(UTC) < publish_from, "this machine is too slow for this test"
        block = await next_change(stream)
        released = time.monotonic()
        assert datetime.now(UTC) - publish_from < timedelta(seconds=5)
        assert moment(block.end["published_at"]) >= publish_from
        assert block.sequence == len(receipts)

    requested = [released]

    async def all_published() -> bool:
        requested.append(time.monotonic())
        answer = await ask(http, "GET", feed_url(proxy, election, f"/areas/{COUNTRY}"))
        return bool(answer.document["record"]["sequence"] == len(receipts))

    await until(all_published)
    assert requested[-2] - released < FRESH_S + TAKEN_S, "the last answer without all of them came too late"


async def everything_shown(http: aiohttp.ClientSession, proxy: Proxied, election: str) -> dict[str, Any]:
    """Return everything that the feed door shows of an election, through the proxy."""
    seen: dict[str, Any] = {}
    paths = ["", "/publications", "/publications/1-1000", f"/transfers/{HERE}"]
    paths += [f"/areas/{area}{query}" for area in (COUNTRY, HERE, UNIT) for query in ("", "?format=csv")]
    for path in paths:
        for coding in ("identity", "gzip"):
            headers = {"Accept-Encoding": coding}
            answer = await ask(http, "GET", feed_url(proxy, election, path), headers=headers)
            seen[f"{path} {coding}"] = (answer.status, answer.headers.get("ETag"), answer.body)
    return seen


async def test_the_gateway_counts_clients_and_not_the_proxy(
    http: aiohttp.ClientSession, proxy: Proxied, election: str
) -> None:
    """An address at its limit does not affect others, and cannot evade the limit with a forged header."""
    url = feed_url(proxy, election)
    async with AsyncExitStack() as opened:
        crowd = await opened.enter_async_context(a_client("127.0.0.2"))
        for _ in range(READERS_PER_ADDRESS):
            await opened.enter_async_context(streaming(crowd, url))
        (await ask(crowd, "GET", url)).problem(429, "too_many_streams")
        for name in ("X-Forwarded-For", "Forwarded"):
            for made_up in ("127.0.0.9", "for=127.0.0.9"):
                (await ask(crowd, "GET", url, headers={name: made_up})).problem(429, "too_many_streams")
        other = await opened.enter_async_context(a_client("127.0.0.3"))
        stream = await opened.enter_async_context(streaming(other, url))
        assert (await stream.block()).snapshot


@asynccontextmanager
async def a_client(address: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A client with another address of this machine."""
    connector = aiohttp.TCPConnector(limit=0, local_addr=(address, 0))
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        yield session


@pytest.mark.parametrize("kind", variants(KINDS, "haproxy"))
async def test_a_draining_gateway_notifies_clients_through_the_proxy(
    kind: str, database: Database, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """Senders and readers are notified; then the proxy answers itself, and uses the gateway again when it is back."""
    async with running(database) as gateway, a_proxy(kind, gateway) as proxy:
        election = await gateway.load(a_registry(small))
        sender = proxy.sender(await gateway.issue(election, [COUNTRY]))
        await shown(gateway, election)
        async with connected(http, sender) as socket, streaming(http, feed_url(proxy, election)) as stream:
            await stream.block()
            await socket.send(1, a_report())
            assert len(await socket.results(1)) == 1
            gateway.terminate()
            assert await socket.end() == 1001
            assert (await stream.rest())[-1].retry_ms is not None
        assert (await push(http, sender, a_report())).status in (502, 503)
        for path in ("/feed", "/publications"):
            url = feed_url(proxy, election, path)
            while True:
                turned_away = await ask(http, "GET", url, headers={"Accept": "text/event-stream"})
                assert turned_away.status == 200
                assert turned_away.headers["Content-Type"].startswith("text/event-stream")
                assert turned_away.headers["Cache-Control"] == "no-store"
                assert re.fullmatch(rb"retry: [2-8]\d{3}\n\n", turned_away.body)
                if turned_away.headers.get("Connection") != "close" or kind == "nginx":
                    break  # HAProxy knows now that no server is left
            assert (await ask(http, "GET", url)).status in (502, 503)


@full_only
async def test_idle_connections_are_not_closed(
    database: Database, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """A stream with only heartbeats and a socket with only pings outlast every timeout of both proxies.

    The timeouts are shorter here than in the shipped files, of which `test_files` compares the figures with the
    intervals of heartbeats and pings.
    """
    timeout_s = int(PING_S) + 4
    idle_s = timeout_s + 3
    async with running(database) as gateway, AsyncExitStack() as opened:
        election = await gateway.load(a_registry(small))
        await shown(gateway, election)

        async def outlast(kind: str) -> None:
            proxy = await opened.enter_async_context(a_proxy(kind, gateway, timeout_s))
            sender = proxy.sender(await gateway.issue(election, [COUNTRY]))
            async with (
                connected(http, sender) as socket,
                streaming(http, feed_url(proxy, election)) as stream,
            ):
                since, blocks, receiving = time.monotonic(), 0, asyncio.create_task(first_result(socket))
                while time.monotonic() - since < idle_s:
                    await stream.block()
                    blocks += 1
                assert blocks > idle_s // 10
                assert not receiving.done()
                await socket.send(1, a_report(units_of(small)[KINDS.index(kind)]))
                assert (await receiving)["outcome"] == "accepted"
                await next_change(stream)

        async def first_result(socket: PushSocket) -> dict[str, Any]:
            """Return the first message that is neither credit nor a ping."""
            while True:
                frame = json.loads((await socket.socket.receive()).data)
                if "results" in frame:
                    return dict(frame["results"][0])

        async with asyncio.TaskGroup() as both:
            for kind in variants(KINDS, "haproxy"):
                both.create_task(outlast(kind))
