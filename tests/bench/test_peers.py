"""Comparisons with peers: the output of wrk, frames; and small runs of pairs whose programs are installed."""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from aiohttp import WSMsgType, web
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Unavailable
from bench.load import committer, poster
from bench.load.frames import (
    PING,
    TEXT,
    count_accepted,
    credit_of,
    decode_results,
    masked,
    report_frame,
    split,
)
from bench.load.generating import generator
from bench.load.processes import cpu_s, program
from bench.load.pusher import LEAST_PAUSE_S, LONGEST_PAUSE_S, pause_s
from bench.load.supply import Supply
from bench.measure.pairs import PAIRS, about
from bench.measure.pairs.rounds import Rounds, alternate
from bench.peers import nats
from bench.peers.wrk import Load, read_output, request, write_requests
from gateway.election.registry_reading import read_registry
from gateway.election.validation import Scope, Validator, ValidReport
from gateway.rehearsal.dataset import DataSet
from tests.bench.commands import bench
from tests.counts import full_only

# Rounds.


async def test_the_rounds_of_sides_alternate() -> None:
    order: list[str] = []
    rounds = Rounds()

    async def one() -> None:
        order.append("a")
        rounds.add("a", "/s", len(order))

    async def other() -> None:
        order.append("b")

    await alternate(2, {"a": one, "b": other})
    assert order == ["a", "b", "a", "b"]
    assert rounds["a"].rounds == (1, 3)


# wrk.

PRINTED = """Running 3s test @ http://127.0.0.1:18080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.93ms    1.05ms  25.33ms   92.51%
    Req/Sec    34.22k     2.79k   39.10k    73.33%
  Latency Distribution
     50%  812.00us
     75%    2.10ms
     90%    2.95ms
     99%    1.02s 
  102345 requests in 3.01s, 18.06MB read
  Socket errors: connect 0, read 1, write 2, timeout 3
  Non-2xx or 3xx responses: 45
Requests/sec:  33998.23
Transfer/sec:      6.00MB
"""  # noqa: W291 - as it is printed


def test_the_output_of_wrk_is_parsed() -> None:
    load = read_output(PRINTED)
    assert load == Load(102345, 3.01, bad_statuses=45, socket_errors=6, p50_s=812e-6, p99_s=1.02)
    assert load.requests_s == pytest.approx((102345 - 45) / 3.01)


def test_a_quiet_run_of_wrk_has_no_errors() -> None:
    load = read_output("  12 requests in 400.00ms, 1.00KB read\n")
    assert load == Load(12, 0.4)


def test_other_output_than_that_of_wrk_is_refused() -> None:
    with pytest.raises(ValueError, match="unable to connect"):
        read_output("unable to connect to 127.0.0.1:1 Connection refused")


def test_requests_are_written_with_their_size(tmp_path: Path) -> None:
    file = tmp_path / "requests"
    first, second = request("h", "/", b"{}"), request("h", "/x", b'{"a":\n1}', "token")
    write_requests([first, second], file)
    content = file.read_bytes()
    assert content == b"%d\n%s%d\n%s" % (len(first), first, len(second), second)
    assert b"Content-Length: 8\r\n\r\n" in second
    assert b"Authorization: Bearer token\r\n" in second


# Frames.


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
async def test_a_masked_frame_is_what_a_server_reads(size: int) -> None:
    """By another implementation: the server of aiohttp."""
    payload = b"x" * size
    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        message = await socket.receive()
        received.set_result(message.data.encode() if message.type is WSMsgType.TEXT else b"?")
        await socket.send_bytes(payload)
        return socket

    async with _serving(serve) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            + masked(payload)
        )
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        assert await asyncio.wait_for(received, 5) == payload
        frames: list[tuple[int, bytes]] = []
        data = b""
        while not frames:
            data += await asyncio.wait_for(reader.read(1 << 16), 5)
            frames, data = split(data)
        assert frames[0] == (2, payload)
        writer.close()


class _serving:  # noqa: N801 - read as a verb
    def __init__(self, handler: object) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handler)  # type: ignore[arg-type]
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)

    async def __aenter__(self) -> int:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return self._runner.addresses[0][1]  # type: ignore[no-any-return]

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()


def of_server(payload: bytes, opcode: int = TEXT) -> bytes:
    """A server's frame is not masked."""
    frame = masked(payload, opcode)
    head = len(frame) - len(payload) - 4
    return bytes([frame[0], frame[1] & 0x7F]) + frame[2:head] + payload


@given(st.lists(st.binary(max_size=300), max_size=5), st.data())
def test_frames_are_found_however_the_bytes_are_split(payloads: list[bytes], draw: st.DataObject) -> None:
    data = b"".join(of_server(payload) for payload in payloads)
    cut = draw.draw(st.integers(0, len(data)))
    first, rest = split(data[:cut])
    second, left = split(rest + data[cut:])
    assert [payload for _, payload in first + second] == payloads
    assert left == b""


