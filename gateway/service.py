"""The life cycle of a push or feed process: its parts are opened, connected, run and drained here, and nowhere else.

Writers are drained; readers own no state and may be disconnected. A failure of one part ends the process, and the
supervisor starts a new one.
"""

import asyncio
import gc
import os
import resource
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress

import structlog

from gateway.errors import JournalUnavailable
from gateway.feed.hub import Hub
from gateway.journal.announcer import Announcer
from gateway.journal.intake import Intake
from gateway.machine.control import Control, supervised
from gateway.machine.door_port import serving
from gateway.platform import MACHINE, Platform
from gateway.telemetry import logs, tracing
from gateway.telemetry.metrics import FeedMetrics, PushMetrics, exposition, sample_loop_lag
from gateway.web.connections import Connections
from gateway.web.feed_door import FeedDoor
from gateway.web.push_door import PushDoor

log = structlog.get_logger()

GOODBYE_S = 1.0
"""The part of `drain_s` that is reserved for sending `goodbye`, in seconds; at most a quarter of it."""
ANNOUNCE_S = 1.0
"""How long to wait for the announcement of the last commits, and for the write of the last refusals, in seconds."""
FEED_NICE = 5
"""The niceness of a feed process, so that readers take no CPU time from senders."""


async def push_service(control: Control, platform: Platform = MACHINE) -> None:
    """Accept reports until the supervisor stops this process, then answer all that were accepted for processing."""
    config, metrics = control.config, PushMetrics()
    clock, chance = platform.clock, platform.chance
    connections = Connections(config, metrics, clock=clock, chance=chance)
    async with platform.push_database(config, metrics) as database, asyncio.TaskGroup() as parts:
        metrics.standby_required.set(config.require_standby)
        writing: list[asyncio.Task[None]] = []
        announcer = Announcer(database.confirmations)
        intake = Intake(
            config,
            database.journal(announcer),
            metrics,
            lambda writer: writing.append(parts.create_task(writer.run(), name="writer")),
            clock=clock,
            chance=chance,
        )
        elections, monitoring = intake.elections, database.monitoring
        door = PushDoor(config, intake, metrics, connections, monitoring.boards, clock=clock, chance=chance)

        def refresh() -> None:
            intake.refresh_gauges()
            door.refresh_gauges()
            database.refresh_gauges()
            monitoring.refresh_gauges(intake.released(), elections.known())
            metrics.rules.know([each.id for each in elections.known() if not each.closed])

        def notified() -> None:
            metrics.database.notified.inc()
            elections.refresh_soon()

        database.on_host_change(elections.read_again)
        control.metrics = lambda: exposition(metrics.registry, refresh)
        monitored = monitoring.run(intake.refusals, intake.waiting, elections.known, config.silent_after_s)
        background = [
            parts.create_task(intake.run(), name="intake"),
            parts.create_task(door.run(), name="push door"),
            parts.create_task(connections.run(), name="connections"),
            parts.create_task(database.notifications(notified), name="notifications"),
            parts.create_task(announcer.run(intake.request_append), name="announcer"),
            parts.create_task(monitored, name="monitoring"),
            parts.create_task(database.newest_host(), name="newest host"),
            parts.create_task(sample_loop_lag(metrics.loop_lag, clock=clock), name="loop"),
        ]
        application = door.application(lambda: control.door_ready)
        async with serving(
            application, control, connections, metrics, platform.accept, take=door.take
        ) as listener:
            await _until_ready(control, elections.wait_known())
            await control.stop.wait()
            control.set_ready(False)
            listener.close()
            await _drain(intake, writing, database.terminate, config.drain_s)
            await _wait_announced(announcer)
            with suppress(JournalUnavailable, TimeoutError):  # they are lost with this process
                async with asyncio.timeout(ANNOUNCE_S):
                    await monitoring.write_last(intake.refusals)
        for task in [*background, *writing]:
            task.cancel()
        database.terminate()  # a cancelled task waits for an answer from Postgres, which may never come


async def _drain(
    intake: Intake, writing: Sequence[asyncio.Task[None]], terminate: Callable[[], None], drain_s: float
) -> None:
    """Commit and answer all reports in hand, then send `goodbye`, for which the writers leave time."""
    until = asyncio.get_running_loop().time() + drain_s
    reserve_s = min(GOODBYE_S, drain_s / 4)
    intake.drain()
    if late := await _not_ended(writing, drain_s - reserve_s):
        log.warning("drain timed out: some reports were not committed", drain_s=drain_s)
        for task in late:
            task.cancel()
        terminate()
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


async def feed_service(control: Control, platform: Platform = MACHINE) -> None:
    """Serve the record until the supervisor stops this process, then close the streams, whose readers reconnect."""
    config, metrics = control.config, FeedMetrics()
    clock, chance = platform.clock, platform.chance
    connections = Connections(config, metrics, clock=clock, chance=chance)
    async with platform.feed_database(config, metrics) as database, asyncio.TaskGroup() as parts:
        hub = Hub(
            database.record,
            metrics,
            heartbeat_s=config.heartbeat_s,
            on_problem=control.set_problem,
            logs=database.logs,
            clock=clock,
        )
        door = FeedDoor(config, hub, metrics, connections, clock=clock, chance=chance)

        def refresh() -> None:
            door.refresh_gauges()
            database.refresh_gauges()

        def notified() -> None:
            metrics.database.notified.inc()
            hub.wake()

        control.metrics = lambda: exposition(metrics.registry, refresh)
        background = [
            parts.create_task(hub.run(), name="hub"),
            parts.create_task(connections.run(), name="connections"),
            parts.create_task(database.notifications(notified), name="notifications"),
            parts.create_task(database.monitoring(), name="monitoring"),
            parts.create_task(sample_loop_lag(metrics.loop_lag, clock=clock), name="loop"),
        ]
        application = door.application(lambda: control.door_ready and hub.ready)
        async with serving(application, control, connections, metrics, platform.accept) as listener:
            await _until_ready(control, hub.wait_ready())
            platform.feed_ready()
            await control.stop.wait()
            control.set_ready(False)
            listener.close()
            door.close_streams()
        for task in background:
            task.cancel()


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
        os.nice(FEED_NICE)
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
