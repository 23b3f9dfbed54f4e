"""Numbered lines (of publications, or of holds): the newest from memory, older ones from whole ranges of the record.

Ranges are read one at a time and cached, so that readers put no load on the database that the senders need.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable

from gateway.errors import JournalUnavailable

RANGE_SIZE = 1000
"""Lines per range: 1-1000, 1001-2000 ..."""
TAIL_MAX = 3 * RANGE_SIZE
"""Newest lines kept, of about 0.7 kB each."""
RANGES_MAX = 24
"""Older ranges cached."""
BYTES_MAX = 32 << 20
"""Bytes above which fewer of the newest lines are kept, and likewise fewer ranges, but RANGE_SIZE lines of each in any
case. Lines of the usual size never take so much; a report may have 64 KiB."""

ReadLines = Callable[[int, int], Awaitable[list[bytes]]]
"""(after, most) -> lines in order."""


class Archive:
    """All lines up to the last one added. Invariant: the tail is an unbroken run that ends with it."""

    def __init__(self, read: ReadLines) -> None:
        self._read = read
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._last = 0
        self._ranges: OrderedDict[int, list[bytes]] = OrderedDict()
        self._ranges_bytes = 0
        self._one_at_a_time = asyncio.Lock()

    def append(self, number: int, line: bytes) -> None:
        """Add a line: the next one, or a later one if many are applied at once."""
        if number != self._last + 1:
            self._tail.clear()
            self._tail_bytes = 0
        self._tail.append(line)
        self._tail_bytes += len(line)
        self._last = number
        while len(self._tail) > (TAIL_MAX if self._tail_bytes <= BYTES_MAX else RANGE_SIZE):
            self._tail_bytes -= len(self._tail.popleft())

    def in_memory(self, first: int) -> bool:
        """Whether a line and its range are in memory; also True for one that is not added yet."""
        return first > self._last - len(self._tail) or (first - 1) // RANGE_SIZE in self._ranges

    def forget(self) -> None:
        """Drop the older ranges; they are read again when they are needed."""
        self._ranges.clear()
        self._ranges_bytes = 0

    async def lines(self, first: int, last: int) -> list[bytes]:
        """Return the lines `first` to `last`, fewer if fewer are added.

        Raises the errors of reading an older range, and JournalUnavailable if that range is incomplete because a
        replica lags behind or was restored.
        """
        last = min(last, self._last)
        found: list[bytes] = []
        while first <= last:
            oldest = self._last - len(self._tail) + 1
            if first >= oldest:
                found += [self._tail[place] for place in range(first - oldest, last - oldest + 1)]
                break
            number = (first - 1) // RANGE_SIZE
            whole = await self._range(number)
            part = whole[first - 1 - number * RANGE_SIZE : last - number * RANGE_SIZE]
            found += part
            first += len(part)
            if not part:
                break
        return found

    async def _range(self, number: int) -> list[bytes]:
        if number not in self._ranges:
            async with self._one_at_a_time:
                if number not in self._ranges:
                    read = await self._read(number * RANGE_SIZE, RANGE_SIZE)
                    if len(read) < RANGE_SIZE:
                        raise JournalUnavailable(
                            f"the range after {number * RANGE_SIZE} has only {len(read)} lines"
                        )
                    self._ranges[number] = read
                    self._ranges_bytes += sum(map(len, read))
                    while len(self._ranges) > RANGES_MAX or (
                        self._ranges_bytes > BYTES_MAX and len(self._ranges) > 1
                    ):
                        _, dropped = self._ranges.popitem(last=False)
                        self._ranges_bytes -= sum(map(len, dropped))
        self._ranges.move_to_end(number)
        return self._ranges[number]
