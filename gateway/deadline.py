"""Waits with a limit: a deadline that counts only time in which the event loop ran, and a wait for an event.

`asyncio.timeout` compares clock times. If the loop was busy for longer than the timeout, it expires although the answer
has already arrived, and a healthy Postgres or client appears unavailable. In a `Deadline`, a tick counts for its
planned length, however late it runs, so it expires only after the loop has had many iterations to process what arrived.
"""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

TICK_S = 0.25
"""Longest interval between ticks, and so the most that one stall of the loop counts, in seconds."""
TICKS_MIN = 20
"""Ticks per deadline, however short, and so the minimum number of loop iterations before it expires. Opening a
connection to Postgres takes about half as many."""


async def wait_at_most(event: asyncio.Event, timeout_s: float) -> None:
    """Wait until an event is set, or until `timeout_s` seconds of clock time have passed."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


class Deadline:
    """Bound a block of code to `seconds` of loop time: `async with Deadline(5.0): ...`

    Cancels the block and raises TimeoutError in its place, as `asyncio.timeout` does; its message is `what` within the
    time given. Cancellation from elsewhere passes through. Not reusable.
    """

    __slots__ = ("_limit_s", "_loop", "_remaining_s", "_tick_s", "_timeout", "_timer", "_what")

    def __init__(self, seconds: float, what: str = "no answer") -> None:
        self._what = what
        self._limit_s = self._remaining_s = seconds
        self._tick_s = min(TICK_S, seconds / TICKS_MIN)
        self._timeout = asyncio.timeout(None)
        self._timer: asyncio.Handle | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await self._timeout.__aenter__()
        self._schedule()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._timeout.__aexit__(kind, error, traceback)  # raises TimeoutError if it has expired
        except TimeoutError as expired:
            expired.args = (f"{self._what} within {self._limit_s:g} s",)
            raise

    def extend(self, seconds: float) -> None:
        """Extend the deadline by some seconds of loop time."""
        self._limit_s += seconds
        self._remaining_s += seconds

    def _schedule(self) -> None:
        self._timer = self._loop.call_later(self._tick_s, self._wake)

    def _wake(self) -> None:
        self._timer = self._loop.call_soon(self._tick)  # sockets are polled between this and the next timer

    def _tick(self) -> None:
        self._remaining_s -= self._tick_s
        if self._remaining_s > 0:
            self._schedule()
        else:
            self._timer = None
            self._timeout.reschedule(
                self._loop.time()
            )  # in the next iteration, after what has arrived by now
