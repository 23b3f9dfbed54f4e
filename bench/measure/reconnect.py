"""Reconnect: a crowd that was disconnected connects again with Last-Event-ID, as fast as it is accepted.

Two figures show that this does not query the database: the transactions that Postgres counts meanwhile, and a crowd
that reconnects while every process of Postgres is stopped.
"""

import asyncio
import statistics
import time
from contextlib import nullcontext

import asyncpg
import msgspec

from bench.figures import Result, Row, Series, Target, counted
from bench.load.hub import feed_crowd
from bench.load.local import Local, gateway, open_data_set
from bench.measure.load import ElectionLoad, under_load
from bench.measure.options import Options

READERS = 5_000
MISSED = 50
"""Reports that are published while the readers are disconnected."""
TURNS = 2
COUNTED_S = 1.2
"""Time after which Postgres has counted the transactions of every active process; it does so once per second."""
QUIET_S = 0.3
MOST_S = 10.0
TICK_S = 0.01


class Reconnection(msgspec.Struct, frozen=True):
    """The figures of one reconnection."""

    cpu_s: float
    """CPU seconds of the feed process."""
    seconds: float
    transactions: int
    """Transactions that Postgres counted."""


class ReconnectingCrowd:
    """A crowd that reconnects several times."""

    def __init__(self, local: Local, load: ElectionLoad, readers: int) -> None:
        self._local = local
        self._load = load
        self._readers = readers
        self._last = 0

    async def prepare(self) -> None:
        """Publish the reports of every unit."""
        plan = self._load.planner.every_unit(within_s=0.0)
        await self._load.push(plan)
        await self._load.wait_reached(len(plan))
        self._last = len(plan)

    async def reconnect(self, *, postgres: bool = True) -> Reconnection:
        """Miss MISSED publications, then reconnect with the cursor before them.

        Without `postgres`, do so while it is stopped.
        """
        load, local = self._load, self._local
        cursor = load.subscriber.cursor
        await self._miss()
        async with feed_crowd(local, load.target.election, cursor=cursor) as crowd:
            transactions = await _transactions(local) if postgres else 0
            before, started = await load.cpu(), time.perf_counter()
            with nullcontext() if postgres else local.postgres_stopped():
                await crowd.connect(self._readers)
                seen = await crowd.wait(self._last, MOST_S)
                seconds = time.perf_counter() - started
                cpu = (await load.cpu()).since(before)
            if postgres:
                await asyncio.sleep(COUNTED_S)
                transactions = await _transactions(local) - transactions
        if seen.behind or seen.lost or seen.readers != self._readers:
            load.faults.append(
                f"{seen.behind} of {counted(seen.readers, 'reader')} behind, {seen.lost} disconnected"
            )
        return Reconnection(cpu.feed, seconds, transactions)

    async def stay_away(self, seconds: float) -> int:
        """Miss as many publications and do not reconnect; return how many transactions Postgres counted."""
        await self._miss()
        before = await _transactions(self._local)
        await asyncio.sleep(seconds + COUNTED_S)
        return await _transactions(self._local) - before

    async def _miss(self) -> None:
        plan = self._load.planner.steady(MISSED, 1.0)
        await self._load.push(plan)
        self._last += len(plan)
        await self._load.wait_reached(self._last)
        await self._wait_idle()

    async def _wait_idle(self) -> None:
        """Wait until the feed process has cleaned up after the disconnected readers."""
        before = await self._load.cpu()
        while True:
            await asyncio.sleep(QUIET_S)
            now = await self._load.cpu()
            if now.since(before).feed <= QUIET_S / 10:
                return
            before = now


async def _transactions(local: Local) -> int:
    """Return how many transactions Postgres has counted in our database."""
    connection = await asyncpg.connect(local.database_url)
    try:
        total: int = await connection.fetchval(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        )
    finally:
        await connection.close()
    return total


async def measure(options: Options) -> Result:
    """Reconnect a crowd TURNS times, and once more while Postgres is stopped."""
    readers = options.readers[-1] if options.readers else READERS
    async with (
        open_data_set(options.data) as dataset,
        gateway(readers_max=100_000) as local,
        under_load(local, dataset) as load,
    ):
        crowd = ReconnectingCrowd(local, load, readers)
        await crowd.prepare()
        reconnections = [await crowd.reconnect() for _ in range(TURNS)]
        usual = await crowd.stay_away(statistics.median(each.seconds for each in reconnections))
        alone = await crowd.reconnect(postgres=False)
        await load.judge()
    rate = statistics.median(readers / max(each.cpu_s, TICK_S) for each in reconnections)
    wall = statistics.median(readers / each.seconds for each in reconnections)
    transactions = statistics.median(each.transactions for each in reconnections)
    what = f"{readers} readers reconnecting with Last-Event-ID"
    return Result(
        "reconnect",
        [
            Row.single(f"{what}, per CPU second of the feed process", rate, "/s", Target(4_000)),
            Row.single(f"{what}, per second of wall time, their own process included", wall, "/s"),
            Row.single(
                f"{what}: transactions of the database",
                max(0.0, transactions - usual) / readers,
                "per reader",
                Target(0.1, most=True),
                Series.single("in the same time without readers", usual / readers, "per reader"),
            ),
        ],
        notes=[
            f"with Postgres stopped, all {readers} reconnected in {alone.seconds:.2f} s and received everything"
        ],
        invalid=load.faults,
    )
