"""The life cycle of a push or feed process: its parts are opened, connected, run and drained here, and nowhere else.

Writers are drained; readers own no state and may be disconnected. A failure of one part ends the process, and the
supervisor starts a new one.
"""

import asyncio
import gc
import os
import resource
import ssl
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog
from aiohttp import web

from gateway.errors import GatewayError, JournalUnavailable
from gateway.feed.hub import Hub
from gateway.journal.announcer import Announcer
from gateway.journal.board import BoardReader
from gateway.journal.confirmations import PostgresConfirmations
from gateway.journal.connection import Pool, open_pool
from gateway.journal.database_monitor import DatabaseMonitor
from gateway.journal.elections import ElectionVersion
from gateway.journal.intake import Intake
from gateway.journal.log import LogRecord
from gateway.journal.notifications import notifications
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from gateway.journal.waiting import WaitingReports
from gateway.machine.control import Control, supervised
from gateway.machine.ports import listen_socket
from gateway.telemetry import logs, tracing
from gateway.telemetry.metrics import DoorMetrics, FeedMetrics, PushMetrics, exposition, sample_loop_lag
from gateway.web.accepting import Listener, accepting
from gateway.web.aiohttp_connection import door_handlers
from gateway.web.answers import ANY_ORIGIN
from gateway.web.connections import Connections
from gateway.web.feed_door import FeedDoor
from gateway.web.push_door import PushDoor
from gateway.web.tls import Certificate, feed_certificate, push_certificate

log = structlog.get_logger()

GOODBYE_S = 1.0
"""The part of `drain_s` that is reserved for sending `goodbye`, in seconds; at most a quarter of it."""
ANNOUNCE_S = 1.0
"""How long to wait for the announcement of the last commits, and for the write of the last refusals, in seconds."""
FEED_NICE = 5
"""The niceness of a feed process, so that readers take no CPU time from senders."""

GC_OF_READY_FEED = (2_000, 20, 50)
"""Thresholds of the garbage collector in a feed process that is ready. What connections leave is freed in pauses of
about a millisecond, instead of ten times as much at once while a publication waits. Publications leave next to nothing.
"""


async def push_service(control: Control) -> None:
    """Accept reports until the supervisor stops this process, then answer all that were accepted for processing."""
    config, metrics = control.config, PushMetrics()
    connections = Connections(config, metrics)
    assert config.database_url is not None
    async with (
        open_pool(config.database_url) as pool,
        open_pool(config.database_url, max_size=1) as monitoring,
        open_pool(config.database_url, max_size=1) as announcing,
        asyncio.TaskGroup() as parts,
    ):
        metrics.standby_required.set(config.require_standby)
        monitor = DatabaseMonitor(monitoring, metrics.database, embargoed=True)
        writing: list[asyncio.Task[None]] = []
        announcer = Announcer(PostgresConfirmations(announcing))
        intake = Intake(
            config,
            PostgresJournal(pool, announcer, require_standby=config.require_standby),
            metrics,
            lambda writer: writing.append(parts.create_task(writer.run(), name="writer")),
        )
        waiting = WaitingReports()
        boards = BoardReader(monitoring, waiting.process)
        door = PushDoor(config, intake, metrics, connections, boards)

        def refresh() -> None:
            intake.refresh_gauges()
            door.refresh_gauges()
            _set_pool_gauges(metrics, pool)
            _set_embargoed_gauges(metrics, monitor, intake.released())
            _set_silent_gauge(metrics, boards, intake.elections.known())
            metrics.holds.elections = monitor.holds.holds(monitor.now())
            metrics.rules.know([each.id for each in intake.elections.known() if not each.closed])

        def notified() -> None:
            metrics.database.notified.inc()
            intake.elections.refresh_soon()

        control.metrics = lambda: exposition(metrics.registry, refresh)
        background = [
            parts.create_task(intake.run(), name="intake"),
            parts.create_task(door.run(), name="push door"),
            parts.create_task(connections.run(), name="connections"),
            parts.create_task(notifications(config.database_url, notified, acts=True), name="notifications"),
            parts.create_task(monitor.run(), name="watch"),
            parts.create_task(announcer.run(intake.request_append), name="announcer"),
            parts.create_task(intake.refusals.run(monitoring), name="refusals"),
            parts.create_task(waiting.run(monitoring, intake.waiting), name="waiting"),
            parts.create_task(
                boards.watch(intake.elections.known, config.silent_after_s),
                name="silence",
            ),
            parts.create_task(sample_loop_lag(metrics.loop_lag), name="loop"),
        ]
        application = door.application(lambda: control.door_ready)
        async with serving(application, control, connections, push_certificate(config), metrics) as listener:
            await _until_ready(control, intake.elections.wait_known())
            await control.stop.wait()
            control.set_ready(False)
            listener.close()
            await _drain(intake, writing, pool, config.drain_s)
            await _wait_announced(announcer)
            with suppress(JournalUnavailable, TimeoutError):  # they are lost with this process
                async with asyncio.timeout(ANNOUNCE_S):
                    await intake.refusals.write(monitoring)
        for task in [*background, *writing]:
            task.cancel()
        pool.terminate()  # a cancelled task waits for an answer from Postgres, which may never come


