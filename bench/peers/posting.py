"""Changes for a peer: events of a fixed size, published by POST."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

CHANGE_BYTES = 400
"""Size of a change on the wire of a peer; the size of ours follows from the format."""


def event(number: int, size: int) -> bytes:
    """Return an event of `size` bytes."""
    text = b'data: {"sequence":%d,"published_at":%.6f,"counts":"' % (number, time.time())
    return text + b"0" * (size - len(text) - 4) + b'"}\n\n'


@asynccontextmanager
async def posting(port: int, path: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Publish by POST over one connection, in order, without waiting for responses."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0

    async def publish() -> int:
        nonlocal number
        number += 1
        body = event(number, CHANGE_BYTES)[len(b"data: ") : -2]
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return number

    async def discard() -> None:
        while await reader.read(1 << 16):
            pass

    discarding = asyncio.create_task(discard())
    try:
        yield publish
    finally:
        discarding.cancel()
        writer.close()
