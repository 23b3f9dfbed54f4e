"""Waits for a place in the record: many at once, each with an end of its own.

Entering, giving up and being reached cost no more than the logarithm of how many wait, and those who are reached are
woken in slices, so that the event loop serves everyone else between two of them.
"""

import asyncio
import heapq
from collections import deque

SLICE = 100
"""Waits woken in one turn of the event loop: what each does next takes some tenths of a millisecond."""
STALE_MIN = 64
"""Sequences that nobody waits for any more which the heap may hold in any case."""


class Waits:
    """Who waits for which sequence. Invariant: the heap holds every sequence waited for, and at most as many others
    (and STALE_MIN).
    """

    def __init__(self) -> None:
        self._at: dict[int, dict[asyncio.Future[None], None]] = {}
        self._sequences: list[int] = []
        self._due: deque[asyncio.Future[None]] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    async def wait(self, sequence: int, timeout_s: float) -> None:
        """Wait until `sequence` is reached, for at most `timeout_s` seconds."""
        loop = asyncio.get_running_loop()
        reached: asyncio.Future[None] = loop.create_future()
        self._enter(sequence, reached)
        timer = loop.call_later(timeout_s, _wake, reached)
        try:
            await reached
        finally:
            timer.cancel()
            self._leave(sequence, reached)

    def reached(self, sequence: int) -> None:
        """Wake everyone who waits for this sequence or an earlier one."""
        while self._sequences and self._sequences[0] <= sequence:
            for future in self._at.pop(heapq.heappop(self._sequences), ()):
                self._due.append(future)
        self._wake_slice()

    def release(self) -> None:
        """Wake everyone: there is nothing to wait for any more."""
        for futures in self._at.values():
            self._due.extend(futures)
        self._at.clear()
        self._sequences.clear()
        self._wake_slice()

    def _wake_slice(self) -> None:
        for _ in range(min(SLICE, len(self._due))):
            _wake(self._due.popleft())
        if self._due:
            asyncio.get_running_loop().call_soon(self._wake_slice)

    def _enter(self, sequence: int, future: asyncio.Future[None]) -> None:
        self._count += 1
        if sequence not in self._at:
            self._at[sequence] = {}
            heapq.heappush(self._sequences, sequence)
        self._at[sequence][future] = None

    def _leave(self, sequence: int, future: asyncio.Future[None]) -> None:
        self._count -= 1
        futures = self._at.get(sequence)
        if futures is None or futures.pop(future, future) is not None:
            return  # it was reached
        if not futures:
            del self._at[sequence]
            if len(self._sequences) > 2 * len(self._at) + STALE_MIN:
                self._sequences = sorted(self._at)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
