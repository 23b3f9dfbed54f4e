"""The ceiling of fan-out as a hub: `socket.send` in a loop."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.load.crowd import crowd, readers
from bench.load.hub import Hub
from bench.load.processes import end, pss_kb

LOOP = (sys.executable, "-m", "bench.peers.loop_sender")


@asynccontextmanager
async def loop_of_sends(count: int, size: int, certificate: Path | None = None) -> AsyncIterator[Hub]:
    """Run a loop of `socket.send`, with all its readers connected; under TLS with a certificate."""
    command = [*LOOP, str(size), *([str(certificate)] if certificate is not None else [])]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    to, of = process.stdin, process.stdout
    number, taken_s = 0, 0.0

    async def ask(words: str) -> float:
        to.write(f"{words}\n".encode())
        return float(await asyncio.wait_for(of.readline(), 60.0))

    async def publish() -> int:
        nonlocal number, taken_s
        number += 1
        taken_s = await ask("send")
        return number

    try:
        port = int(await asyncio.wait_for(of.readline(), 20.0))
        async with crowd(
            readers("127.0.0.1", port, "/", marker='data: {"sequence":', certificate=str(certificate or ""))
        ) as audience:
            accepting = asyncio.create_task(ask(f"accept {count}"))
            await audience.connect(count)
            taken_s = await accepting
            yield Hub(
                "`socket.send` in a loop", audience, publish, lambda: taken_s, lambda: pss_kb(process.pid)
            )
    finally:
        await end(process)
