"""Processes are killed, stopped, replaced and abused while senders push and readers follow; see `night`."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import orjson
import pytest

from gateway.journal.embedded import EmbeddedPostgres
from tests.conftest import Database
from tests.faults.night import EVERYTHING, Night, a_country, a_night
from tests.faults.servers import copy_cluster, require_binaries
from tests.running import Gateway, Sender, running
from tests.web.doors import (
    RawSocket,
    ask,
    framed,
    head_locked,
    open_connection,
    until,
    waiting_for_lock,
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(60)]

SMALL_BUFFER = 2048
"""Of a socket whose other side is soon to notice that nothing is read."""
LATE_S = 2.0
"""By how much a reader may be behind where nothing is broken for it; some hundredths are usual."""


async def workers(gateway: Gateway) -> dict[str, dict[str, Any]]:
    """What the supervisor says of each worker."""
    async with aiohttp.ClientSession() as http:
        answer = await ask(http, "GET", f"{gateway.admin_url}/health/ready")
    found: dict[str, dict[str, Any]] = orjson.loads(answer.body)["workers"]
    return found


async def pid_of(gateway: Gateway, name: str) -> int:
    """The process of a worker that is ready."""
    worker = (await workers(gateway))[name]
    assert worker["state"] == "ready"
    pid: int = worker["pid"]
    return pid


async def replaced(gateway: Gateway, name: str, pid: int) -> None:
    """Wait until another process is ready in a worker's place."""

    async def ready() -> bool:
        worker = (await workers(gateway))[name]
        return bool(worker["state"] == "ready" and worker["pid"] != pid)

    await until(ready)


async def gone(*pids: int) -> None:
    """Wait until processes, who need not be children of ours, have ended."""

    async def ended() -> bool:
        return not any(os.path.exists(f"/proc/{pid}") for pid in pids)  # noqa: ASYNC240

    await until(ended)


@asynccontextmanager
async def opened(database: Any, **config: Any) -> AsyncIterator[Gateway]:
    """Run a gateway that the test ends itself, in whatever way."""
    gateway = Gateway(database, config)
    try:
        await asyncio.to_thread(gateway.wait_ready)
        yield gateway
    finally:
        if not gateway.ended:
            gateway.kill()


def ports_of(gateway: Gateway) -> dict[str, int | None]:
    """The ports of a gateway, as options of the next one."""
    urls = {"push": gateway.push_url, "feed": gateway.feed_url, "admin": gateway.admin_url}
    return {f"{door}_port": urlsplit(url).port for door, url in urls.items()}


@asynccontextmanager
async def session(database: Any) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A session of the test's own in Postgres, which may come to any end."""
    connection = await asyncpg.connect(database.url)
    try:
        yield connection
    finally:
        connection.terminate()


async def test_a_push_process_killed_during_commits_loses_nothing_that_has_a_receipt(
    database: Database,
) -> None:
    """What was under way may be durable or not; senders send it again and learn which, and nobody is told twice."""
    async with running(database) as gateway, a_night(gateway) as night:
        for held in (False, True, False):
            pid = await pid_of(gateway, "push-0")
            async with AsyncExitStack() as locked:
                if held:  # an append is under way, and commits when its client is no more
                    await locked.enter_async_context(head_locked(gateway, night.election))
                    await waiting_for_lock(gateway)
                os.kill(pid, signal.SIGKILL)
                await gone(pid)
            await replaced(gateway, "push-0", pid)
            await night.goes_on()
        again = [
            push for sender in night.senders for push in sender.pushes if push.answer.outcome == "duplicate"
        ]
        assert again, "what was committed for the dead was not sent again"
        await night.settle()
        assert_only_these_complaints(gateway, "worker ended unexpectedly")


async def test_a_killed_feed_process_costs_readers_a_reconnect(database: Database) -> None:
    """They come back with their cursor to a process that never knew them, and senders notice nothing."""
    async with running(database) as gateway, a_night(gateway) as night:
        for _ in range(2):
            pid = await pid_of(gateway, "feed-0")
            before = night.receipts
            os.kill(pid, signal.SIGKILL)
            await replaced(gateway, "feed-0", pid)
            assert night.receipts > before
            await night.goes_on()
        await night.settle()
        assert all(reader.connections >= 3 for reader in night.readers)
        assert not any("503" in answer for answer in night.seen.answers if answer.startswith("post"))
        assert_only_these_complaints(gateway, "worker ended unexpectedly")


