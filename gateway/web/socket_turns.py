"""The turns of a process's push WebSockets, spread over turns of the event loop.

The event loop delivers everything that has arrived before it does anything else. If a few hundred sockets had their
turns then, what Postgres has answered, and what it is to be asked next, would wait for all of them: 70 ms for 5 000
reports. So once a slice of time was worked, the other sockets wait for the next turn of the event loop. While they wait
and everything else takes longer than a slice, slices last as long as that: however many requests arrive over HTTP, the
sockets get half of the time.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.web.turns import SLICE_S

Turn = Callable[[], None]
"""Has one turn of one socket."""


class SocketTurns:
    """Gives sockets their turns. Invariants:

    * In one turn of the event loop, no socket begins once SLICE_S was worked, or, if others waited, as much as
      everything else has taken since the turns before.
    * Sockets that wait are served in the order in which they began to wait, and before all others.
    * A turn that waits is had once, or cancelled.
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._time_s = clock.monotonic
        self._waiting: OrderedDict[Turn, None] = OrderedDict()
        self._worked_s = 0.0
        """Seconds worked in this turn of the event loop."""
        self._slice_s = SLICE_S
        """Seconds after which no socket begins in it."""
        self._scheduled = False
        self._since_s = 0.0
        """When the next turn was scheduled, plus what sockets have worked since: the rest is the time of all others."""

    @property
    def free(self) -> bool:
        """Whether a socket may have a turn at once."""
        return not self._waiting and self._worked_s < self._slice_s

    def have(self, turn: Turn) -> None:
        """Have a turn now, and count its time. An error in it keeps no other socket from its turn."""
        began_s = self._time_s()
        try:
            turn()
        finally:
            worked_s = self._time_s() - began_s
            self._worked_s += worked_s
            self._since_s += worked_s
            self._schedule()

    def wait(self, turn: Turn) -> None:
        """Have a turn in one of the next turns of the event loop."""
        self._waiting[turn] = None
        self._schedule()

    def cancel(self, turn: Turn) -> None:
        """Drop a turn, if it waits."""
        self._waiting.pop(turn, None)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._since_s = self._time_s()
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        """Begin the next turn of the event loop: have the turns that wait now, as many as fit into it."""
        self._scheduled = False
        self._slice_s = max(SLICE_S, self._time_s() - self._since_s) if self._waiting else SLICE_S
        self._worked_s = 0.0
        for _ in range(len(self._waiting)):
            if not self._waiting or self._worked_s >= self._slice_s:
                break
            turn, _ = self._waiting.popitem(last=False)
            self.have(turn)
        if self._waiting:
            self._schedule()
