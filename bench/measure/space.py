"""Space: bytes of write-ahead log and of tables per report, and memory of a feed process that has read them."""

import asyncpg

from bench.figures import Result, Row
from bench.load.local import Local, gateway
from bench.load.processes import resident_kb
from bench.measure.filled import fill
from bench.measure.load import generated
from bench.measure.options import Options

WARMING = 0.01
"""Part of the election that is appended before measuring: Postgres logs a page as a whole when it is first changed
after a checkpoint."""

_SIZE = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('valgnatt.report')"
"""Bytes of the reports of all elections, with their indexes."""


async def measure(options: Options) -> Result:
    """Fill journals of two sizes, and start a feed process for each."""
    result = Result("space")
    memory: list[tuple[int, float]] = []
    for scale in options.scales[:2]:
        election = generated(scale)
        bodies = election.bodies()
        async with gateway(role="push") as home:
            await fill(home, election.registry, bodies[: max(1, int(WARMING * len(bodies)))])
            before = await _used(home)
            await fill(home, election.registry, bodies)
            log, disk = (after - first for after, first in zip(await _used(home), before, strict=True))
            async with gateway(
                role="feed", database_url=home.database_url, feed_database_url=home.feed_database_url
            ) as feed:
                memory.append((len(bodies), resident_kb((await feed.pids())["feed-0"]) / 1024))
        size = sum(map(len, bodies)) / len(bodies)
        what = f"election × {scale:g}, {len(bodies)} reports of {size:.0f} bytes"
        result.rows += [
            Row.single(f"{what}: write-ahead log", log / len(bodies), "bytes per report"),
            Row.single(f"{what}: table and indexes", disk / len(bodies), "bytes per report"),
            Row.single(f"{what}: a feed process that has read it", memory[-1][1], "MB"),
        ]
    return result


async def _used(local: Local) -> tuple[int, int]:
    """Return the bytes of log written so far, and the bytes of all reports with their indexes."""
    connection = await asyncpg.connect(local.database_url)
    try:
        return (
            int(await connection.fetchval("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")),
            int(await connection.fetchval(_SIZE)),
        )
    finally:
        await connection.close()
