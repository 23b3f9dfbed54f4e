"""Fair computing: long work of many requests, in slices, given to the senders in turn.

Reading, checking and answering a large request takes up to some tenths of a second. Done at once, it would delay all
others; done in pieces that each continue as soon as the event loop is free, a sender with many requests would still
get most of the processor. So every piece waits for its sender's turn, and in one turn of the event loop all pieces
together work for at most SLICE_S.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Generator, Hashable
from typing import Self, TypeVar

from gateway.clock import SYSTEM_CLOCK, Clock

SLICE_S = 0.002
"""Seconds of work in one turn, and in one turn of the event loop while others wait. A piece that has begun ends at the
next point where it may pause, a few milliseconds later at most."""

SHORT_S = 0.01
"""Seconds of work in one turn of the event loop up to which work begins that is done in some microseconds, without a
turn. With a turn, and so a task, it would take the loop for longer."""

T = TypeVar("T")


class Turns:
    """Gives out turns to work. Invariants:

    * Senders are served in turn, and the requests of one sender in the order in which they began to wait. So a
      request waits for one slice of each other sender, however many requests they have.
    * In one turn of the event loop, no work begins once SLICE_S was worked, whatever was expected; short work once
      SHORT_S was worked, or somebody waits.
    * Every request that waits is served or cancelled; no turn has to be given back.
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.time_s = clock.monotonic
        self._lanes: OrderedDict[Hashable, deque[tuple[asyncio.Future[None], float]]] = OrderedDict()
        self._postponed: deque[asyncio.Future[None]] = deque()
        """Turns that were given after others had used up the time; they are next."""
        self._worked_s = 0.0
        self._scheduled = False

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._postponed) + sum(map(len, self._lanes.values()))

    def work(self, sender: Hashable, expected_s: float) -> "Work":
        """Return the work of one request, which begins in its sender's turn: `async with turns.work(...)`."""
        return Work(self, sender, expected_s)

    @property
    def free(self) -> bool:
        """Whether work may begin at once."""
        return self._free_below(SLICE_S)

    @property
    def free_for_short(self) -> bool:
        """Whether work that is done in some microseconds may begin without a turn."""
        return self._free_below(SHORT_S)

    def _free_below(self, seconds: float) -> bool:
        return not self._lanes and not self._postponed and self._worked_s < seconds

    async def wait(self, sender: Hashable, expected_s: float) -> None:
        """Wait for a turn of this sender, in which it expects to work for so long, or for SLICE_S."""
        turn = asyncio.get_running_loop().create_future()
        self._lanes.setdefault(sender, deque()).append((turn, min(expected_s, SLICE_S)))
        self._schedule()
        await turn
        while self._worked_s >= SLICE_S:  # others worked for longer than they expected
            turn = asyncio.get_running_loop().create_future()
            self._postponed.append(turn)
            self._schedule()
            await turn

    def worked(self, seconds: float) -> None:
        """Record the time that was worked."""
        self._worked_s += seconds
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Give the next senders their turns, as many as fit into this turn of the event loop."""
        self._scheduled = False
        self._worked_s = begun_s = 0.0
        if self._postponed:
            turn = self._postponed.popleft()
            if not turn.done():
                turn.set_result(None)
                begun_s = SLICE_S
        for sender in list(self._lanes):  # each once, however little it expects to work
            if begun_s >= SLICE_S:
                break
            lane = self._lanes.pop(sender)
            turn, expected_s = lane.popleft()
            if lane:
                self._lanes[sender] = lane
            if not turn.done():  # it is if its request was cancelled
                turn.set_result(None)
                begun_s += expected_s
        if self._lanes or self._postponed:
            self._schedule()


class Work:
    """The work of one request, which pauses when its slice is over. Entering it waits for its first turn."""

    __slots__ = ("_expected_s", "_sender", "_since", "_time_s", "_turns")

    def __init__(self, turns: Turns, sender: Hashable, expected_s: float) -> None:
        self._turns = turns
        self._time_s = turns.time_s
        self._sender = sender
        self._expected_s = expected_s
        self._since = 0.0

    async def __aenter__(self) -> Self:
        if not self._turns.free:
            await self._turns.wait(self._sender, self._expected_s)
        self._since = self._time_s()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._turns.worked(self._time_s() - self._since)

    async def run(self, steps: Generator[None, None, T]) -> T:
        """Run the steps of a generator, pausing between them when the slice is over; return its value."""
        while True:
            try:
                next(steps)
            except StopIteration as end:
                value: T = end.value
                return value
            if self._time_s() - self._since >= SLICE_S:
                await self._pause()

    async def _pause(self) -> None:
        self._turns.worked(self._time_s() - self._since)
        try:
            await self._turns.wait(self._sender, SLICE_S)
        finally:
            self._since = self._time_s()


async def in_slices(steps: Generator[None, None, T], *, clock: Clock = SYSTEM_CLOCK) -> T:
    """Take steps for SLICE_S at a time, and let other work have as much time in between; return their value.

    A publication takes several iterations of the event loop to reach the readers; without the pauses, each iteration
    would wait for a slice.
    """
    time_s = clock.monotonic
    while True:
        until = time_s() + SLICE_S
        while time_s() < until:
            try:
                next(steps)
            except StopIteration as end:
                value: T = end.value
                return value
        await asyncio.sleep(SLICE_S)
