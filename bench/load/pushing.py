"""A generator of reports, which runs in a separate process: see `bench.load.pusher`."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from bench.load.processes import end
from bench.load.pusher import Order, Pushed

PROCESS = (sys.executable, "-m", "bench.load.pusher")
READY_S = 60.0
Go = Callable[[], Awaitable[Pushed]]


@asynccontextmanager
async def pushing(order: Order) -> AsyncIterator[Go]:
    """Start a generator and wait until it is ready; the yielded function starts the load and returns its result."""
    process = await asyncio.create_subprocess_exec(*PROCESS, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    lines_in, lines_out = process.stdin, process.stdout

    async def read_line(most_s: float) -> bytes:
        line = await asyncio.wait_for(lines_out.readline(), most_s)
        if not line:
            raise RuntimeError("the generator ended without a result")
        return line

    async def go() -> Pushed:
        lines_in.write(b"go\n")
        return msgspec.json.decode(await read_line(order.limit_s + 10), type=Pushed)

    try:
        lines_in.write(msgspec.json.encode(order) + b"\n")
        await read_line(READY_S)
        yield go
    finally:
        await end(process)
