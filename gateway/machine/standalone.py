"""A process that no supervisor runs: it ends on SIGTERM and SIGINT, and keeps a service manager informed."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.machine.systemd import ServiceManager

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` on SIGTERM and SIGINT until the block is left."""
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def run_until_stopped(
    manager: ServiceManager, stop: asyncio.Event, started: Callable[[], None]
) -> None:
    """Be ready for the service manager until `stop` is set, and answer its watchdog; call `started` once ready."""
    async with asyncio.TaskGroup() as parts:
        watchdog = parts.create_task(manager.run_watchdog(responds), name="service manager")
        manager.ready()
        started()
        await stop.wait()
        manager.stopping()
        watchdog.cancel()


async def responds(_: float) -> bool:
    """Answer a watchdog: the event loop runs, as this was called."""
    return True