async def _drain(intake: Intake, writing: Sequence[asyncio.Task[None]], pool: Pool, drain_s: float) -> None:
    """Commit and answer all reports in hand, then send `goodbye`, for which the writers leave time."""
    until = asyncio.get_running_loop().time() + drain_s
    reserve_s = min(GOODBYE_S, drain_s / 4)
    intake.drain()
    if late := await _not_ended(writing, drain_s - reserve_s):
        log.warning("drain timed out: some reports were not committed", drain_s=drain_s)
        for task in late:
            task.cancel()
        pool.terminate()
        await _not_ended(late, GOODBYE_S)  # they end at once and answer their reports with `retry`
    try:
        async with asyncio.timeout_at(until):
            await intake.close_sockets(max(1.0, drain_s))
    except TimeoutError:
        log.warning("drain timed out: some senders did not read the goodbye", drain_s=drain_s)


async def _wait_announced(announcer: Announcer) -> None:
    """Wait for the announcement of the last commits; if it is late, another process or the next start makes it."""
    try:
        async with asyncio.timeout(ANNOUNCE_S):
            await announcer.wait_announced()
    except TimeoutError:
        log.warning("timed out announcing the last commits", announce_s=ANNOUNCE_S)


async def _not_ended(
    tasks: Collection[asyncio.Task[None]], timeout_s: float
) -> Collection[asyncio.Task[None]]:
    """Wait for tasks, and return those that have not ended within `timeout_s`."""
    return (await asyncio.wait(tasks, timeout=timeout_s))[1] if tasks else ()


async def feed_service(control: Control) -> None:
    """Serve the record until the supervisor stops this process, then close the streams, whose readers reconnect."""
    os.nice(FEED_NICE)
    config, metrics = control.config, FeedMetrics()
    connections = Connections(config, metrics)
    url = config.feed_database_url
    assert url is not None
    async with (
        open_pool(url, feed=True) as pool,
        open_pool(url, feed=True, max_size=1) as monitoring,
        asyncio.TaskGroup() as parts,
    ):
        monitor = DatabaseMonitor(monitoring, metrics.database, embargoed=False)
        hub = Hub(
            PublicRecord(pool),
            metrics,
            heartbeat_s=config.heartbeat_s,
            on_problem=control.set_problem,
            logs=LogRecord(pool),
        )
        door = FeedDoor(config, hub, metrics, connections)

        def refresh() -> None:
            door.refresh_gauges()
            _set_pool_gauges(metrics, pool)

        def notified() -> None:
            metrics.database.notified.inc()
            hub.wake()

        control.metrics = lambda: exposition(metrics.registry, refresh)
        background = [
            parts.create_task(hub.run(), name="hub"),
            parts.create_task(connections.run(), name="connections"),
            parts.create_task(notifications(url, notified, feed=True), name="notifications"),
            parts.create_task(monitor.run(), name="watch"),
            parts.create_task(sample_loop_lag(metrics.loop_lag), name="loop"),
        ]
        application = door.application(lambda: control.door_ready and hub.ready)
        async with serving(application, control, connections, feed_certificate(config), metrics) as listener:
            await _until_ready(control, hub.wait_ready())
            gc.set_threshold(*GC_OF_READY_FEED)
            await control.stop.wait()
            control.set_ready(False)
            listener.close()
            door.close_streams()
        for task in background:
            task.cancel()


