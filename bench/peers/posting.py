"""Changes for a peer: events of a fixed size, published by POST."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

CHANGE_BYTES = 400
"""What one change is on the wire of a peer; ours has the size that it has."""


def event(number: int, size: int) -> bytes:
    """Return an event of a size in bytes."""
    text = b'data: {"sequence":%d,"published_at":%.6f,"counts":"' % (number, time.time())
    return text + b"0" * (size - len(text) - 4) + b'"}\n\n'


@asynccontextmanager
async def posting(port: int, path: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Publish by POST over one connection, in order, without waiting for answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0

    async def publish() -> int:
        nonlocal number
        number += 1
        body = event(number, CHANGE_BYTES)[len(b"data: ") : -2]
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return number

    async def throw_away() -> None:
        while await reader.read(1 << 16):
            pass

    hearing = asyncio.create_task(throw_away())
    try:
        yield publish
    finally:
        hearing.cancel()
        writer.close()
