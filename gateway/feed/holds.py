"""The public list of holds in one feed process: its lines, and which units are held now."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from itertools import count

import structlog

from gateway.election.hold_list import BEGINNING, HoldLine, next_hold_chain
from gateway.election.record import CHAIN_START, Head
from gateway.election.state import HistoryChanged
from gateway.errors import JournalUnavailable
from gateway.feed.archive import Archive
from gateway.wire.events import hold_line

log = structlog.get_logger()

PAGE_MAX = 1000
"""Maximum number of lines per read of the list."""
BEHIND_MAX_S = 30.0
"""How long, in seconds, a replica may lack lines that this process has read, before its list is treated as another."""

ReadHoldLines = Callable[[int, int], Awaitable[Sequence[HoldLine]]]
"""(after, most) -> lines in order."""

_generations = count(1)


class HoldList:
    """The list of holds of one election, up to the last line that was added, in a bounded number of bytes."""

    def __init__(self, units: Collection[str], read: ReadHoldLines) -> None:
        self._units = units
        self._read = read
        self.generation = next(_generations)
        """Different for every such object."""
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


class HoldsFollower:
    """Reads the list of holds of one election up to each head, apart from the record, which waits for none of it."""

    def __init__(self, election: str, on_change: Callable[[], None]) -> None:
        """`on_change` is called when lines were added."""
        self.holds: HoldList
        self._election = election
        self._on_change = on_change
        self._head: Head | None = None
        self._requested = asyncio.Event()
        self._behind_since: float | None = None

    def start(self, units: Collection[str], read: ReadHoldLines) -> None:
        """Start with an empty list, which is read again."""
        self._units, self._read = units, read
        self.holds = HoldList(units, read)
        self._requested.set()

    def update_head(self, head: Head) -> None:
        """Set the head up to which lines are read. Nothing is read unless the list has changed."""
        self._head = head
        if head.hold_lines != self.holds.number or head.hold_chain != self.holds.chain:
            self._requested.set()

    async def run(self) -> None:
        """Follow the list until cancelled."""
        while True:
            await self._requested.wait()
            self._requested.clear()
            try:
                if self._head is not None:
                    await self._follow(self._head, self.holds)
            except HistoryChanged as error:
                log.error(
                    "the list of holds is a different one; read again",
                    election=self._election,
                    reason=str(error),
                )
                self.start(self._units, self._read)
            except JournalUnavailable as error:
                log.warning("list of holds not read", election=self._election, error=str(error))
                await asyncio.sleep(0.5)
                self._requested.set()

    async def _follow(self, head: Head, holds: HoldList) -> None:
        """Read the list up to a head. Raises HistoryChanged, JournalUnavailable."""
        if head.hold_lines == holds.number and head.hold_chain != holds.chain:
            raise HistoryChanged(f"different chain at line {holds.number}")
        self._require_same(head)
        while holds.number < head.hold_lines:
            lines = await holds.read_next(head.hold_lines)
            if self.holds is not holds:
                return  # started again meanwhile
            if not lines:
                raise JournalUnavailable(f"no lines after {holds.number}, the list has {head.hold_lines}")
            holds.add(lines)
        self._on_change()

    def _require_same(self, head: Head) -> None:
        """Raise HistoryChanged if the list lacks lines that were read, for longer than a replica may lag.

        After a failover, the new primary has them, but may not have their confirmation yet.
        """
        now = asyncio.get_running_loop().time()
        if head.hold_lines >= self.holds.number:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = now
        elif now - self._behind_since > BEHIND_MAX_S:
            raise HistoryChanged(
                f"the list ends at {head.hold_lines}, but {self.holds.number} lines were read"
            )
