"""Time and chance, as arguments: parts that depend on them take them from their caller.

The doors, the journal, the feed and the clients of both doors read no clock and draw no random number in any other way.
So a whole process also runs in simulated time, with random numbers from a seed, and then does the same in every run.
Timers and timeouts are those of the event loop.
"""

import os
import random
import time
from datetime import UTC, datetime
from functools import partial
from typing import Protocol


class Clock(Protocol):
    """The clocks that a process reads."""

    def now(self) -> datetime:
        """Return the time of day, in UTC. It may be set, also backwards."""

    def monotonic(self) -> float:
        """Return seconds that never go back, finer than those of the event loop. Only differences have a meaning."""

    def cpu(self) -> float:
        """Return the CPU time of this thread in seconds. Reading it may take longer than short work does."""


class _SystemClock:
    """The clocks of this machine; each costs no more than a call of the function that it is."""

    __slots__ = ()

    now = staticmethod(partial(datetime.now, UTC))
    monotonic = staticmethod(time.perf_counter)
    cpu = staticmethod(time.thread_time)


SYSTEM_CLOCK: Clock = _SystemClock()
SYSTEM_CHANCE = random.Random()  # noqa: S311 - draws delays and names, no secrets
"""Random numbers that differ in every process, also in those that were forked."""
os.register_at_fork(after_in_child=SYSTEM_CHANCE.seed)
