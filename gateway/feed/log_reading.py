"""How a feed reads the logs of the record."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from gateway.election.log_record import Cosignature, LogHead, SignedCheckpoint


class LogReader(Protocol):
    """The logs in the record, as read by a feed. Every method may raise JournalUnavailable."""

    async def heads(self) -> Sequence[LogHead]:
        """Return every history of every opened election."""

    async def checkpoints(
        self, election: int, history: int, after: int, most: int
    ) -> Sequence[SignedCheckpoint]:
        """Return up to `most` checkpoints larger than a size, in order."""

    async def cosignatures(
        self, election: int, history: int, after: int, until: int
    ) -> Sequence[Cosignature]:
        """Return the cosignatures of the checkpoints of sizes (after, until]."""


class OneAtATime:
    """Reads the logs of all elections with one read at a time, so that other reads always find a connection."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._reading = asyncio.Lock()

    async def heads(self) -> Sequence[LogHead]:
        """See LogReader."""
        async with self._reading:
            return await self._reader.heads()

    async def checkpoints(
        self, election: int, history: int, after: int, most: int
    ) -> Sequence[SignedCheckpoint]:
        """See LogReader."""
        async with self._reading:
            return await self._reader.checkpoints(election, history, after, most)

    async def cosignatures(
        self, election: int, history: int, after: int, until: int
    ) -> Sequence[Cosignature]:
        """See LogReader."""
        async with self._reading:
            return await self._reader.cosignatures(election, history, after, until)
