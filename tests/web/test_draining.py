"""SIGTERM: every report in flight is answered, clients learn when to reconnect, and it exits with status 0."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import asyncpg
import pytest

from gateway.rehearsal.generator import GeneratedElection
from tests.conftest import Database
from tests.counts import variants
from tests.running import Gateway, running
from tests.web.doors import (
    COUNTRY,
    a_registry,
    a_report,
    ask,
    connected,
    feed_url,
    head_locked,
    push,
    pushed,
    shown,
    streaming,
    units_of,
    until,
    waiting_for_lock,
)

pytestmark = pytest.mark.long

DRAIN_S = 4.0


async def test_a_gateway_that_shuts_down_answers_every_report(
    database: Database, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """Reports in flight get receipts, sockets a goodbye, readers a time to reconnect; nothing new is accepted."""
    async with running(database, drain_s=DRAIN_S, batch_max=2) as gateway, AsyncExitStack() as opened:
        election = await gateway.load(a_registry(small))
        sender = await gateway.issue(election, [COUNTRY])
        units = units_of(small)
        await pushed(http, sender, a_report(units[0]))
        await shown(gateway, election, 1)
        url = feed_url(gateway, election)
        streams = [
            await opened.enter_async_context(streaming(http, *options))
            for options in (
                (url,),
                (url, {"Accept-Encoding": "gzip"}),
                (feed_url(gateway, election, "/publications"),),
            )
        ]
        for stream in streams[:2]:
            await stream.block()
        await streams[2].events("publication", 1)
        socket = await opened.enter_async_context(connected(http, sender))
        idle = await opened.enter_async_context(connected(http, sender))
        kept = await opened.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
        )
        assert (await push(kept, sender, a_report(units[0]))).status == 200

        async with head_locked(gateway, election):
            for place in range(1, 6):
                await socket.send(place, a_report(units[place]))
            in_flight = asyncio.create_task(push(http, sender, [a_report(unit) for unit in units[6:9]]))
            await until(lambda: wait_for_a_commit(gateway, 6))  # and one or two are being appended
            await waiting_for_lock(gateway)
            gateway.terminate()
            await until(lambda: refuses(kept, gateway, sender.headers, election))
            await socket.send("late", a_report(units[9]))
            frame = await socket.frame()
            while not frame.get("results"):
                frame = await socket.frame()
            (late,) = frame["results"]
            assert (late["id"], late["outcome"], late["code"]) == ("late", "retry", "draining")
        receipts = await socket.results(5) + (await in_flight).results
        assert [receipt["outcome"] for receipt in receipts] == ["accepted"] * 8
        assert {receipt["sequence"] for receipt in receipts} == set(range(2, 10))
        for each in (socket, idle):
            frame = await each.frame()
            while frame["type"] != "goodbye":
                frame = await each.frame()
            assert 0 < frame["retry_after_s"] <= 1.5 * DRAIN_S
            assert await each.end() == 1001
        for stream in streams:
            events = await stream.rest()
            assert events[-1].retry_ms is not None, "a reader did not learn when to reconnect"
            assert 500 <= events[-1].retry_ms <= 1000 * DRAIN_S
        assert await asyncio.to_thread(gateway.wait_ended) == 0
        assert not gateway.logged_errors()
        assert not gateway.logged("drain timed out")

    async with running(database, role="push") as gateway:
        sender.gateway = gateway
        for receipt in receipts:
            again = await push(http, sender, a_report(receipt["unit"]))
            assert (again.status, again.document["sequence"]) == (200, receipt["sequence"])


async def wait_for_a_commit(gateway: Gateway, reports: int) -> bool:
    """Whether at least so many reports wait to be appended."""
    samples = await gateway.metrics()
    waiting = sum(n for name, n in samples.items() if name.startswith("valgnatt_waiting_reports{"))
    return waiting >= reports


async def refuses(
    kept: aiohttp.ClientSession, gateway: Gateway, headers: dict[str, str], election: str
) -> bool:
    """Whether the worker at the other end of a connection drains; new connections are no longer accepted."""
    url = f"{gateway.push_url}/v1/elections/{election}/transfers"
    answer = await ask(kept, "GET", url, headers=headers)
    if answer.status == 200:
        return False
    answer.problem(503, "draining")
    assert int(answer.headers["Retry-After"]) >= 1
    return True


@asynccontextmanager
async def postgres_deaf(gateway: Gateway) -> AsyncIterator[None]:
    """Stop (SIGSTOP) the process of the session that waits for a lock, so that it reacts to no cancel request."""
    connection = await asyncpg.connect(gateway.database.url)
    found = await connection.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    await connection.close()
    try:
        for row in found:
            os.kill(row["pid"], signal.SIGSTOP)
        yield
    finally:
        for row in found:
            os.kill(row["pid"], signal.SIGCONT)


@pytest.mark.parametrize("deaf", variants([False, True], True))
async def test_a_gateway_shuts_down_while_postgres_does_not_answer(
    database: Database, http: aiohttp.ClientSession, small: GeneratedElection, deaf: bool
) -> None:
    """Reports in flight are answered `retry` in time, over HTTP too; then every socket gets the goodbye."""
    async with running(database, drain_s=2, batch_max=2, role="push") as gateway:
        election = await gateway.load(a_registry(small))
        sender = await gateway.issue(election, [COUNTRY])
        units = units_of(small)
        async with (
            connected(http, sender) as socket,
            connected(http, sender) as idle,
            head_locked(gateway, election),
            AsyncExitStack() as opened,
        ):
            for place in range(5):
                await socket.send(place, a_report(units[place]))
            in_flight = asyncio.create_task(push(http, sender, [a_report(unit) for unit in units[5:8]]))

            await until(lambda: wait_for_a_commit(gateway, 6))  # and one or two are being appended
            await waiting_for_lock(gateway)
            if deaf:
                await opened.enter_async_context(postgres_deaf(gateway))
            gateway.terminate()
            results = await socket.results(5)
            assert [result["outcome"] for result in results] == ["retry"] * 5
            (await in_flight).problem(503, "draining")
            for each in (socket, idle):
                frame = await each.frame()
                while frame["type"] != "goodbye":
                    frame = await each.frame()
                assert await each.end() == 1001
            assert await asyncio.to_thread(gateway.wait_ended) == 0
        assert not gateway.logged_errors()


async def test_a_gateway_that_drains_is_not_ready(
    database: Database, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """The admin port reports it until the end, for load balancers, and clients that never read delay nothing."""
    async with running(database, drain_s=0.3, role="push") as gateway:
        election = await gateway.load(a_registry(small))
        sender = await gateway.issue(election, [COUNTRY])
        async with connected(http, sender) as socket, head_locked(gateway, election):
            await socket.send(1, a_report())
            await waiting_for_lock(gateway)
            gateway.terminate()

            async def draining() -> bool:
                answer = await ask(http, "GET", f"{gateway.admin_url}/health/ready")
                return answer.status == 503 and json.loads(answer.body)["status"] == "draining"

            await until(draining)
            assert (await ask(http, "GET", f"{gateway.admin_url}/health/live")).status == 200
            await socket.end()  # the commit never comes, so it is cut when `drain_s` is over
