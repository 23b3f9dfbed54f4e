"""Embargo release: all earlier counts become public at once, while crowds of gzip readers wait for them.

The time ends when the last reader has read the last compressed byte. Each reader's bytes are compared with bytes that
were decompressed once for all; bytes that differ are decompressed and inspected by themselves.
"""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta

import msgspec

from bench.figures import Result, Row, Target
from bench.load.hub import feed_crowd
from bench.load.local import Local, gateway, open_data_set
from bench.measure.load import ElectionLoad, under_load
from bench.measure.options import Options
from gateway.journal.administration import administration
from gateway.rehearsal.dataset import DataSet

EMBARGOED = 1_867
"""Reports that were embargoed in 2025 until the release."""
CROWDS = (2_000, 10_000)
TARGETS_S = {2_000: 0.5, 10_000: 2.0}
BEFORE_S, MORE_S = 4.0, 4.0
"""The embargo is extended by MORE_S if readers are still connecting BEFORE_S before its end."""
MOST_S = 60.0
QUIET_S = 1.5
"""Least time between the last reader and the release, in s."""


class Embargo:
    """The end of the embargo of an election, extended until all readers are connected."""

    def __init__(self, load: ElectionLoad) -> None:
        self._load = load

    @property
    def left_s(self) -> float:
        """Seconds until the embargo ends."""
        return (self._load.target.publish_from - datetime.now(UTC)).total_seconds()

    async def extend_until(self, done: Coroutine[None, None, None]) -> None:
        """Extend the embargo until something is done, and QUIET_S longer."""
        doing = asyncio.ensure_future(done)
        while not (await asyncio.wait({doing}, timeout=0.2))[0]:
            await self._ensure(BEFORE_S, MORE_S)
        doing.result()
        await self._ensure(QUIET_S, QUIET_S)

    async def _ensure(self, least_s: float, more_s: float) -> None:
        if self.left_s >= least_s:
            return
        target = self._load.target
        until = target.publish_from + timedelta(seconds=more_s)
        async with administration(self._load.local.database_url, "bench") as acts:
            await acts.move_embargo(target.election, until)
        self._load.target = msgspec.structs.replace(target, publish_from=until)


async def release(local: Local, dataset: DataSet, crowd: int, result: Result) -> None:
    """Measure the release to one crowd."""
    async with (
        under_load(local, dataset, publish_in_s=BEFORE_S + MORE_S) as load,
        feed_crowd(local, load.target.election) as readers,
    ):
        plan = load.planner.recorded()[:EMBARGOED]

        async def prepare() -> None:
            await load.push(plan)
            await readers.connect(crowd)

        embargo = Embargo(load)
        await embargo.extend_until(prepare())
        await readers.mark()
        before = await load.cpu()
        seen = await readers.wait(len(plan), embargo.left_s + MOST_S)
        cpu = (await load.cpu()).since(before)
        seconds = seen.last_at - load.target.publish_from.timestamp()
        await load.wait_reached(len(plan))
        await load.judge()
    if seen.behind or seen.lost:
        load.faults.append(f"{crowd} readers: {seen.behind} behind, {seen.lost} disconnected")
    what = f"embargo release of {len(plan)} reports to {crowd} gzip readers: last compressed byte read"
    most_s = TARGETS_S.get(crowd)
    result.rows.append(
        Row.single(what, seconds, "s", Target(most_s, most=True) if most_s is not None else None)
    )
    result.notes.append(
        f"{crowd} readers: {seen.size / crowd / 1000:.1f} kB each; CPU s: {cpu.text}, readers {seen.cpu_s:.2f};"
        f" {seen.inspected} different pieces of bytes were decompressed"
    )
    result.invalid += load.faults


async def measure(options: Options) -> Result:
    """Measure each crowd with a new election."""
    result = Result("release")
    async with open_data_set(options.data) as dataset, gateway(readers_max=100_000) as local:
        for crowd in options.readers or CROWDS:
            await release(local, dataset, crowd, result)
    return result