async def test_workers_drain_when_their_supervisor_is_killed_and_another_takes_their_place(
    database: Database,
) -> None:
    """Nobody is left to tell them, so they end by themselves; the next gateway finds its ports free."""
    async with opened(database, push_workers=2, feed_workers=2) as first, a_night(first) as night:
        pids = [each["pid"] for each in (await workers(first)).values()]
        ports = ports_of(first)
        first.kill()
        await gone(*pids)
        assert first.complaints() == []
        async with running(database, **ports):
            await night.goes_on()
            await night.settle()
        assert night.seen.answers["goodbye 1001"] == len(night.senders) / 3


async def listens_again(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Wait until the push and the feed process have a session each that listens."""

    async def both() -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        return bool(await connection.fetchval(query) == 2)

    await until(both)


async def test_terminated_database_sessions_are_replaced(database: Database) -> None:
    """`pg_terminate_backend` of every session of both doors, several times, in the midst of appends."""
    async with running(database) as gateway, a_night(gateway) as night:
        for held in (False, True):
            async with AsyncExitStack() as locked, session(database) as administrator:
                if held:  # so that an append is certainly under way, and both doors listen again
                    await listens_again(administrator)
                    await locked.enter_async_context(head_locked(gateway, night.election))
                    await waiting_for_lock(gateway)
                ended = await administrator.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    " AND query LIKE ANY ($1)",
                    ["%append_v2%", "LISTEN%"] if held else ["%"],
                )
                assert ended >= 3
            await night.goes_on()
        await night.settle()
        assert any("journal_unavailable" in answer for answer in night.seen.answers)


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A durable server of the test's own, to be harmed."""
    require_binaries()
    tmp_path.chmod(0o755)
    copy_cluster(tmp_path / "data")
    with EmbeddedPostgres(tmp_path / "data") as server:
        yield server


async def test_a_killed_postgres_process_restarts_all_of_postgres_and_no_receipt_is_lost(
    own_postgres: EmbeddedPostgres,
) -> None:
    """SIGKILL of one of its processes makes Postgres drop every connection and recover from its log."""
    async with running(own_postgres) as gateway, a_night(gateway) as night:
        for _ in range(2):
            async with session(own_postgres) as connection:
                appending = None
                while appending is None:
                    appending = await connection.fetchval(
                        "SELECT pid FROM pg_stat_activity"
                        " WHERE query LIKE '%append_v2%' AND pid <> pg_backend_pid() LIMIT 1"
                    )
                os.kill(appending, signal.SIGKILL)
                with pytest.raises((OSError, asyncpg.PostgresError)):  # this session ends too
                    await connection.execute("SELECT pg_sleep(10)")
            await night.goes_on()
        await night.settle()
        assert_only_these_complaints(gateway)


async def test_a_gateway_told_to_end_under_load_answers_and_the_next_goes_on(database: Database) -> None:
    """SIGTERM: every report under way is answered, sockets hear goodbye, status 0; clients go over to the next."""
    async with (
        opened(database, push_workers=2, feed_workers=2, drain_s=4) as first,
        a_night(first) as night,
    ):
        ports = ports_of(first)
        first.terminate()
        assert await asyncio.to_thread(first.wait_ended) == 0
        assert first.complaints() == []
        assert not any("not everything was answered" in line for line in first.log)
        assert night.seen.answers["goodbye 1001"] == len(night.senders) / 3
        assert night.seen.answers["socket lost"] == 0
        async with running(database, **ports):
            await night.goes_on()
            await night.settle()


async def test_a_second_sigterm_ends_at_once_what_waits_and_loses_no_receipt(database: Database) -> None:
    """Reports wait for a commit that does not come; who says it twice does not want to wait for it."""
    async with opened(database, drain_s=60) as first, a_night(first) as night:
        ports = ports_of(first)
        async with head_locked(first, night.election):
            await waiting_for_lock(first)
            os.kill(first.pid, signal.SIGTERM)
            await until(lambda: draining(first))
            os.kill(first.pid, signal.SIGTERM)
            status = await asyncio.to_thread(
                first.wait_ended
            )  # while the lock is held: nothing was waited for
        assert status == 1
        async with running(database, **ports):
            await night.goes_on()
            await night.settle()


async def draining(gateway: Gateway) -> bool:
    async with aiohttp.ClientSession() as http:
        answer = await ask(http, "GET", f"{gateway.admin_url}/health/ready")
    return bool(orjson.loads(answer.body)["status"] == "draining")


async def test_a_push_process_that_stands_still_for_some_seconds_goes_on_where_it_was(
    database: Database,
) -> None:
    """SIGSTOP: who is connected there waits, or is answered late, and all others are served; nothing is restarted."""
    stopped_s = 3.0
    async with running(database, push_workers=2) as gateway, a_night(gateway) as night:
        pid = await pid_of(gateway, "push-0")
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(stopped_s / 2)
            before = night.receipts
            await asyncio.sleep(stopped_s / 2)
            assert night.receipts > before
        finally:
            os.kill(pid, signal.SIGCONT)
        await night.goes_on()
        await night.settle()
        assert await pid_of(gateway, "push-0") == pid
        assert_only_these_complaints(gateway)


async def test_a_rolling_restart_is_no_more_than_a_reconnect_for_anyone(database: Database) -> None:
    """Each worker in turn is told to end and replaced; nobody loses a report, an answer or a place in the record."""
    async with running(database, push_workers=2, feed_workers=2) as gateway, a_night(gateway) as night:
        for name in ("push-0", "push-1", "feed-0", "feed-1"):
            pid = await pid_of(gateway, name)
            before = night.receipts
            os.kill(pid, signal.SIGTERM)
            await replaced(gateway, name, pid)
            assert night.receipts > before
            await night.goes_on()
        await night.settle()
        assert night.seen.answers["goodbye 1001"] >= 1
        assert night.seen.answers["socket lost"] == 0
        assert not any("not everything was answered" in line for line in gateway.log)
        assert {each["restarts"] for each in (await workers(gateway)).values()} == {1}


async def test_of_two_workers_a_door_one_carries_on_while_the_other_is_dead(database: Database) -> None:
    """Receipts are given and blocks written before the killed ones are replaced."""
    async with running(database, push_workers=2, feed_workers=2) as gateway, a_night(gateway) as night:
        pids = {name: await pid_of(gateway, name) for name in ("push-0", "feed-1")}
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        await gone(*pids.values())
        for count in (20, 20):
            await until(partial(has_receipts, night, night.receipts + count))
            some = [reader for reader in night.readers if reader.sequence >= night.sequence - 100]
            assert some, night.so_far()
        for name, pid in pids.items():
            await replaced(gateway, name, pid)
        await night.goes_on()
        await night.settle()
        assert night.without_receipts_s() < LATE_S
        assert_only_these_complaints(gateway, "worker ended unexpectedly")


async def has_receipts(night: Night, wanted: int) -> bool:
    return night.receipts >= wanted


# Peers that misbehave.


async def test_readers_that_do_not_read_delay_nobody(database: Database) -> None:
    """Some take nothing, some a byte at a time, some never end the head of their request; all others stay current."""
    async with running(database) as gateway, a_night(gateway) as night, AsyncExitStack() as bad:
        request = (
            f"GET /v1/elections/{night.election}/feed?levels={EVERYTHING} HTTP/1.1\r\n"
            "Host: door\r\nAccept: text/event-stream\r\n\r\n"
        ).encode()
        for place in range(60):
            reader, writer = await open_connection(gateway.feed_url, SMALL_BUFFER)
            bad.push_async_callback(cut, writer)
            writer.write(request[:-4] if place % 3 == 2 else request)
            if place % 3 == 0:
                reading = asyncio.create_task(a_byte_at_a_time(reader))
                bad.callback(reading.cancel)
            elif place % 3 == 1:
                writer.transport.pause_reading()  # type: ignore[attr-defined]

        async def blocked() -> bool:
            return (await gateway.metrics())['valgnatt_slow_readers{process="feed-0"}'] >= 40

        await until(blocked)
        for _ in range(3):
            await night.goes_on()
        await night.settle()
        assert night.behind_s() < LATE_S
        assert all(reader.connections == 1 for reader in night.readers)
        assert_only_these_complaints(gateway)


async def cut(writer: asyncio.StreamWriter) -> None:
    """End a connection at once; until then it is kept by whoever is to do this."""
    writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def a_byte_at_a_time(reader: asyncio.StreamReader) -> None:
    """Read a byte a second."""
    while await reader.read(1):  # noqa: ASYNC110
        await asyncio.sleep(1.0)


async def test_senders_that_break_the_rules_delay_no_receipt(database: Database) -> None:
    """Floods beyond credit, frames never finished, results never read: of no consequence for all others."""
    registry = a_country(26)
    async with (
        running(database) as gateway,
        a_night(gateway, registry=registry, senders=24) as night,
        AsyncExitStack() as bad,
    ):
        sender = await gateway.issue(night.election, ["m24", "m25"])
        for _ in range(5):
            flood = await raw(bad, sender)
            flood.writer.write(b"".join(report_frame(number) for number in range(1, 5001)))
            assert await flood.close_code() == 1008
        for _ in range(5):
            half = await raw(bad, sender)
            half.writer.write(report_frame(1)[:-20])
        deaf = [await raw(bad, sender, SMALL_BUFFER) for _ in range(5)]
        for each in deaf:
            each.writer.transport.pause_reading()  # type: ignore[attr-defined]
            bad.callback(asyncio.create_task(writes_for_ever(each)).cancel)
        for _ in range(3):
            await night.goes_on()
        await night.settle()
        assert night.without_receipts_s() < LATE_S
        assert night.behind_s() < LATE_S
        assert_only_these_complaints(gateway)


async def writes_for_ever(deaf: RawSocket) -> None:
    """Send what has to be answered, a credit's worth at a time, and never read an answer."""
    number = 0
    with suppress(ConnectionError):
        while True:
            number += 1
            deaf.writer.write(framed(1, b'{"type":"report","id":%d,"report":{"unit":"m24-1"}}' % number))
            await deaf.writer.drain()
            await asyncio.sleep(0.001)


def report_frame(number: int) -> bytes:
    report = {
        "unit": f"m24-{number % 8 + 1}",
        "revision": number,
        "counted_at": "2025-09-08T22:36:55+02:00",
        "status": "counting",
        "counts": {},
    }
    return framed(1, orjson.dumps({"type": "report", "id": number, "report": report}))


async def raw(bad: AsyncExitStack, sender: Sender, receive_buffer: int | None = None) -> RawSocket:
    opened_ = await RawSocket.connected(sender, receive_buffer)
    bad.push_async_callback(cut, opened_.writer)
    return opened_


async def test_peers_that_vanish_are_let_go_and_hold_nothing_up(database: Database) -> None:
    """No ping is answered, no head ended, no result read: each is closed in its time, and its credit is others'."""
    registry = a_country(13)
    async with (
        running(database) as gateway,
        a_night(gateway, registry=registry, senders=12, rate=60) as night,
        AsyncExitStack() as bad,
    ):
        sender = await gateway.issue(night.election, ["m12"])
        for _ in range(8):
            await raw(bad, sender)
        headless = []
        for url in (gateway.push_url, gateway.feed_url):
            reader, writer = await open_connection(url)
            bad.push_async_callback(cut, writer)
            writer.write(b"GET /v1/elections HTTP/1.1\r\nHost: d")
            headless.append(reader)

        async def let_go() -> bool:
            samples = await gateway.metrics()
            return samples['valgnatt_push_sockets{process="push-0"}'] == len(night.senders) / 3

        await until(let_go, 40.0)
        for reader in headless:
            with suppress(ConnectionError):
                assert await reader.read() == b""
        await night.goes_on()
        await night.settle()
        assert night.without_receipts_s() < LATE_S
        assert_only_these_complaints(gateway)


def assert_only_these_complaints(gateway: Gateway, *expected: str) -> None:
    """Assert that nothing else was logged as an error."""
    others = [line for line in gateway.complaints() if not any(each in line for each in expected)]
    assert not others, others
