"""Processes are killed, suspended and replaced, and clients misbehave, under load; see `night`."""

import asyncio
import itertools
import os
import random
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
from tests.counts import count, full_only, variants
from tests.faults.country import EVERYTHING, UNITS, a_country, a_random_report
from tests.faults.night import Night, a_night
from tests.faults.servers import copy_cluster, require_binaries
from tests.running import Gateway, Sender, running
from tests.web.doors import (
    RawSocket,
    ask,
    framed,
    head_locked,
    open_connection,
    pushed,
    until,
    waiting_for_lock,
)

pytestmark = pytest.mark.long

SMALL_BUFFER = 2048
"""The receive buffer of a socket, in bytes: small, so that the peer soon notices that nothing is read."""
LATE_S = 5.0
"""The maximum delay for clients that a fault does not affect; normally some hundredths of a second.

Much more than that, since the machine may be busy; and less than bad clients stay.
"""


async def workers(gateway: Gateway) -> dict[str, dict[str, Any]]:
    """Return the state of each worker, as the supervisor reports it."""
    async with aiohttp.ClientSession() as http:
        answer = await ask(http, "GET", f"{gateway.admin_url}/health/ready")
    found: dict[str, dict[str, Any]] = orjson.loads(answer.body)["workers"]
    return found


async def pid_of(gateway: Gateway, name: str) -> int:
    """Return the pid of a worker, which must be ready."""
    worker = (await workers(gateway))[name]
    assert worker["state"] == "ready"
    pid: int = worker["pid"]
    return pid


async def wait_replaced(gateway: Gateway, name: str, pid: int) -> None:
    """Wait until another process has replaced a worker and is ready."""

    async def ready() -> bool:
        worker = (await workers(gateway))[name]
        return bool(worker["state"] == "ready" and worker["pid"] != pid)

    await until(ready)


async def wait_exited(*pids: int) -> None:
    """Wait until processes have exited, which need not be children of this one."""

    async def ended() -> bool:
        return not any(os.path.exists(f"/proc/{pid}") for pid in pids)  # noqa: ASYNC240

    await until(ended)


@asynccontextmanager
async def unmanaged(database: Any, **config: Any) -> AsyncIterator[Gateway]:
    """Run a gateway that the test itself ends."""
    gateway = Gateway(database, config)
    try:
        await asyncio.to_thread(gateway.wait_ready)
        yield gateway
    finally:
        if not gateway.ended:
            gateway.kill()


def ports_of(gateway: Gateway) -> dict[str, int | None]:
    """Return the ports of a gateway, as options for its successor."""
    urls = {"push": gateway.push_url, "feed": gateway.feed_url, "admin": gateway.admin_url}
    return {f"{door}_port": urlsplit(url).port for door, url in urls.items()}


@asynccontextmanager
async def session(database: Any) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Open a separate session in Postgres, which may be terminated."""
    connection = await asyncpg.connect(database.url)
    try:
        yield connection
    finally:
        connection.terminate()


async def test_a_push_process_killed_during_commits_loses_no_report_with_a_receipt(
    database: Database,
) -> None:
    """Senders retry reports in progress, and each is published once, whether or not it was already committed."""
    async with running(database) as gateway, a_night(gateway, reads_back=False) as night:
        for during_append in variants((False, True, False), True):
            pid = await pid_of(gateway, "push-0")
            async with AsyncExitStack() as locked:
                if during_append:  # an append is in progress, and commits after its client is gone
                    await locked.enter_async_context(head_locked(gateway, night.election))
                    await waiting_for_lock(gateway)
                os.kill(pid, signal.SIGKILL)
                await wait_exited(pid)
            await wait_replaced(gateway, "push-0", pid)
            await night.wait_progress()
        again = [
            push for sender in night.senders for push in sender.pushes if push.answer.outcome == "duplicate"
        ]
        assert again, "no report committed for the killed process was sent again"
        await night.settle()
        assert_only_expected_errors(gateway, "worker ended unexpectedly")


@full_only
async def test_readers_of_a_killed_feed_process_reconnect_and_resume(database: Database) -> None:
    """Readers resume from their cursors on a new process, and senders are not affected."""
    async with running(database) as gateway, a_night(gateway) as night:
        for _ in range(count(1, full=2)):
            pid = await pid_of(gateway, "feed-0")
            before = night.receipts
            os.kill(pid, signal.SIGKILL)
            await wait_replaced(gateway, "feed-0", pid)
            assert night.receipts > before
            await night.wait_progress()
        await night.settle()
        assert all(reader.connections >= count(2, full=3) for reader in night.readers)
        assert not any("503" in answer for answer in night.answer_log.answers if answer.startswith("post"))
        assert_only_expected_errors(gateway, "worker ended unexpectedly")


async def test_workers_drain_when_their_supervisor_is_killed(
    database: Database,
) -> None:
    """Workers detect the loss of the supervisor and exit, so the next gateway can use the same ports."""
    async with unmanaged(database, push_workers=2, feed_workers=2) as first, a_night(first) as night:
        pids = [each["pid"] for each in (await workers(first)).values()]
        ports = ports_of(first)
        first.kill()
        await wait_exited(*pids)
        assert first.logged_errors() == []
        async with running(database, **ports):
            await night.wait_progress()
            await night.settle()
        assert night.answer_log.answers["goodbye 1001"] == len(night.senders) / 3


async def wait_listening(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Wait until the push and the feed process each have a listening session."""

    async def both() -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        return bool(await connection.fetchval(query) == 2)

    await until(both)


