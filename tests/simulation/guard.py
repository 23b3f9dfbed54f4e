"""No real clock, socket, thread or random number while a simulation runs.

Libraries that read a clock (aiohttp for idle connections and the Date header, logging) get the virtual time, and random
numbers (masks and keys of WebSockets) come from the seed. Modules of the gateway take time and chance as arguments, so
a read of the clock by one of them raises RealResource, except in metrics and logs, which show what they read and no
more; and so does a real socket, a thread or a blocking sleep. What is logged is passed on instead of written.
"""

import inspect
import logging
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import Any, NoReturn
from unittest import mock

import aiohttp
import aiohttp.client
import aiohttp.connector
import structlog
from aiohttp._websocket.writer import WebSocketWriter

from gateway import clock
from tests.simulation.loop import OWNER, RealResource, SimulatedLoop
from tests.simulation.network import Network

_MASKS: random.Random = inspect.signature(WebSocketWriter.__init__).parameters["random"].default
"""From which aiohttp draws the masks of WebSocket frames: a default argument, shared by all connections."""


class Guard:
    """Replaces what a simulation must not use, and restores it afterwards."""

    def __init__(
        self,
        loop: SimulatedLoop,
        network: Network,
        chance: random.Random,
        wall_clock: Callable[[], float],
        log: Callable[[str, str], None],
    ) -> None:
        """`log` is called with level and text of each event that is logged."""
        self._loop = loop
        self._network = network
        self._chance = chance
        self._wall_clock = wall_clock
        self._log = log
        self._patches: list[Any] = []

    def __enter__(self) -> None:
        monotonic = self._loop.time
        clocks: dict[str, Callable[[], float]] = {
            "time": self._wall_clock,
            "time_ns": lambda: int(self._wall_clock() * 1e9),
            "monotonic": monotonic,
            "monotonic_ns": lambda: int(monotonic() * 1e9),
            "perf_counter": monotonic,
            "perf_counter_ns": lambda: int(monotonic() * 1e9),
            "process_time": monotonic,
            "thread_time": monotonic,
        }
        replaced: list[tuple[object, str, object]] = [
            (time, name, _for_libraries(name, read)) for name, read in clocks.items()
        ]
        replaced += [
            (clock._SystemClock, name, _refused(f"SYSTEM_CLOCK.{name}"))
            for name in ("now", "monotonic", "cpu")
        ]
        replaced += [
            (clock.SYSTEM_CHANCE, "random", _refused("SYSTEM_CHANCE")),
            (clock.SYSTEM_CHANCE, "getrandbits", _refused("SYSTEM_CHANCE")),
            (time, "sleep", _refused("time.sleep")),
            (threading.Thread, "start", _refused("a thread")),
            (socket.socket, "__init__", _refused("a socket")),
            (socket, "getaddrinfo", _refused("a resolver")),
            (os, "urandom", self._chance.randbytes),
            (random, "_urandom", self._chance.randbytes),
            (aiohttp.connector, "monotonic", monotonic),
            (aiohttp, "TCPConnector", self._connector),
            (aiohttp.client, "TCPConnector", self._connector),
        ]
        self._random = random.getstate(), _MASKS.getstate()
        random.seed(self._chance.getrandbits(64))
        _MASKS.seed(self._chance.getrandbits(64))
        self._logging = structlog.get_config(), logging.root.handlers, logging.root.level
        structlog.reset_defaults()  # all levels, whatever another part of this process has configured
        structlog.configure(processors=[self._log_event], cache_logger_on_first_use=False)
        logging.root.handlers = [_Forward(self._log)]
        logging.root.setLevel(logging.WARNING)
        for where, name, by in replaced:
            patch = mock.patch.object(where, name, by)
            patch.start()
            self._patches.append(patch)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self._patches:
            self._patches.pop().stop()
        configured, handlers, level = self._logging
        structlog.configure(**configured)
        logging.root.handlers = handlers
        logging.root.setLevel(level)
        random.setstate(self._random[0])
        _MASKS.setstate(self._random[1])

    def _log_event(self, _: Any, level: str, event: MutableMapping[str, Any]) -> NoReturn:
        error = event.pop("exc_info", None)
        members = "".join(f" {name}={value!r}" for name, value in event.items() if name != "event")
        failed = f" {error!r}" if isinstance(error, BaseException) else ""
        self._log(level, f"{event.get('event')}{members}{failed}")
        raise structlog.DropEvent

    def _connector(self, *, limit: int = 100, **_: Any) -> aiohttp.BaseConnector:
        return self._network.connector(OWNER.get(), limit=limit)


class _Forward(logging.Handler):
    """Passes on what libraries log."""

    def __init__(self, log: Callable[[str, str], None]) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on a record."""
        self._log(record.levelname.lower(), f"{record.name}: {record.getMessage()}")


def _refused(what: str) -> Any:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RealResource(f"{what} was used in a simulation")

    return refuse


def _for_libraries(name: str, read: Callable[[], float]) -> Callable[[], float]:
    def read_virtual() -> float:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if caller.startswith("gateway.") and not caller.startswith("gateway.telemetry."):
            raise RealResource(f"{caller} called time.{name}: take a Clock instead")
        return read()

    return read_virtual
