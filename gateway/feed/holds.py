"""The public list of holds in one feed process: its lines, and which units are held now."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime

from gateway.election.hold_list import BEGINNING, HoldLine, next_hold_chain
from gateway.election.record import CHAIN_START
from gateway.election.state import HistoryChanged
from gateway.feed.archive import Archive
from gateway.wire.events import hold_line

PAGE_MAX = 1000
"""Maximum number of lines per read of the list."""


class HoldList:
    """The list of holds of one election, up to the last line that was added. It takes one entry per held unit."""

    def __init__(
        self, units: Collection[str], read: Callable[[int, int], Awaitable[Sequence[HoldLine]]]
    ) -> None:
        """`read` returns lines after a number, at most so many."""
        self._units = units
        self._read = read
        self.number = 0
        """Of the last line."""
        self.chain = CHAIN_START
        """Through the last line."""
        self.held: dict[str, datetime] = {}
        """The held units, and since when each has been held."""
        self.archive = Archive(self._lines)

    async def _lines(self, after: int, most: int) -> list[bytes]:
        return [hold_line(each.line, each.chain) for each in await self._read(after, most)]

    async def read_next(self, last: int) -> Sequence[HoldLine]:
        """Read the next lines, up to the `last` one. Raises JournalUnavailable."""
        return await self._read(self.number, min(PAGE_MAX, last - self.number))

    def add(self, lines: Sequence[HoldLine]) -> None:
        """Add the lines that follow. Raises HistoryChanged if they continue another list."""
        for each in lines:
            if each.number != self.number + 1 or each.chain != next_hold_chain(self.chain, each.line):
                raise HistoryChanged(
                    f"line {each.number} does not continue the list of holds at {self.number}"
                )
            self.number, self.chain = each.number, each.chain
            if each.state != BEGINNING:
                self.held.pop(each.unit, None)
            elif each.unit in self._units:
                self.held[each.unit] = each.since
            self.archive.append(each.number, hold_line(each.line, each.chain))