@full_only
async def test_terminated_database_sessions_are_replaced(database: Database) -> None:
    """The gateway recovers from `pg_terminate_backend` of all its sessions, also during appends."""
    async with running(database) as gateway, a_night(gateway) as night:
        for during_append in (False, True):
            async with AsyncExitStack() as locked, session(database) as administrator:
                if during_append:  # ensures that an append is in progress and both doors listen again
                    await wait_listening(administrator)
                    await locked.enter_async_context(head_locked(gateway, night.election))
                    await waiting_for_lock(gateway)
                ended = await administrator.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    " AND query LIKE ANY ($1)",
                    ["%append_v4%", "LISTEN%"] if during_append else ["%"],
                )
                assert ended >= 3
            await night.wait_progress()
        await night.settle()
        assert any("journal_unavailable" in answer for answer in night.answer_log.answers)


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A durable server for one test, which it may damage."""
    require_binaries()
    tmp_path.chmod(0o755)
    copy_cluster(tmp_path / "data")
    with EmbeddedPostgres(tmp_path / "data") as server:
        yield server


@full_only
async def test_a_killed_postgres_backend_loses_no_receipt(
    own_postgres: EmbeddedPostgres,
) -> None:
    """After SIGKILL of one backend Postgres drops every connection and recovers from WAL."""
    async with running(own_postgres) as gateway, a_night(gateway) as night:
        for _ in range(2):
            async with session(own_postgres) as connection:
                appending = None
                while appending is None:
                    appending = await connection.fetchval(
                        "SELECT pid FROM pg_stat_activity"
                        " WHERE query LIKE '%append_v4%' AND pid <> pg_backend_pid() LIMIT 1"
                    )
                os.kill(appending, signal.SIGKILL)
                with pytest.raises((OSError, asyncpg.PostgresError)):  # this session ends too
                    await connection.execute("SELECT pg_sleep(10)")
            await night.wait_progress()
        await night.settle()
        assert_only_expected_errors(gateway)


async def test_a_gateway_terminated_under_load_answers_all_reports_before_it_exits(
    database: Database,
) -> None:
    """On SIGTERM all reports in progress are answered, sockets get goodbye, and the exit status is 0."""
    async with (
        unmanaged(database, push_workers=2, feed_workers=2, drain_s=4) as first,
        a_night(first) as night,
    ):
        ports = ports_of(first)
        first.terminate()
        assert await asyncio.to_thread(first.wait_ended) == 0
        assert first.logged_errors() == []
        assert not first.logged("drain timed out")
        assert night.answer_log.answers["goodbye 1001"] == len(night.senders) / 3
        assert night.answer_log.answers["socket lost"] == 0
        async with running(database, **ports):
            await night.wait_progress()
            await night.settle()


@full_only
async def test_a_second_sigterm_ends_a_drain_immediately_and_loses_no_receipt(database: Database) -> None:
    """A second SIGTERM does not wait for reports whose commit is blocked; their senders retry."""
    async with unmanaged(database, drain_s=60) as first, a_night(first) as night:
        ports = ports_of(first)
        async with head_locked(first, night.election):
            await waiting_for_lock(first)
            os.kill(first.pid, signal.SIGTERM)
            await until(lambda: draining(first))
            os.kill(first.pid, signal.SIGTERM)
            status = await asyncio.to_thread(
                first.wait_ended
            )  # the lock is still held, so the drain was not waited for
        assert status == 1
        async with running(database, **ports):
            await night.wait_progress()
            await night.settle()


async def draining(gateway: Gateway) -> bool:
    """Return whether a gateway reports that it drains."""
    async with aiohttp.ClientSession() as http:
        answer = await ask(http, "GET", f"{gateway.admin_url}/health/ready")
    return bool(orjson.loads(answer.body)["status"] == "draining")


@full_only
async def test_a_push_process_suspended_for_some_seconds_continues(
    database: Database,
) -> None:
    """After SIGSTOP its clients wait, other clients are served, and the process is not restarted."""
    stopped_s = 3.0
    senders = count(12, full=24)  # so many that both processes have some
    async with running(database, push_workers=2) as gateway, a_night(gateway, senders=senders) as night:
        pid = await pid_of(gateway, "push-0")
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(stopped_s / 2)
            before = night.receipts
            await asyncio.sleep(stopped_s / 2)
            assert night.receipts > before
        finally:
            os.kill(pid, signal.SIGCONT)
        await night.wait_progress()
        await night.settle()
        assert await pid_of(gateway, "push-0") == pid
        assert_only_expected_errors(gateway)


@full_only
async def test_a_rolling_restart_only_makes_clients_reconnect(database: Database) -> None:
    """Each worker in turn is terminated and replaced, without a lost report, answer or cursor."""
    async with running(database, push_workers=2, feed_workers=2) as gateway, a_night(gateway) as night:
        for name in ("push-0", "push-1", "feed-0", "feed-1"):
            pid = await pid_of(gateway, name)
            before = night.receipts
            os.kill(pid, signal.SIGTERM)
            await wait_replaced(gateway, name, pid)
            assert night.receipts > before
            await night.wait_progress()
        await night.settle()
        assert night.answer_log.answers["goodbye 1001"] >= 1
        assert night.answer_log.answers["socket lost"] == 0
        assert not gateway.logged("drain timed out")
        assert {each["restarts"] for each in (await workers(gateway)).values()} == {1}


@full_only
async def test_one_of_two_workers_per_door_serves_while_the_other_is_dead(database: Database) -> None:
    """Receipts and blocks are sent before the killed workers are replaced."""
    async with running(database, push_workers=2, feed_workers=2) as gateway, a_night(gateway) as night:
        pids = {name: await pid_of(gateway, name) for name in ("push-0", "feed-1")}
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        await wait_exited(*pids.values())
        for more in (20, 20):
            await until(partial(has_receipts, night, night.receipts + more))
            some = [reader for reader in night.readers if reader.sequence >= night.sequence - 100]
            assert some, night.describe_state()
        for name, pid in pids.items():
            await wait_replaced(gateway, name, pid)
        await night.wait_progress()
        await night.settle()
        assert night.longest_receipt_gap_s() < LATE_S
        assert_only_expected_errors(gateway, "worker ended unexpectedly")


async def has_receipts(night: Night, wanted: int) -> bool:
    """Return whether senders have at least `wanted` receipts."""
    return night.receipts >= wanted


# Misbehaving clients.


@full_only
async def test_slow_and_stalled_readers_delay_no_other_client(database: Database) -> None:
    """Clients that read nothing, read a byte per second or never finish a request do not delay other readers.

    Another sender pushes so many reports that the kernel's buffers for them become full.
    """
    registry = a_country(100)
    async with (
        running(database) as gateway,
        a_night(gateway, registry=registry) as night,
        aiohttp.ClientSession() as http,
        AsyncExitStack() as bad,
    ):
        request = (
            f"GET /v1/elections/{night.election}/feed?levels={EVERYTHING} HTTP/1.1\r\n"
            "Host: door\r\nAccept: text/event-stream\r\n\r\n"
        ).encode()
        for place in range(count(18, full=60)):
            reader, writer = await open_connection(gateway.feed_url, SMALL_BUFFER)
            bad.push_async_callback(cut, writer)
            writer.write(request[:-4] if place % 3 == 2 else request)
            if place % 3 == 0:
                reading = asyncio.create_task(a_byte_at_a_time(reader))
                bad.callback(reading.cancel)
            elif place % 3 == 1:
                writer.transport.pause_reading()  # type: ignore[attr-defined]

        more = [f"m{place:02}" for place in range(len(night.senders), 100)]
        sender, revisions = await gateway.issue(night.election, more), itertools.count(1)

        async def stalled() -> bool:
            revision = next(revisions)
            units = [f"{each}-{unit}" for each in more for unit in range(1, UNITS + 1)]
            await pushed(
                http, sender, *(a_random_report(unit, revision, random.Random(unit)) for unit in units)
            )
            await night.readers_catch_up()
            return (await gateway.metrics())['valgnatt_slow_readers{process="feed-0"}'] >= count(12, full=40)

        await until(stalled)
        for _ in range(3):
            await night.wait_progress()
        await night.settle()
        assert night.max_lag_s() < LATE_S
        assert all(reader.connections == 1 for reader in night.readers)
        assert_only_expected_errors(gateway)


async def cut(writer: asyncio.StreamWriter) -> None:
    """Abort a connection."""
    writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def a_byte_at_a_time(reader: asyncio.StreamReader) -> None:
    """Read one byte per second."""
    while await reader.read(1):  # noqa: ASYNC110
        await asyncio.sleep(1.0)


@full_only
async def test_senders_that_break_the_rules_delay_no_receipt(database: Database) -> None:
    """Senders that exceed their credit, leave frames unfinished or never read results do not affect others."""
    registry = a_country(26)
    async with (
        running(database) as gateway,
        a_night(gateway, registry=registry, senders=count(3, full=24)) as night,
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
        unread = [await raw(bad, sender, SMALL_BUFFER) for _ in range(5)]
        for each in unread:
            each.writer.transport.pause_reading()  # type: ignore[attr-defined]
            bad.callback(asyncio.create_task(send_forever(each)).cancel)
        for _ in range(3):
            await night.wait_progress()
        await night.settle()
        assert night.longest_receipt_gap_s() < LATE_S
        assert night.max_lag_s() < LATE_S
        assert_only_expected_errors(gateway)


async def send_forever(unread: RawSocket) -> None:
    """Send reports that require an answer, and never read one."""
    number = 0
    with suppress(ConnectionError):
        while True:
            number += 1
            unread.writer.write(framed(1, b'{"type":"report","id":%d,"report":{"unit":"m24-1"}}' % number))
            await unread.writer.drain()
            await asyncio.sleep(0.001)


def report_frame(number: int) -> bytes:
    """Return a WebSocket frame with a report."""
    report = {
        "unit": f"m24-{number % 8 + 1}",
        "revision": number,
        "counted_at": "2025-09-08T22:36:55+02:00",
        "status": "counting",
        "counts": {},
    }
    return framed(1, orjson.dumps({"type": "report", "id": number, "report": report}))


async def raw(bad: AsyncExitStack, sender: Sender, receive_buffer: int | None = None) -> RawSocket:
    """Open a push WebSocket without a client library; it is aborted when `bad` is closed."""
    socket = await RawSocket.connected(sender, receive_buffer)
    bad.push_async_callback(cut, socket.writer)
    return socket


async def test_vanished_clients_are_disconnected_and_delay_no_one(database: Database) -> None:
    """Clients that answer no ping, finish no request or read no result are closed, and their credit is released."""
    registry = a_country(13)
    async with (
        running(database) as gateway,
        a_night(gateway, registry=registry, senders=count(3, full=12), rate=count(3, full=60)) as night,
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

        async def disconnected() -> bool:
            samples = await gateway.metrics()
            return samples['valgnatt_push_sockets{process="push-0"}'] == len(night.senders) / 3

        await until(disconnected, 40.0)
        for reader in headless:
            with suppress(ConnectionError):
                assert await reader.read() == b""
        await night.wait_progress()
        await night.settle()
        assert night.longest_receipt_gap_s() < LATE_S
        assert_only_expected_errors(gateway)


def assert_only_expected_errors(gateway: Gateway, *expected: str) -> None:
    """Assert that the gateway logged no other errors than these."""
    excepted = [line for event in expected for line in gateway.logged(event)]
    assert [line for line in gateway.logged_errors() if line not in excepted] == []
