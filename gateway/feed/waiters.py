"""Requests that wait for a sequence of the record, each with its own timeout.

Adding, cancelling and waking a waiter cost at most the logarithm of the number of waiters. Waiters are woken in slices,
so that the event loop can do other work in between.
"""

import asyncio
import heapq
from collections import deque

WAKE_SLICE = 100
"""Waiters woken per iteration of the event loop; each then runs for some tenths of a millisecond."""
STALE_MAX = 64
"""Sequences without waiters that the heap may always contain."""


class SequenceWaiters:
    """Waiters by sequence.

    Invariant: the heap contains every sequence that has waiters, and at most that many others plus STALE_MAX.
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

    def wake_up_to(self, sequence: int) -> None:
        """Wake all waiters for this sequence or an earlier one."""
        while self._sequences and self._sequences[0] <= sequence:
            for future in self._at.pop(heapq.heappop(self._sequences), ()):
                self._due.append(future)
        self._wake_slice()

    def wake_all(self) -> None:
        """Wake all waiters, whatever sequence they wait for."""
        for futures in self._at.values():
            self._due.extend(futures)
        self._at.clear()
        self._sequences.clear()
        self._wake_slice()

    def _wake_slice(self) -> None:
        for _ in range(min(WAKE_SLICE, len(self._due))):
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
            return  # it was woken
        if not futures:
            del self._at[sequence]
            if len(self._sequences) > 2 * len(self._at) + STALE_MAX:
                self._sequences = sorted(self._at)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
