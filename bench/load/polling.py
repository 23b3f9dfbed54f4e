"""Readers that poll a mirror, which run in a separate process: see `bench.load.polling_process`."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from bench.load.polling_messages import Place, PollCommand, Polled
from bench.load.processes import end

PROCESS = (sys.executable, "-m", "bench.load.polling_process")
LINE_MAX = 64 << 20
GRACE_S = 30.0
"""How long an answer may take beyond the time limit of its command, in s."""


class Polling:
    """The readers of one process, controlled from here: one command at a time."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._lock = asyncio.Lock()

    async def connect(
        self, place: Place, count: int, *, over_s: float = 0.0, limit_s: float = 60.0
    ) -> Polled:
        """Add readers, evenly over an interval; return when each has a state, or the limit is over."""
        return await self._ask(PollCommand("connect", place, count, over_s, limit_s))

    async def mark(self) -> Polled:
        """Start counting."""
        return await self._ask(PollCommand("mark"))

    async def look(self, sequence: int = -1, limit_s: float = 60.0) -> Polled:
        """Return what was seen since the mark, with a sequence once all readers have it or the limit is over."""
        return await self._ask(PollCommand("look", sequence=sequence, limit_s=limit_s))

    async def stop(self) -> Polled:
        """Disconnect all readers, and return every state that they had."""
        return await self._ask(PollCommand("stop"))

    async def _ask(self, command: PollCommand) -> Polled:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._lock, asyncio.timeout(command.over_s + command.limit_s + GRACE_S):
            self._process.stdin.write(msgspec.json.encode(command) + b"\n")
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process of the readers ended without an answer")
        return msgspec.json.decode(line, type=Polled)


@asynccontextmanager
async def polling() -> AsyncIterator[Polling]:
    """Start a process of readers, which has none yet."""
    process = await asyncio.create_subprocess_exec(*PROCESS, stdin=PIPE, stdout=PIPE, limit=LINE_MAX)
    try:
        yield Polling(process)
    finally:
        await end(process)
