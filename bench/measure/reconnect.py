"""Reconnect: a crowd that was cut off comes back with Last-Event-ID, as fast as it is let in.

That none of it costs a look at the database is shown twice: by the transactions that Postgres counts meanwhile, and by
a crowd that comes back while every process of Postgres is stopped.
"""

import asyncio
import statistics
import time
from contextlib import nullcontext

import asyncpg
import msgspec

from bench.figures import Result, Row, Series, Target
from bench.load.hub import feed_stand
from bench.load.local import Local, election, gateway
from bench.measure.load import Play, playing
from bench.measure.options import Options

READERS = 5_000
MISSED = 50
"""Reports that are published while they are away."""
TURNS = 2
COUNTED_S = 1.2
"""After so long Postgres has counted the transactions of every process that goes on working: it does once a second."""
QUIET_S = 0.3
MOST_S = 10.0
TICK_S = 0.01


class Return(msgspec.Struct, frozen=True):
    """What one return showed."""

    cpu_s: float
    """Of the feed process."""
    seconds: float
    transactions: int
    """That Postgres counted."""


class Crowd:
    """Those who come back, again and again."""

    def __init__(self, local: Local, play: Play, readers: int) -> None:
        self._local = local
        self._play = play
        self._readers = readers
        self._last = 0

    async def begin(self) -> None:
        """Have something to come back to."""
        plan = self._play.planner.whole(within_s=0.0)
        await self._play.push(plan)
        await self._play.reached(len(plan))
        self._last = len(plan)

    async def come_back(self, *, postgres: bool = True) -> Return:
        """Miss some publications, and come back from before them; without `postgres`, while it is stopped."""
        play, local = self._play, self._local
        cursor = play.subscriber.cursor
        await self._miss()
        async with feed_stand(local, play.target.election, cursor=cursor) as stand:
            counted = await _transactions(local) if postgres else 0
            before, started = await play.cpu(), time.perf_counter()
            with nullcontext() if postgres else local.postgres_stopped():
                await stand.connect(self._readers)
                told = await stand.wait(self._last, MOST_S)
                seconds = time.perf_counter() - started
                cpu = (await play.cpu()).since(before)
            if postgres:
                await asyncio.sleep(COUNTED_S)
                counted = await _transactions(local) - counted
        if told.behind or told.lost or told.readers != self._readers:
            play.faults.append(f"{told.behind} of {told.readers} are behind, {told.lost} were cut off")
        return Return(cpu.feed, seconds, counted)

    async def nobody_comes(self, seconds: float) -> int:
        """Miss as much, and do not come back for as long; return how many transactions Postgres counted."""
        await self._miss()
        before = await _transactions(self._local)
        await asyncio.sleep(seconds + COUNTED_S)
        return await _transactions(self._local) - before

    async def _miss(self) -> None:
        plan = self._play.planner.steady(MISSED, 1.0)
        await self._play.push(plan)
        self._last += len(plan)
        await self._play.reached(self._last)
        await self._quiet()

    async def _quiet(self) -> None:
        """Wait until the feed process has forgotten those who are gone."""
        before = await self._play.cpu()
        while True:
            await asyncio.sleep(QUIET_S)
            now = await self._play.cpu()
            if now.since(before).feed <= QUIET_S / 10:
                return
            before = now


async def _transactions(local: Local) -> int:
    """Return how many transactions Postgres has counted in our database."""
    connection = await asyncpg.connect(local.database_url)
    try:
        found: int = await connection.fetchval(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        )
    finally:
        await connection.close()
    return found


async def measure(options: Options) -> Result:
    """Have a crowd come back some times, and once more while Postgres is stopped."""
    readers = options.readers[-1] if options.readers else READERS
    async with (
        election(options.data) as dataset,
        gateway(readers_max=100_000) as local,
        playing(local, dataset) as play,
    ):
        crowd = Crowd(local, play, readers)
        await crowd.begin()
        turns = [await crowd.come_back() for _ in range(TURNS)]
        usual = await crowd.nobody_comes(statistics.median(turn.seconds for turn in turns))
        alone = await crowd.come_back(postgres=False)
        await play.judge()
    rate = statistics.median(readers / max(turn.cpu_s, TICK_S) for turn in turns)
    wall = statistics.median(readers / turn.seconds for turn in turns)
    counted = statistics.median(turn.transactions for turn in turns)
    what = f"{readers} readers back with Last-Event-ID"
    return Result(
        "reconnect",
        [
            Row.single(f"{what}, a CPU second of the feed process", rate, "/s", Target(4_000)),
            Row.single(f"{what}, a second of the clock, their own process included", wall, "/s"),
            Row.single(
                f"{what}: transactions of the database meanwhile",
                max(0.0, counted - usual) / readers,
                "a reader",
                Target(0.1, most=True),
                Series.single("as long with nobody coming", usual / readers, "a reader"),
            ),
        ],
        notes=[
            f"with Postgres stopped all {readers} came back in {alone.seconds:.2f} s, each up to the last publication"
        ],
        invalid=play.faults,
    )
