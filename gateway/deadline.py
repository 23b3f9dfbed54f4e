"""A deadline that counts only time in which the event loop ran.

`asyncio.timeout` compares times of the clock. A loop that was busy for longer than the timeout then finds it expired,
although what was waited for arrived meanwhile, and a healthy Postgres or client looks as if it were away. Here a tick
counts for its planned length, however late it runs, so a deadline expires only after the loop has had many turns in
which to process what arrived.
"""

import asyncio
from types import TracebackType
from typing import Self

TICK_S = 0.25
"""Longest time between two ticks: the most that one stall of the loop counts."""
TICKS_MIN = 20
"""Ticks of a deadline, however short, and so the turns that the loop has at least before it expires. Opening a
connection to Postgres takes about half as many."""


class Deadline:
    """Bound a block of code to `seconds` of loop time: `async with Deadline(5.0): ...`

    Cancels the block and raises TimeoutError in its place, as `asyncio.timeout` does. Cancellation from elsewhere
    passes through. Not reusable.
    """

    __slots__ = ("_left_s", "_loop", "_tick_s", "_timeout", "_timer")

    def __init__(self, seconds: float) -> None:
        self._left_s = seconds
        self._tick_s = min(TICK_S, seconds / TICKS_MIN)
        self._timeout = asyncio.timeout(None)
        self._timer: asyncio.Handle | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await self._timeout.__aenter__()
        self._wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, error, traceback)  # raises TimeoutError where it has expired

    def extend(self, seconds: float) -> None:
        """Add to the time that is left."""
        self._left_s += seconds

    def _wait(self) -> None:
        self._timer = self._loop.call_later(self._tick_s, self._wake)

    def _wake(self) -> None:
        self._timer = self._loop.call_soon(self._tick)  # sockets are polled between this and the next timer

    def _tick(self) -> None:
        self._left_s -= self._tick_s
        if self._left_s > 0:
            self._wait()
        else:
            self._timer = None
            self._timeout.reschedule(self._loop.time())  # in the next turn, after what has arrived by now
