"""A generator of reports in its own process, see `bench.load.pusher`: started, released and read."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from bench.load.processes import end
from bench.load.pusher import Order, Told

PUSHER = (sys.executable, "-m", "bench.load.pusher")
READY_S = 60.0
_Go = Callable[[], Awaitable[Told]]


@asynccontextmanager
async def pushing(order: Order) -> AsyncIterator[_Go]:
    """Have a generator ready; call what is given to let it go and hear what it saw."""
    process = await asyncio.create_subprocess_exec(*PUSHER, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    lines_in, lines_out = process.stdin, process.stdout

    async def said(most_s: float) -> bytes:
        line = await asyncio.wait_for(lines_out.readline(), most_s)
        if not line:
            raise RuntimeError("the generator ended without a word")
        return line

    async def go() -> Told:
        lines_in.write(b"go\n")
        return msgspec.json.decode(await said(order.limit_s + 10), type=Told)

    try:
        lines_in.write(msgspec.json.encode(order) + b"\n")
        await said(READY_S)
        yield go
    finally:
        await end(process)