def _set_pool_gauges(metrics: DoorMetrics, pool: Pool) -> None:
    metrics.database.pool(pool.get_size(), pool.get_idle_size(), pool.get_max_size())


def _set_embargoed_gauges(metrics: PushMetrics, monitor: DatabaseMonitor, released: Collection[str]) -> None:
    """Set the gauges of embargoed reports, and of those whose embargo has ended without a release."""
    now = monitor.now()
    unreleased = {election: each for election, each in monitor.embargoed.items() if election not in released}
    embargoed = {election: each for election, each in unreleased.items() if now < each.publish_from}
    metrics.embargoed.set({election: each.accepted for election, each in embargoed.items()})
    metrics.embargoed_oldest.set({election: each.embargoed_s(now) for election, each in embargoed.items()})
    metrics.unpublished_oldest.set({election: each.overdue_s(now) for election, each in unreleased.items()})


def _set_silent_gauge(
    metrics: PushMetrics, boards: BoardReader, elections: Iterable[ElectionVersion]
) -> None:
    """Set the gauge of silent municipalities; 0 for open elections in which nobody is expected to report yet."""
    metrics.silent.set({each.id: boards.silent.get(each.id, 0) for each in elections if not each.closed})


async def _until_ready(control: Control, ready: Coroutine[None, None, None]) -> None:
    """Report this worker as ready once it is, unless it is stopped before."""
    becoming, stopping = asyncio.ensure_future(ready), asyncio.ensure_future(control.stop.wait())
    await asyncio.wait({becoming, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if becoming.done():
        becoming.result()
        control.set_ready(True)
    else:
        becoming.cancel()


@asynccontextmanager
async def serving(
    application: web.Application,
    control: Control,
    connections: Connections,
    certificate: Certificate | None,
    metrics: DoorMetrics,
) -> AsyncIterator[Listener]:
    """Serve the door's port, which its other workers listen on as well."""
    config = control.config
    port = config.push_port if control.role == "push" else config.feed_port
    runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    assert runner.server is not None
    tls = certificate.context() if certificate is not None else None
    if certificate is not None and tls is not None:
        _set_expiry_gauge(certificate, control.role, metrics)
        control.renew = partial(_renew, certificate, tls, control.role, metrics)
    try:
        headers = ANY_ORIGIN if control.role == "feed" else None
        make = door_handlers(connections, runner.server, answer_headers=headers)
        async with accepting(listen_socket(config.host, port), connections, make, tls) as listener:
            control.set_port(port)
            yield listener
    finally:
        await runner.cleanup()


def _renew(certificate: Certificate, tls: ssl.SSLContext, door: str, metrics: DoorMetrics) -> None:
    certificate.renew(tls)
    _set_expiry_gauge(certificate, door, metrics)


def _set_expiry_gauge(certificate: Certificate, door: str, metrics: DoorMetrics) -> None:
    """Set when a certificate expires; one whose date cannot be read is served all the same."""
    try:
        metrics.certificate(door, certificate.expires_at())
    except (GatewayError, OSError, ValueError) as error:
        log.warning("certificate expiry not readable", error=str(error))


async def work(fd: int) -> int:
    """Run as the worker at the other end of a supervisor's control line; return the exit status."""
    raise_open_file_limit()
    async with supervised(fd) as control:
        config = control.config
        logs.configure(control.name, format=config.log_format, level=config.log_level)
        tracing.begin(control.name)
        _tune_garbage_collection()
        await _service(control)
    tracing.end()
    return 0


async def _service(control: Control) -> None:
    if control.role == "push":
        await push_service(control)
    elif control.role == "feed":
        await feed_service(control)
    elif control.role == "signer":
        from gateway.signer.service import signer_service  # with packages that doors do not need

        await signer_service(control)
    else:
        from gateway.mirror.service import mirror_service

        await mirror_service(control)


def raise_open_file_limit() -> None:
    """Raise the limit of open files to the hard limit: each connection needs one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _tune_garbage_collection() -> None:
    """Run the garbage collector less often: reports create no cycles, and it took a third of the CPU time."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
