"""The life cycle of a mirror: as a worker of a machine, and as a process of its own.

A mirror is an ordinary reader of a feed door, with its own configuration and the credentials of its target. It never
makes a door fail: if it ends, only its files grow old, and readers see that.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog

from gateway.config import Config, ConfigError
from gateway.inspection import forbid_inspection
from gateway.machine.admin_port import admin_port
from gateway.machine.control import Control
from gateway.machine.ports import listen_socket
from gateway.machine.standalone import run_until_stopped, stop_signals
from gateway.machine.systemd import ServiceManager
from gateway.mirror.elections import MirrorOptions, MirrorService, cause_of
from gateway.mirror.targets import open_target
from gateway.telemetry.metrics import exposition, sample_loop_lag
from gateway.telemetry.metrics_merge import merge_metrics
from gateway.transparency.note import MalformedKey, VerifierKey, parse_vkey
from gateway.transparency.origins import MalformedOrigin, parse_origin

MIRROR_NICE = 10
"""The niceness of a mirror beside the doors, so that it takes no CPU time from senders and hardly any from readers."""

log = structlog.get_logger()


def options_of(config: Config) -> MirrorOptions:
    """Return the options of a mirror in a configuration. Raises ConfigError."""
    if config.mirror is None or config.mirror_feed_url is None:
        missing = "mirror" if config.mirror is None else "mirror_feed_url"
        raise ConfigError([f"{missing}: a mirror needs it; set VALGNATT_{missing.upper()}"])
    return MirrorOptions(
        feed_url=config.mirror_feed_url,
        target=config.mirror,
        every_s=config.mirror_every_s,
        keys=tuple(_key(text) for text in config.mirror_keys),
    )


def _key(text: str) -> VerifierKey:
    try:
        key = parse_vkey(text)
        parse_origin(key.name)
    except (MalformedKey, MalformedOrigin) as error:
        raise ConfigError([f"mirror_keys: {error}"]) from None
    return key


async def mirror_service(control: Control) -> None:
    """Mirror until the supervisor stops this process."""
    os.nice(MIRROR_NICE)
    options = options_of(control.config)
    service = MirrorService(options, open_target(options.target, options.every_s))
    control.metrics = lambda: exposition(service.metrics.registry)

    async def report() -> None:
        while True:
            control.set_problem(service.problem)
            control.set_ready(not service.problem)
            await asyncio.sleep(1.0)

    async with _mirroring(service):
        async with asyncio.TaskGroup() as parts:
            reporting = parts.create_task(report(), name="report")
            await control.stop.wait()
            reporting.cancel()
        control.set_ready(False)


async def mirror(config: Config, options: MirrorOptions, stop: asyncio.Event | None = None) -> int:
    """Run a mirror as a process of its own, until SIGTERM, SIGINT or `stop`; return the exit status.

    Raises TargetInUse, TargetUnavailable if settings have to change, ConfigError, ListenError.
    """
    stop = stop or asyncio.Event()
    forbid_inspection()
    manager = ServiceManager.from_environment(os.environ)
    target = open_target(options.target, options.every_s)
    service = MirrorService(options, target, patient=False)
    async with AsyncExitStack() as opened:
        admin = None
        if config.admin_port is not None:
            admin = opened.enter_context(listen_socket(config.admin_host, config.admin_port, shared=False))
            await opened.enter_async_context(_admin_port(admin, service))
        opened.enter_context(stop_signals(stop))
        await opened.enter_async_context(_mirroring(service))
        port = None if admin is None else admin.getsockname()[1]
        await run_until_stopped(
            manager,
            stop,
            lambda: log.info("mirroring", feed=options.feed_url, target=target.where, admin=port),
        )
    return 0


@asynccontextmanager
async def _mirroring(service: MirrorService) -> AsyncIterator[None]:
    """Run a service until the block is left; the end of the service ends the block."""
    try:
        async with asyncio.TaskGroup() as parts:
            tasks = [
                parts.create_task(service.run(), name="mirror"),
                parts.create_task(sample_loop_lag(service.metrics.loop_lag), name="loop"),
            ]
            yield
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as group:
        raise cause_of(group) from None


def _admin_port(sock: socket.socket, service: MirrorService) -> Any:
    def health() -> tuple[bool, dict[str, Any]]:
        behind = {election: round(age_s, 1) for election, age_s in service.behind().items()}
        ready = not behind and not service.problem
        document: dict[str, Any] = {"status": "ready" if ready else "not_ready", "behind_s": behind}
        return ready, document | ({"problem": service.problem} if service.problem else {})

    async def text() -> str:
        return merge_metrics([("mirror", exposition(service.metrics.registry).decode())])

    return admin_port(sock, health, text)
