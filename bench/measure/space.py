"""Space: bytes of a database's log and of its disk that a report takes, and what a feed process needs to hold it."""

import asyncpg

from bench.figures import Result, Row
from bench.load.local import Local, gateway, resident_kb
from bench.measure.filled import fill
from bench.measure.load import made
from bench.measure.options import Options

WARMING = 0.01
"""Of the first election, before anything is looked at: a page is logged whole where it is first written after a
checkpoint."""

_SIZE = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('valgnatt.report')"
"""Bytes of all reports, in each election's own table, with their indexes."""


async def measure(options: Options) -> Result:
    """Fill journals of two sizes, and let a feed process read each."""
    found = Result("space")
    memory: list[tuple[int, float]] = []
    for scale in options.scales[:2]:
        election = made(scale)
        bodies = election.bodies()
        async with gateway(role="push") as home:
            await fill(home, election.registry, bodies[: max(1, int(WARMING * len(bodies)))])
            before = await _taken(home)
            await fill(home, election.registry, bodies)
            log, disk = (after - first for after, first in zip(await _taken(home), before, strict=True))
            async with gateway(
                role="feed", database_url=home.database_url, feed_database_url=home.feed_database_url
            ) as feed:
                memory.append((len(bodies), resident_kb((await feed.pids())["feed-0"]) / 1024))
        size = sum(map(len, bodies)) / len(bodies)
        what = f"election × {scale:g}, {len(bodies)} reports of {size:.0f} bytes"
        found.rows += [
            Row.single(f"{what}: write-ahead log", log / len(bodies), "bytes a report"),
            Row.single(f"{what}: table and indexes", disk / len(bodies), "bytes a report"),
            Row.single(f"{what}: a feed process that has read it", memory[-1][1], "MB"),
        ]
    return found


async def _taken(local: Local) -> tuple[int, int]:
    """Return how many bytes of log were written so far, and how many the reports take with all their indexes."""
    connection = await asyncpg.connect(local.database_url)
    try:
        return (
            int(await connection.fetchval("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")),
            int(await connection.fetchval(_SIZE)),
        )
    finally:
        await connection.close()
