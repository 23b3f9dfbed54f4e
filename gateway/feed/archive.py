"""Every publication in order, as lines: the newest from memory, older ones as whole ranges, read one at a time.

So no crowd of readers loads the database that the senders need: a range is read once, whoever asks, and kept.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable

from gateway.election.record import Publication
from gateway.errors import JournalUnavailable
from gateway.wire.events import publication_line

RANGE = 1000
"""Publications in a range: 1-1000, 1001-2000 ..."""
TAIL_MAX = 3 * RANGE
"""Newest publications kept as lines, about 0.7 kB each."""
RANGES_MAX = 24
"""Older ranges kept."""

ReadPublications = Callable[[int, int], Awaitable[list[Publication]]]
"""(after, most) -> publications in order."""


class Archive:
    """The record as lines. Invariant: the tail holds an unbroken run that ends with the last publication applied."""

    def __init__(self, read: ReadPublications) -> None:
        self._read = read
        self._tail: deque[bytes] = deque(maxlen=TAIL_MAX)
        self._last = 0
        self._ranges: OrderedDict[int, list[bytes]] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()

    def append(self, publication: Publication) -> None:
        """Add a publication that was applied: the next one, or where many are applied at once, a later one."""
        if publication.sequence != self._last + 1:
            self._tail.clear()
        self._tail.append(publication_line(publication))
        self._last = publication.sequence

    def kept(self, first: int) -> bool:
        """Whether a publication is in memory, and with it the others of its range; one that is not applied yet is."""
        return first > self._last - len(self._tail) or (first - 1) // RANGE in self._ranges

    async def lines(self, first: int, last: int) -> list[bytes]:
        """Return the publications `first` to `last`, fewer where fewer are applied, a JSON line each.

        Raises what the reading of an older range raises, and JournalUnavailable where that range is not whole: from
        a replica that is behind, or was restored.
        """
        last = min(last, self._last)
        found: list[bytes] = []
        while first <= last:
            oldest = self._last - len(self._tail) + 1
            if first >= oldest:
                found += [self._tail[place] for place in range(first - oldest, last - oldest + 1)]
                break
            number = (first - 1) // RANGE
            whole = await self._range(number)
            part = whole[first - 1 - number * RANGE : last - number * RANGE]
            found += part
            first += len(part)
            if not part:
                break
        return found

    async def _range(self, number: int) -> list[bytes]:
        if number not in self._ranges:
            async with self._one_at_a_time:
                if number not in self._ranges:
                    read = await self._read(number * RANGE, RANGE)
                    if len(read) < RANGE:
                        raise JournalUnavailable(
                            f"{len(read)} publications after {number * RANGE}: not all there"
                        )
                    self._ranges[number] = [publication_line(publication) for publication in read]
                    while len(self._ranges) > RANGES_MAX:
                        self._ranges.popitem(last=False)
        self._ranges.move_to_end(number)
        return self._ranges[number]
