"""Memory: a feed process with the whole election at all levels, and each idle reader more."""

import asyncio
import socket

from bench.local import election, gateway
from bench.measure.ceilings import sends_s
from bench.measure.night import push_all
from bench.measure.table import Row

READERS = 2000
LEVELS = "country,county,municipality,precinct"


def connect(feed_url: str, election_id: str, query: str) -> socket.socket:
    host, _, port = feed_url.removeprefix("http://").partition(":")
    sock = socket.create_connection((host, int(port)))
    request = f"GET /v1/elections/{election_id}/feed?{query} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: gzip\r\n\r\n"
    sock.sendall(request.encode())
    sock.setblocking(False)
    return sock


async def drain(sock: socket.socket, quiet_s: float = 1.0) -> int:
    """Read until nothing comes for a while; return the bytes."""
    loop, size = asyncio.get_running_loop(), 0
    try:
        while True:
            async with asyncio.timeout(quiet_s):
                piece = await loop.sock_recv(sock, 1 << 16)
            if not piece:
                raise RuntimeError("a reader was cut off")
            size += len(piece)
    except TimeoutError:
        return size


async def measure() -> list[Row]:
    async with election() as dataset, gateway() as local:
        summary, _ = await push_all(local, dataset, ("websocket",), 1)
        whole = connect(local.feed_url, summary.election, f"levels={LEVELS}")
        await drain(whole)
        memory = (await local.memory_kb())["feed-0"]
        rows = [Row("feed process, whole election at all levels", f"{memory / 1024:.0f} MB", "< 200 MB")]
        warm = [connect(local.feed_url, summary.election, "") for _ in range(100)]
        await asyncio.gather(*(drain(sock) for sock in warm))
        before = (await local.memory_kb())["feed-0"]
        idle = []
        for _ in range(READERS // 100):
            part = [connect(local.feed_url, summary.election, "") for _ in range(100)]
            await asyncio.gather(*(drain(sock, 0.2) for sock in part))
            idle += part
        after = (await local.memory_kb())["feed-0"]
        each = (after - before) / len(idle)
        rows.append(Row(f"idle reader, of {READERS}", f"{each:.1f} kB resident", "≤ 12 kB"))
        for sock in (whole, *warm, *idle):
            sock.close()
    rows.append(
        Row("`socket.send` in a loop", f"{sends_s():,.0f} sends/s".replace(",", " "), "", "is itself one")
    )
    return rows
