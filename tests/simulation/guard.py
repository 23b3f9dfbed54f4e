"""No real clock, socket, thread or random number while a simulation runs.

Libraries that read a clock (aiohttp for idle connections and the Date header, logging) get the virtual time, and random
numbers (masks and keys of WebSockets) come from the seed. Modules of the gateway take time and chance as arguments, so
a read of the clock by one of them raises RealResource, and so does a real socket, a thread or a blocking sleep.
"""

import inspect
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any
from unittest import mock

import aiohttp
import aiohttp.client
import aiohttp.connector
from aiohttp._websocket.writer import WebSocketWriter

from gateway import clock
from tests.simulation.loop import OWNER, RealResource, SimulatedLoop
from tests.simulation.network import Network

_MASKS: random.Random = inspect.signature(WebSocketWriter.__init__).parameters["random"].default
"""From which aiohttp draws the masks of WebSocket frames: a default argument, shared by all connections."""


class Guard:
    """Replaces what a simulation must not use, and restores it afterwards."""

    def __init__(
        self, loop: SimulatedLoop, network: Network, chance: random.Random, wall_clock: Callable[[], float]
    ) -> None:
        self._loop = loop
        self._network = network
        self._chance = chance
        self._wall_clock = wall_clock
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
        for where, name, by in replaced:
            patch = mock.patch.object(where, name, by)
            patch.start()
            self._patches.append(patch)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self._patches:
            self._patches.pop().stop()
        random.setstate(self._random[0])
        _MASKS.setstate(self._random[1])

    def _connector(self, *, limit: int = 100, **_: Any) -> aiohttp.BaseConnector:
        return self._network.connector(OWNER.get(), limit=limit)


def _refused(what: str) -> Any:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RealResource(f"{what} was used in a simulation")

    return refuse


def _for_libraries(name: str, read: Callable[[], float]) -> Callable[[], float]:
    def read_virtual() -> float:
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if caller.startswith("gateway."):
            raise RealResource(f"{caller} called time.{name}: take a Clock instead")
        return read()

    return read_virtual
