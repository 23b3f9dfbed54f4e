"""Latency: from commit to socket, 50 reports a second to crowds who follow the default selection.

They ask for gzip, as browsers do. Open model: reports leave when they are due. Result is how long after
`published_at`, the time of the commit, a reader's process had read a block: of the newest publication in it, which is
what a block tells, and then of every one, which is longer where several came while readers were still being written to.
"""

from collections.abc import Sequence

import msgspec

from bench.figures import Result, Row, Target
from bench.load.audience import Told
from bench.load.hub import feed_stand
from bench.load.local import Local, election, gateway
from bench.measure.load import Cpu, playing
from bench.measure.options import Options
from gateway.rehearsal.dataset import DataSet

RATE = 50.0
CROWDS = (1_000, 10_000)
TARGETS_MS = {1_000: (10.0, 50.0), 10_000: (150.0, 350.0)}
"""Of each crowd: p50 and p99."""


class Followed(msgspec.Struct, frozen=True):
    """What one crowd showed."""

    told: Told
    weighed: Told
    """The same, with latencies of every publication."""
    note: str


async def follow(
    local: Local, dataset: DataSet, crowds: Sequence[int], seconds: float, faults: list[str]
) -> list[Followed]:
    """Push at RATE before each crowd, the larger ones on top of the smaller; note in `faults` what was not right."""
    found = []
    async with playing(local, dataset) as play, feed_stand(local, play.target.election) as readers:
        await play.push(play.planner.whole(within_s=0.0))
        last, present = len(play.planner.units), 0
        await play.reached(last)
        for crowd in crowds:
            await readers.connect(crowd - present)
            first, present = last, crowd
            plan = play.planner.steady(RATE, seconds)
            last += len(plan)
            await readers.mark(each=True)
            before = await play.cpu()
            generator = await play.push(plan, RATE)
            told = await readers.wait(last)
            cpu = (await play.cpu()).since(before)
            published = [
                (each.sequence, each.published_at)
                for each in await play.stored(after=first)
                if each.published_at is not None
            ]
            weighed = await readers.weigh(published)
            if told.behind or told.lost or weighed.weighed != crowd * len(plan):
                faults.append(f"{crowd} readers: {told.behind} are behind, {told.lost} were cut off")
            found.append(Followed(told, weighed, _note(told, cpu, generator.late_p99_s)))
        await play.judge()
        faults += play.faults
    return found


def _note(told: Told, cpu: Cpu, late_s: float) -> str:
    blocks, size = told.receives / told.readers, told.size / max(1, told.receives)
    return (
        f"{told.readers} readers: CPU s: {cpu.told}, readers {told.cpu_s:.2f}; {blocks:.0f} blocks a reader of"
        f" {size / 1000:.1f} kB; reports left {1000 * late_s:.1f} ms late (p99)"
    )


def rows(each: Followed) -> list[Row]:
    """Return the figures of a crowd."""
    crowd = each.told.readers
    limits = TARGETS_MS.get(crowd)
    what = f"commit → subscriber's socket, {RATE:g} reports/s, {crowd} readers"
    targets = [Target(limit, most=True) for limit in limits] if limits is not None else [None, None]
    return [
        Row.single(f"{what}: newest of each block, p50", 1000 * each.told.p50_s, "ms", targets[0]),
        Row.single(f"{what}: newest of each block, p99", 1000 * each.told.p99_s, "ms", targets[1]),
        Row.single(f"{what}: every publication, p50", 1000 * each.weighed.p50_s, "ms"),
        Row.single(f"{what}: every publication, p99", 1000 * each.weighed.p99_s, "ms"),
    ]


async def measure(options: Options) -> Result:
    """Measure each crowd."""
    found = Result("latency")
    async with election(options.data) as dataset, gateway(readers_max=100_000) as local:
        crowds = options.readers or CROWDS
        for each in await follow(local, dataset, crowds, options.seconds, found.invalid):
            found.rows += rows(each)
            found.notes.append(each.note)
    return found
