"""The life of a witness process: opens its directory, serves, mirrors if it is to, and ends on SIGTERM or SIGINT."""

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import structlog
from aiohttp import web

from gateway.config import Config, local_url
from gateway.errors import GatewayError
from gateway.machine.admin_port import admin_port
from gateway.machine.ports import listen_socket
from gateway.machine.standalone import responds
from gateway.machine.systemd import ServiceManager
from gateway.telemetry.metrics import exposition, sample_loop_lag
from gateway.telemetry.witness_metrics import WitnessMetrics
from gateway.transparency.note import Note
from gateway.web.accepting import accepting
from gateway.web.aiohttp_connection import door_handlers
from gateway.web.connections import Connections
from gateway.web.tls import Certificate
from gateway.witness.decision import Kept
from gateway.witness.directory import open_directory
from gateway.witness.door import WitnessDoor
from gateway.witness.logs import Log
from gateway.witness.mirror import Mirror
from gateway.witness.state import CosignedCheckpoint, Evidence, State
from gateway.witness.witness import Witness, report, report_behind

log = structlog.get_logger()


class WitnessOptions(msgspec.Struct, frozen=True):
    """What a witness is, and what it follows."""

    name: str
    directory: Path
    logs: Sequence[Log]
    port: int
    certificate: Certificate | None = None
    mirror: Path | None = None
    """The directory in which entries are kept; None if they are not."""


class _Observed:
    """Counts what the witness does."""

    def __init__(self, metrics: WitnessMetrics) -> None:
        self._metrics = metrics

    def cosigned(self, origin: str, size: int) -> None:
        self._metrics.count_cosigned(origin)
        self._metrics.size.labels(origin).set(size)

    def refused(self, origin: str, status: int) -> None:
        self._metrics.count_refused(origin, status)

    def kept(self, evidence: Evidence) -> None:
        self._metrics.evidence.labels(evidence.origin, evidence.kind).inc()

    def settled(self, evidence: Evidence) -> None:
        self._metrics.evidence.labels(evidence.origin, evidence.kind).dec()

    def behind(self, origin: str) -> None:
        self._metrics.behind.labels(origin).set(1)


class _WitnessAccess:
    """What the mirror needs, from its own thread."""

    def __init__(self, witness: Witness, door: WitnessDoor, metrics: WitnessMetrics) -> None:
        self._witness = witness
        self._run = door.in_state_thread
        self._metrics = metrics

    def newest_size(self, origin: str) -> int:
        newest = self._witness.newest.get(origin)
        return newest.size if newest is not None else 0

    def cosigned_up_to(self, origin: str, size: int) -> CosignedCheckpoint | None:
        return self._run(lambda: self._witness.cosigned_up_to(origin, size))

    def examine(self, note: Note, *, forked: bool = False) -> None:
        self._run(lambda: self._witness.examine(note, forked=forked))

    def settle(self, origin: str, root_of: Callable[[int], bytes], size: int) -> None:
        self._run(lambda: self._witness.settle(origin, root_of, size))

    def mirrored(self, origin: str, size: int) -> None:
        self._metrics.mirrored.labels(origin).set(size)


async def serve(
    config: Config,
    options: WitnessOptions,
    started: Callable[[Witness, int], None] = lambda *_: None,
    stop: asyncio.Event | None = None,
) -> None:
    """Run a witness until `stop` is set, by default by SIGTERM or SIGINT; `started` is called with it and its port.

    Raises GatewayError if the directory or a port cannot be used.
    """
    manager = ServiceManager.from_environment(os.environ)
    key, state, created = open_directory(options.directory, options.name)
    metrics = WitnessMetrics([each.origin for each in options.logs])
    try:
        if created:
            log.info("a new witness was created", directory=str(options.directory))
        witness = Witness(key, state, options.logs, _Observed(metrics))
        _report_kept(state, metrics, witness)
        connections = Connections(config, metrics)
        door = WitnessDoor(witness, connections.addresses, metrics)
        try:
            async with AsyncExitStack() as opened:
                port = await opened.enter_async_context(
                    _serving(door, options, config, connections, reloaded=stop is None)
                )
                await opened.enter_async_context(_admin(config, metrics, connections))
                parts = await opened.enter_async_context(asyncio.TaskGroup())
                stop = stop or _stopped_by_signals()
                background = [
                    parts.create_task(connections.run(), name="connections"),
                    parts.create_task(sample_loop_lag(metrics.loop_lag), name="loop"),
                    parts.create_task(manager.run_watchdog(responds), name="watchdog"),
                ]
                if options.mirror is not None:
                    opened.enter_context(
                        Mirror(options.mirror, options.logs, _WitnessAccess(witness, door, metrics))
                    )
                started(witness, port)
                manager.ready()
                await stop.wait()
                manager.stopping()
                for task in background:
                    task.cancel()
        finally:
            door.close()
    finally:
        state.close()


@asynccontextmanager
async def _serving(
    door: WitnessDoor, options: WitnessOptions, config: Config, connections: Connections, *, reloaded: bool
) -> AsyncIterator[int]:
    """Serve the witness's port, and yield its number; if `reloaded`, SIGHUP reloads the certificate."""
    runner = web.AppRunner(door.application(), handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    assert runner.server is not None
    certificate = options.certificate
    tls = certificate.context() if certificate is not None else None
    if reloaded:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _renew, certificate, tls)
    try:
        sock = listen_socket(config.host, options.port, shared=False)
        port = sock.getsockname()[1]
        async with accepting(sock, connections, door_handlers(connections, runner.server), tls):
            yield port
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _admin(config: Config, metrics: WitnessMetrics, connections: Connections) -> AsyncIterator[None]:
    """Serve health and metrics, if there is an admin port."""
    if config.admin_port is None:
        yield
        return

    def health() -> tuple[bool, dict[str, Any]]:
        return True, {"status": "ready"}

    async def text() -> str:
        metrics.connections.set(len(connections))
        return exposition(metrics.registry).decode()

    sock = listen_socket(config.admin_host, config.admin_port, shared=False)
    async with admin_port(sock, health, text):
        yield


def _report_kept(state: State, metrics: WitnessMetrics, witness: Witness) -> None:
    """Set the metrics of a witness that was started, and log again what is wrong with the logs that it follows."""
    for origin in witness.logs:
        for kind in Kept:
            metrics.evidence.labels(origin, kind).set(0)
        metrics.behind.labels(origin).set(0)
        newest = witness.newest.get(origin)
        metrics.size.labels(origin).set(newest.size if newest is not None else 0)
        if newest is not None:
            metrics.cosigned_at.labels(origin).set(newest.at)
    for evidence in state.evidence():
        if evidence.origin in witness.logs:
            metrics.evidence.labels(evidence.origin, evidence.kind).inc()
            report(evidence)
    for origin, size in state.behind().items():
        if origin in witness.logs:
            metrics.behind.labels(origin).set(1)
            report_behind(origin, size)


def _renew(certificate: Certificate | None, context: ssl.SSLContext | None) -> None:
    """Reload the certificate, if there is one."""
    if certificate is None or context is None:
        return
    try:
        certificate.renew(context)
    except GatewayError as error:
        log.error("certificate not reloaded; the previous one stays", error=str(error))


def _stopped_by_signals() -> asyncio.Event:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def url_of(config: Config, port: int, *, tls: bool) -> str:
    """Return the URL of the witness on this machine."""
    return local_url("https" if tls else "http", config.host, port) or ""
