"""The life of one process, told in order: its parts are opened, wired, run and drained here, and nowhere else.

Writers are drained; readers own nothing and may be cut. A crash in one part ends the process, and its supervisor
starts another.
"""

import asyncio
import gc
import logging
import os
import resource
import ssl
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog
from aiohttp import web

from gateway.errors import GatewayError
from gateway.feed.hub import Hub
from gateway.journal.announcer import Announcer
from gateway.journal.connection import Pool, notifications, open_pool
from gateway.journal.database_monitor import DatabaseMonitor
from gateway.journal.intake import Intake
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from gateway.machine.control import Control, supervised
from gateway.machine.ports import listen_socket
from gateway.telemetry import logs, tracing
from gateway.telemetry.metrics import DoorMetrics, FeedMetrics, PushMetrics, exposition, feel_loop
from gateway.web.accepting import Door, accepting
from gateway.web.answers import ANY_ORIGIN
from gateway.web.connections import KEEPALIVE_S, Connections
from gateway.web.feed_door import FeedDoor
from gateway.web.push_door import PushDoor
from gateway.web.tls import Certificate, feed_certificate, push_certificate

log = structlog.get_logger()


GOODBYE_S = 1.0
"""Of `drain_s`, what is left for saying goodbye, or a quarter of it where that is less."""
ANNOUNCE_S = 1.0
"""How long the last commits may take to be announced at the end, in seconds."""
FEED_NICE = 5
"""How much a feed process gives way to the others of its machine: readers never cost senders."""
_PROTOCOL = {
    "access_log": None,
    "logger": logging.getLogger("gateway.requests"),
    "keepalive_timeout": KEEPALIVE_S,
    "auto_decompress": False,
}
"""How aiohttp serves a connection."""


async def push_service(control: Control) -> None:
    """Take reports until told to stop, then answer everything that was taken."""
    config, metrics = control.config, PushMetrics()
    connections = Connections(config, metrics)
    assert config.database_url is not None
    async with (
        open_pool(config.database_url) as pool,
        open_pool(config.database_url, max_size=1) as watched,
        open_pool(config.database_url, max_size=1) as announcing,
        asyncio.TaskGroup() as parts,
    ):
        metrics.standby_required.set(config.require_standby)
        watch = DatabaseMonitor(watched, metrics.database, embargoed=True)
        writing: list[asyncio.Task[None]] = []
        announcer = Announcer(announcing)
        intake = Intake(
            config,
            PostgresJournal(pool, announcer, require_standby=config.require_standby),
            metrics,
            lambda writer: writing.append(parts.create_task(writer.run(), name="writer")),
        )
        door = PushDoor(config, intake, metrics, connections)

        def refresh() -> None:
            intake.refresh_gauges()
            door.refresh_gauges()
            _tell_pool(metrics, pool)
            _set_embargoed_gauges(metrics, watch, intake.released())

        def heard() -> None:
            metrics.database.notified.inc()
            intake.elections.refresh_soon()

        control.metrics = lambda: exposition(metrics.registry, refresh)
        background = [
            parts.create_task(intake.run(), name="intake"),
            parts.create_task(door.run(), name="push door"),
            parts.create_task(connections.run(), name="connections"),
            parts.create_task(notifications(config.database_url, heard, acts=True), name="notifications"),
            parts.create_task(watch.run(), name="watch"),
            parts.create_task(announcer.run(intake.request_append), name="announcer"),
            parts.create_task(feel_loop(metrics.loop_lag), name="loop"),
        ]
        application = door.application(lambda: control.door_ready)
        async with listening(application, control, connections, push_certificate(config), metrics) as server:
            await _until_ready(control, intake.elections.wait_known())
            await control.stop.wait()
            control.set_ready(False)
            server.close()
            await _drain(intake, writing, pool, config.drain_s)
            await _announced(announcer)
        for task in [*background, *writing]:
            task.cancel()
        pool.terminate()  # who is cancelled waits for an answer of Postgres, which may never come


async def _drain(intake: Intake, writing: Sequence[asyncio.Task[None]], pool: Pool, drain_s: float) -> None:
    """Have everything that was taken answered, then say goodbye; the writers leave time for that."""
    until = asyncio.get_running_loop().time() + drain_s
    reserve_s = min(GOODBYE_S, drain_s / 4)
    intake.drain()
    if late := await _not_ended(writing, drain_s - reserve_s):
        log.warning("not everything was committed in time", drain_s=drain_s)
        for task in late:
            task.cancel()
        pool.terminate()
        await _not_ended(late, GOODBYE_S)  # they end at once, and have everything answered `retry`
    try:
        async with asyncio.timeout_at(until):
            await intake.close_sockets(max(1.0, drain_s))
    except TimeoutError:
        log.warning("not everyone took the goodbye in time", drain_s=drain_s)


