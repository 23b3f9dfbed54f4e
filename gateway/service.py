"""The life of one process, told in order: its parts are opened, wired, run and drained here, and nowhere else.

Writers are drained; readers own nothing and may be cut. A crash in one part ends the process, and its supervisor
starts another.
"""

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError

from gateway import logs
from gateway.control import Control, listen_socket, supervised
from gateway.feed.hub import Hub
from gateway.journal.connection import Pool, notifications, open_pool
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from gateway.metrics import FeedMetrics, PushMetrics, exposition
from gateway.web.connections import HEAD_S, KEEPALIVE_S, Connections
from gateway.web.feed_door import FeedDoor
from gateway.web.push_door import PushDoor
from gateway.web.tls import Certificate, feed_certificate, push_certificate

log = structlog.get_logger()


class _OwnFaults(logging.Filter):
    """Keeps what aiohttp logs of a request that is no HTTP out of the log: strangers knock on every open port."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is the gateway's own."""
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_requests = logging.getLogger("gateway.requests")
_requests.addFilter(_OwnFaults())

GOODBYE_S = 1.0
"""Of `drain_s`, what is left for saying goodbye, or a quarter of it where that is less."""
FEED_NICE = 5
"""How much a feed process gives way to the others of its machine: readers never cost senders."""
BACKLOG = 4096
"""Connections the kernel holds until they are taken; the kernel's own limit may be lower."""
_PROTOCOL = {
    "access_log": None,
    "logger": _requests,
    "keepalive_timeout": KEEPALIVE_S,
    "auto_decompress": False,
}
"""How aiohttp serves a connection."""


async def push_service(control: Control) -> None:
    """Take reports until told to stop, then answer everything that was taken."""
    config, metrics = control.config, PushMetrics()
    connections = Connections(config, metrics)
    assert config.database_url is not None
    async with open_pool(config.database_url) as pool, asyncio.TaskGroup() as parts:
        writing: list[asyncio.Task[None]] = []
        door = PushDoor(
            config,
            PostgresJournal(pool),
            metrics,
            connections,
            lambda writer: writing.append(parts.create_task(writer.run(), name="writer")),
        )
        control.metrics = lambda: exposition(metrics.registry, door.refresh_gauges)
        background = [
            parts.create_task(door.run(), name="push door"),
            parts.create_task(connections.run(), name="connections"),
            parts.create_task(notifications(config.database_url, door.elections.want), name="notifications"),
        ]
        application = door.application(lambda: control.door_ready)
        async with listening(application, control, connections, push_certificate(config)) as server:
            await _until_ready(control, door.elections.wait_known())
            await control.stop.wait()
            control.set_ready(False)
            server.close()
            await _drain(door, writing, pool, config.drain_s)
        for task in [*background, *writing]:
            task.cancel()
        pool.terminate()  # who is cancelled waits for an answer of Postgres, which may never come


async def _drain(door: PushDoor, writing: Sequence[asyncio.Task[None]], pool: Pool, drain_s: float) -> None:
    """Have everything that was taken answered, then say goodbye; the writers leave time for that."""
    until = asyncio.get_running_loop().time() + drain_s
    reserve_s = min(GOODBYE_S, drain_s / 4)
    door.drain()
    if late := await _not_ended(writing, drain_s - reserve_s):
        log.warning("not everything was committed in time", drain_s=drain_s)
        for task in late:
            task.cancel()
        pool.terminate()
        await _not_ended(late, GOODBYE_S)  # they end at once, and have everything answered `retry`
    try:
        async with asyncio.timeout_at(until):
            await door.say_goodbye()
    except TimeoutError:
        log.warning("not everyone took the goodbye in time", drain_s=drain_s)


async def _not_ended(
    tasks: Collection[asyncio.Task[None]], timeout_s: float
) -> Collection[asyncio.Task[None]]:
    """Wait for tasks, and return those that have not ended in time."""
    return (await asyncio.wait(tasks, timeout=timeout_s))[1] if tasks else ()


async def feed_service(control: Control) -> None:
    """Show the record until told to stop, then send the readers away, spread over `drain_s`."""
    os.nice(FEED_NICE)
    config, metrics = control.config, FeedMetrics()
    connections = Connections(config, metrics)
    url = config.feed_database_url or config.database_url
    assert url is not None
    async with open_pool(url, feed=True) as pool, asyncio.TaskGroup() as parts:
        hub = Hub(PublicRecord(pool), metrics, heartbeat_s=config.heartbeat_s)
        door = FeedDoor(config, hub, metrics, connections)
        control.metrics = lambda: exposition(metrics.registry, hub.refresh_gauges)
        background = [
            parts.create_task(hub.run(), name="hub"),
            parts.create_task(connections.run(), name="connections"),
            parts.create_task(notifications(url, hub.wake, feed=True), name="notifications"),
        ]
        application = door.application(lambda: control.door_ready and hub.ready)
        async with listening(application, control, connections, feed_certificate(config)) as server:
            await _until_ready(control, hub.wait_ready())
            await control.stop.wait()
            control.set_ready(False)
            server.close()
            door.send_away()
        for task in background:
            task.cancel()


async def _until_ready(control: Control, ready: Coroutine[None, None, None]) -> None:
    """Say that this worker is ready when it is, unless it is told to stop before."""
    becoming, stopping = asyncio.ensure_future(ready), asyncio.ensure_future(control.stop.wait())
    await asyncio.wait({becoming, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if becoming.done():
        becoming.result()
        control.set_ready(True)
    else:
        becoming.cancel()


@asynccontextmanager
async def listening(
    application: web.Application,
    control: Control,
    connections: Connections,
    certificate: Certificate | None,
) -> AsyncIterator[asyncio.Server]:
    """Take connections on the door's port, shared with the other workers of the door."""
    config = control.config
    port = config.push_port if control.role == "push" else config.feed_port
    runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    assert runner.server is not None
    tls = certificate.context() if certificate is not None else None
    if certificate is not None and tls is not None:
        control.renew = partial(certificate.renew, tls)
    try:
        server = await asyncio.get_running_loop().create_server(
            partial(connections.handler, runner.server, _PROTOCOL),
            sock=listen_socket(config.host, port),
            backlog=BACKLOG,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else HEAD_S,
        )
        control.listening(port)
        yield server
        server.close()
    finally:
        await runner.cleanup()


async def work(fd: int) -> int:
    """Be the worker at the other end of a supervisor's channel; return the exit status."""
    async with supervised(fd) as control:
        config = control.config
        logs.configure(control.name, format=config.log_format, level=config.log_level)
        _collect_rarely()
        await {"push": push_service, "feed": feed_service}[control.role](control)
    return 0


def _collect_rarely() -> None:
    """Look for cycles of garbage less often: short-lived reports make none, and looking took a third of their time."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