def test_a_ping_is_distinguished_from_a_text() -> None:
    frames, _ = split(of_server(b"are you there", PING) + of_server(b"x"))
    assert frames == [(PING, b"are you there"), (TEXT, b"x")]


def test_accepted_reports_are_counted_without_decoding() -> None:
    good = b'{"type":"results","credit":12,"results":[{"id":1,"outcome":"accepted"},{"id":2,"outcome":"accepted"}]}'
    mixed = (
        b'{"type":"results","credit":0,"results":[{"id":1,"outcome":"accepted"},{"id":2,"outcome":"retry"}]}'
    )
    assert count_accepted(good) == 2
    assert count_accepted(mixed) is None
    assert [each.outcome for each in decode_results(mixed).results] == ["accepted", "retry"]
    assert (credit_of(good), credit_of(mixed), credit_of(b'{"type":"goodbye"}')) == (12, 0, None)
    assert b'{"type":"report","id":7,"report":{}}' in report_frame(7, b"{}")


# Supply.


def test_the_supply_never_ends_and_every_report_of_it_is_valid(data: Path) -> None:
    """In the order of the senders, with increasing revisions of each unit."""
    supply = Supply(DataSet.open(data))
    registry = read_registry(supply.registry)
    validator = Validator(registry)
    last: dict[str, int] = {}
    for number in range(6 * len(supply.senders)):
        sender = supply.senders[number % len(supply.senders)]
        valid = validator.check(supply.body(number), Scope(registry, frozenset({sender})))
        assert isinstance(valid, ValidReport), valid
        assert valid.report.revision == last.get(valid.report.unit, 0) + 1
        last[valid.report.unit] = valid.report.revision
    assert max(last.values()) > 1
    assert supply.whole_turns(1) == len(supply.senders)


# Processes.


def test_the_cpu_time_of_a_process_is_counted_until_it_ends() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        while cpu_s(process.pid) < 0.1:
            assert process.poll() is None
        process.kill()
    assert cpu_s(process.pid) == 0.0


# Requests that are sent when they are due.