async def _announced(announcer: Announcer) -> None:
    """Have the last commits announced; where that takes long, another process or the next start does it."""
    try:
        async with asyncio.timeout(ANNOUNCE_S):
            await announcer.wait_announced()
    except TimeoutError:
        log.warning("the last commits were not announced in time", announce_s=ANNOUNCE_S)


async def _not_ended(
    tasks: Collection[asyncio.Task[None]], timeout_s: float
) -> Collection[asyncio.Task[None]]:
    """Wait for tasks, and return those that have not ended in time."""
    return (await asyncio.wait(tasks, timeout=timeout_s))[1] if tasks else ()


async def feed_service(control: Control) -> None:
    """Show the record until told to stop, then send the readers away, spread over `drain_s`."""
    os.nice(FEED_NICE)
    config, metrics = control.config, FeedMetrics()
    connections = Connections(config, metrics, ANY_ORIGIN)
    url = config.feed_database_url
    assert url is not None
    async with (
        open_pool(url, feed=True) as pool,
        open_pool(url, feed=True, max_size=1) as watched,
        asyncio.TaskGroup() as parts,
    ):
        watch = DatabaseMonitor(watched, metrics.database, embargoed=False)
        hub = Hub(PublicRecord(pool), metrics, heartbeat_s=config.heartbeat_s)
        door = FeedDoor(config, hub, metrics, connections)

        def refresh() -> None:
            door.refresh_gauges()
            _tell_pool(metrics, pool)

        def heard() -> None:
            metrics.database.notified.inc()
            hub.wake()

        control.metrics = lambda: exposition(metrics.registry, refresh)
        background = [
            parts.create_task(hub.run(), name="hub"),
            parts.create_task(connections.run(), name="connections"),
            parts.create_task(notifications(url, heard, feed=True), name="notifications"),
            parts.create_task(watch.run(), name="watch"),
            parts.create_task(feel_loop(metrics.loop_lag), name="loop"),
        ]
        application = door.application(lambda: control.door_ready and hub.ready)
        async with listening(application, control, connections, feed_certificate(config), metrics) as server:
            await _until_ready(control, hub.wait_ready())
            await control.stop.wait()
            control.set_ready(False)
            server.close()
            door.send_away()
        for task in background:
            task.cancel()


def _tell_pool(metrics: DoorMetrics, pool: Pool) -> None:
    metrics.database.pool(pool.get_size(), pool.get_idle_size(), pool.get_max_size())


def _set_embargoed_gauges(metrics: PushMetrics, watch: DatabaseMonitor, released: Collection[str]) -> None:
    """Set what embargoes hold back, and apart from it what should be public and is not released."""
    now = watch.now()
    held = {election: each for election, each in watch.embargoed.items() if election not in released}
    embargoed = {election: each for election, each in held.items() if now < each.publish_from}
    metrics.embargoed.set({election: each.accepted for election, each in embargoed.items()})
    metrics.embargoed_oldest.set({election: each.embargoed_s(now) for election, each in embargoed.items()})
    metrics.unpublished_oldest.set({election: each.overdue_s(now) for election, each in held.items()})


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
    metrics: DoorMetrics,
) -> AsyncIterator[Door]:
    """Take connections on the door's port, shared with the other workers of the door."""
    config = control.config
    port = config.push_port if control.role == "push" else config.feed_port
    runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    assert runner.server is not None
    tls = certificate.context() if certificate is not None else None
    if certificate is not None and tls is not None:
        _tell_end(certificate, control.role, metrics)
        control.renew = partial(_renew, certificate, tls, control.role, metrics)
    try:
        make = partial(connections.handler, runner.server, _PROTOCOL)
        async with accepting(listen_socket(config.host, port), connections, make, tls) as open_door:
            control.listening(port)
            yield open_door
    finally:
        await runner.cleanup()


def _renew(certificate: Certificate, tls: ssl.SSLContext, door: str, metrics: DoorMetrics) -> None:
    certificate.renew(tls)
    _tell_end(certificate, door, metrics)


def _tell_end(certificate: Certificate, door: str, metrics: DoorMetrics) -> None:
    """Note when a certificate ends; one that can be served and not be read is served all the same."""
    try:
        metrics.certificate(door, certificate.ends_at())
    except (GatewayError, OSError, ValueError) as error:
        log.warning("the end of the certificate is not known", error=str(error))


async def work(fd: int) -> int:
    """Be the worker at the other end of a supervisor's channel; return the exit status."""
    open_as_many_as_may_be()
    async with supervised(fd) as control:
        config = control.config
        logs.configure(control.name, format=config.log_format, level=config.log_level)
        tracing.begin(control.name)
        _collect_rarely()
        await {"push": push_service, "feed": feed_service}[control.role](control)
    tracing.end()
    return 0


def open_as_many_as_may_be() -> None:
    """Raise the limit of open files as far as this process may: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _collect_rarely() -> None:
    """Look for cycles of garbage less often: short-lived reports make none, and looking took a third of their time."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
