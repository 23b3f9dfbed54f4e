"""Load generators, each in a separate process: it reads an order, writes `ready`, and obeys words until its result."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec

from bench.load.processes import end

READY_S = 60.0
T = TypeVar("T")


class Generator:
    """A generator that is ready."""

    def __init__(self, lines_in: asyncio.StreamWriter, lines_out: asyncio.StreamReader) -> None:
        self._in = lines_in
        self._out = lines_out

    def tell(self, word: str) -> None:
        """Send it a word, such as `go`."""
        self._in.write(f"{word}\n".encode())

    async def result(self, kind: type[T], most_s: float) -> T:
        """Wait for its result. Raises RuntimeError if it ends without one, and TimeoutError."""
        return msgspec.json.decode(await self.line(most_s), type=kind)

    async def line(self, most_s: float) -> bytes:
        """Wait for a line. Raises like `result`."""
        line = await asyncio.wait_for(self._out.readline(), most_s)
        if not line:
            raise RuntimeError("the generator ended without a result")
        return line


@asynccontextmanager
async def generator(module: str, order: msgspec.Struct) -> AsyncIterator[Generator]:
    """Start a module as a generator and wait until it is ready; end it with the block."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    started = Generator(process.stdin, process.stdout)
    try:
        process.stdin.write(msgspec.json.encode(order) + b"\n")
        await started.line(READY_S)
        yield started
    finally:
        await end(process)
