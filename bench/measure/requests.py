"""HTTP: one report a request over 64 connections, beside a bare aiohttp handler loaded by the same client."""

import asyncio
import time
from collections.abc import Sequence

import orjson

from bench.local import election, gateway
from bench.measure.ceilings import bare_handler
from bench.measure.table import Row
from gateway.client.rehearsal import rehearse
from gateway.client.schedule import as_fast_as_possible

CONNECTIONS = 64


async def load(
    url: str, path: str, requests: Sequence[tuple[str, Sequence[bytes]]]
) -> tuple[float, list[int]]:
    """Send requests over CONNECTIONS connections, one at a time on each; return requests a second and statuses."""
    host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
    waiting = list(requests)[::-1]
    statuses: list[int] = []

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while waiting:
            token, bodies = waiting.pop()
            for body in bodies:
                head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
                head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                answer = await reader.readuntil(b"\r\n\r\n")
                statuses.append(int(answer[9:12]))
                length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                await reader.readexactly(length)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return len(statuses) / (time.perf_counter() - started), statuses


async def measure() -> list[Row]:
    async with election() as dataset, gateway() as local, bare_handler() as bare_url:
        rehearsal = await rehearse(
            dataset,
            lambda times, _: as_fast_as_possible(times, -60.0),
            database_url=local.database_url,
            push_url=local.push_url,
            feed_url=local.feed_url,
            author="bench",
        )
        requests = [
            (rehearsal.tokens[municipality], [sending.body for sending in sendings])
            for municipality, sendings in rehearsal.replay.senders.items()
        ]
        ceiling, _ = await load(bare_url, "/", requests)
        rate, statuses = await load(local.push_url, f"/v1/elections/{rehearsal.election}/reports", requests)
        assert set(statuses) == {201}, "every report has to be accepted"
        assert orjson.loads(requests[0][1][0])
    told = f"{rate:,.0f} requests/s".replace(",", " ")
    beside = f"bare handler {ceiling:,.0f}/s ({100 * rate / ceiling:.0f} %)".replace(",", " ")
    return [Row(f"HTTP, one report a request, durable, {CONNECTIONS} connections", told, "", beside)]