async def test_the_latency_of_a_request_starts_when_it_is_due(tmp_path: Path) -> None:
    """A request that waits for the answer to the one before it on its connection counts its wait."""
    first_released, three_received = asyncio.Event(), asyncio.Event()
    bodies: list[bytes] = []

    async def answer(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        if len(bodies) == 3:  # both of the other connection; the first connection still waits
            three_received.set()
        if len(bodies) == 1:
            await first_released.wait()
        return web.Response(status=201 if request.path == "/reports" else 404, text="{}")

    file = tmp_path / "reports"
    file.write_bytes(b"".join(b'{"number":%d}\n' % number for number in range(4)))
    async with _serving(answer) as port:
        order = poster.Order(port, "/reports", str(file), 2, due_s=[0.0, 0.0, 0.0, 0.0], limit_s=20.0)
        async with generator("bench.load.poster", order) as started:
            started.tell("go")
            await asyncio.wait_for(three_received.wait(), 20.0)
            asyncio.get_running_loop().call_later(0.2, first_released.set)
            posted = await started.result(poster.Posted, 30.0)
    assert (posted.requests, posted.statuses, posted.unanswered) == (4, {201: 4}, 0)
    assert sorted(bodies) == file.read_bytes().split()
    assert 0.2 <= posted.p99_s < 20.0  # of the two that waited


def test_a_generator_waits_until_the_next_report_is_due() -> None:
    now = time.monotonic()
    assert 0.01 < pause_s([now, now + 0.04], 1) <= 0.04
    assert pause_s([now - 1.0], 0) == LEAST_PAUSE_S
    assert pause_s([now + 60.0], 0) == pause_s([now], 1) == LONGEST_PAUSE_S


@full_only
@pytest.mark.long
async def test_bare_commits_are_made_until_enough_are_made_and_the_load_has_ended() -> None:
    from bench.load.local import gateway

    async with gateway(role="push") as local:
        order = committer.Order(local.database_url, 1000.0, 50)
        async with generator("bench.load.committer", order) as started:
            started.tell("go")
            started.tell("stop")
            found = await started.result(committer.Committed, 30.0)
    assert found.commits >= 50
    assert 0 < found.p50_s <= found.p99_s


# Pairs.


def test_every_pair_is_listed_with_its_description() -> None:
    result = bench("list").stdout
    for name in PAIRS:
        assert about(name)
        assert f"peers {name}" in result


def test_an_unavailable_peer_is_named_with_how_to_install_it() -> None:
    with pytest.raises(Unavailable, match=r"no-such-program.*not found.*apt-get install it"):
        program("no-such-program", "apt-get install it")


def test_an_unknown_pair_is_reported_in_one_line() -> None:
    result = bench("peers", "nothing")
    assert result.returncode == 2
    assert "no pair nothing" in result.stderr


@full_only
@pytest.mark.long
def test_http_is_compared_and_no_report_is_lost(data: Path, tmp_path: Path) -> None:
    """The journal has every report that was accepted, else the figures are invalid."""
    if shutil.which("wrk") is None:
        pytest.skip("wrk is not installed")
    result = bench("peers", "http", "--rounds", 1, "--seconds", 1, "--data", data, "--out", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    (pair,) = json.loads((tmp_path / "peers.json").read_text())["pairs"]
    assert pair["invalid"] == pair["skipped"] == []
    (finding,) = pair["findings"]
    assert finding["ours"]["rounds"][0] > 0
    assert finding["ratio"]["times"] > 0


@full_only
@pytest.mark.long
async def test_every_report_of_the_lean_generator_reaches_the_journal(data: Path, tmp_path: Path) -> None:
    """With one frame per write, with several, and with each report sent when it is due."""
    from bench.load.local import gateway
    from bench.load.pusher import Order
    from bench.load.pushing import pushing
    from bench.load.supply import journal_faults, stock

    async with gateway(role="push") as local:
        own_stock = await stock(local, Supply(DataSet.open(data)))
        receipts = 0
        for burst, rate in ((1, 0.0), (8, 0.0), (1, 500.0)):
            file = tmp_path / "reports"
            reports = own_stock.write(400, file)
            order = Order(local.push_url, own_stock.election, list(own_stock.tokens), str(file), burst, rate)
            async with pushing(order) as go:
                pushed = await go()
            assert pushed.outcomes == {"accepted": reports}
            assert pushed.unanswered == 0
            receipts += reports
            assert (pushed.p99_s > 0) == bool(rate)
        assert await journal_faults(own_stock, receipts) == []
        assert await journal_faults(own_stock, receipts + 1)


@full_only
@pytest.mark.long
async def test_every_report_to_the_process_without_checks_is_committed_as_sent(
    data: Path, tmp_path: Path
) -> None:
    from bench.load.local import gateway
    from bench.load.pusher import Order
    from bench.load.pushing import pushing
    from bench.load.supply import Stock
    from bench.peers.bare_ingest import bare_ingest

    supply, file = Supply(DataSet.open(data)), tmp_path / "reports"
    async with gateway(role="push") as local, bare_ingest(local.database_url) as served:
        stock = Stock(local, supply, "bare", [""] * len(supply.senders))
        reports = stock.write(400, file)
        async with pushing(Order(served.url, "bare", list(stock.tokens), str(file))) as go:
            pushed = await go()
        connection = await asyncpg.connect(local.database_url)
        try:
            rows = await connection.fetch("SELECT body FROM bare.report")
        finally:
            await connection.close()
    assert pushed.outcomes == {"accepted": reports}
    assert sorted(row["body"] for row in rows) == sorted(file.read_bytes().splitlines())


@full_only
@pytest.mark.long
async def test_our_hub_and_nchan_deliver_every_change(tmp_path: Path) -> None:
    from bench.load.delivery import at_rate, one_at_a_time
    from bench.load.hub import valgnatt
    from bench.load.local import gateway
    from bench.peers.nchan import nchan

    async def deliver(hub: object) -> AsyncIterator[str]:
        await hub.crowd.connect(20)  # type: ignore[attr-defined]
        await hub.crowd.wait(await hub.publish())  # type: ignore[attr-defined]
        yield (await one_at_a_time(hub, 0.3)).shortfall("one at a time")  # type: ignore[arg-type]
        yield (await at_rate(hub, 100.0, 0.3)).shortfall("at a rate")  # type: ignore[arg-type]

    async with gateway() as local, valgnatt(local) as hub:
        assert [shortfall async for shortfall in deliver(hub)] == ["", ""]
    try:
        async with nchan(tmp_path, 100) as hub:
            assert [shortfall async for shortfall in deliver(hub)] == ["", ""]
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("durable", [False, True], ids=["buffered", "flushed"])
async def test_messages_to_nats_are_all_acknowledged(tmp_path: Path, durable: bool) -> None:
    """By a server that flushes each message before it acknowledges it, and by one that need not."""
    try:
        async with nats.served(tmp_path, durable=durable) as server:
            found = await asyncio.to_thread(nats.publish, server.port, [b"{}"] * 500, 5)
    except Unavailable as error:
        pytest.skip(str(error))
    assert found.seconds > 0
