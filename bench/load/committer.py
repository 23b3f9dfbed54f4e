"""A bare commit of one row, over and over, in a separate process: what Postgres alone makes a sender wait for.

It reads an `Order` from standard input, as one line of JSON, connects, writes `ready`, and waits for `go`. Then it
inserts one row at a time over one connection, with the durability of the journal, at a steady pace or one after the
other if they take longer than that. After `stop`, and LEAST rows, it writes a `Committed`.
"""

import asyncio
import sys
import time

import asyncpg
import msgspec
import uvloop

from bench.figures import Histogram
from bench.load.generator_process import read_order, stop_collecting, write_ready, write_result

TABLE = """
CREATE SCHEMA IF NOT EXISTS bare;
CREATE TABLE IF NOT EXISTS bare.row (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL);
"""
INSERT = "INSERT INTO bare.row (body) VALUES ($1)"
BODY = b"0" * 450
"""Some bytes less than a report on average."""


class Order(msgspec.Struct):
    """Where to commit, and how often."""

    database_url: str
    rate: float
    """Commits per second."""
    least: int
    """Commits that are made even after `stop`."""
    limit_s: float = 60.0


class Committed(msgspec.Struct):
    """How long commits took, from the statement to its answer."""

    commits: int
    seconds: float
    cpu_s: float
    p50_s: float
    p99_s: float


async def _commit(order: Order) -> Committed:
    connection = await asyncpg.connect(order.database_url)
    try:
        await connection.execute(TABLE)
        statement = await connection.prepare(INSERT)
        await statement.fetch(BODY)
        loop = asyncio.get_running_loop()
        write_ready()
        await loop.run_in_executor(None, sys.stdin.readline)
        stop = loop.run_in_executor(None, sys.stdin.readline)
        stop_collecting()
        took_s: list[float] = []
        cpu, started = time.process_time(), time.perf_counter()
        ends, now = started + order.limit_s, started
        while (not stop.done() or len(took_s) < order.least) and now < ends:
            if (early_s := started + len(took_s) / order.rate - now) > 0:
                await asyncio.sleep(early_s)
            before = time.perf_counter()
            await statement.fetch(BODY)
            now = time.perf_counter()
            took_s.append(now - before)
        histogram = Histogram().add_all(took_s)
        return Committed(
            len(took_s), now - started, time.process_time() - cpu, histogram.at(50), histogram.at(99)
        )
    finally:
        await connection.close()


def main() -> None:
    """Execute an order."""
    order = read_order(Order)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        committed = runner.run(_commit(order))
    write_result(committed)


if __name__ == "__main__":
    main()
