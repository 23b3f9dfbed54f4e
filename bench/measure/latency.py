"""Latency: from the commit to a reader's socket, at 50 reports per second and with the default selection.

Readers request gzip, as browsers do. Open model: reports are sent when they are due. A latency starts at the time of
the commit, `published_at`, and ends when the process of the readers has read a block: first for the newest publication
of each block, whose time the block contains, then for every publication, which takes longer if several share a block.
"""

from collections.abc import Sequence

import msgspec

from bench.figures import Result, Row, Target
from bench.load.crowd_messages import Seen
from bench.load.hub import feed_crowd
from bench.load.local import Local, gateway, open_data_set
from bench.measure.load import Cpu, under_load
from bench.measure.options import Options
from gateway.rehearsal.dataset import DataSet

RATE = 50.0
CROWDS = (1_000, 10_000)
TARGETS_MS = {1_000: (10.0, 50.0), 10_000: (150.0, 350.0)}
"""Number of readers → p50 and p99."""


class Followed(msgspec.Struct, frozen=True):
    """The figures of one crowd."""

    seen: Seen
    weighed: Seen
    """The same, with the latencies of every publication."""
    note: str


async def follow(
    local: Local, dataset: DataSet, crowds: Sequence[int], seconds: float, faults: list[str]
) -> list[Followed]:
    """Push at RATE to each crowd, which is the one before and further readers; add what went wrong to `faults`."""
    crowds_seen = []
    async with under_load(local, dataset) as load, feed_crowd(local, load.target.election) as readers:
        await load.push(load.planner.every_unit(within_s=0.0))
        last, present = len(load.planner.units), 0
        await load.wait_reached(last)
        for crowd in crowds:
            await readers.connect(crowd - present)
            first, present = last, crowd
            plan = load.planner.steady(RATE, seconds)
            last += len(plan)
            await readers.mark(each=True)
            before = await load.cpu()
            generator = await load.push(plan, RATE)
            seen = await readers.wait(last)
            cpu = (await load.cpu()).since(before)
            published = [
                (each.sequence, each.published_at.timestamp())
                for each in await load.stored(after=first)
                if each.published_at is not None
            ]
            weighed = await readers.weigh(published)
            if seen.behind or seen.lost or sum(weighed.latencies.values()) != crowd * len(plan):
                faults.append(f"{crowd} readers: {seen.behind} behind, {seen.lost} disconnected")
            crowds_seen.append(Followed(seen, weighed, _note(seen, cpu, generator.late_p99_s)))
        await load.judge()
        faults += load.faults
    return crowds_seen


def _note(seen: Seen, cpu: Cpu, late_s: float) -> str:
    blocks, size = seen.receives / seen.readers, seen.size / max(1, seen.receives)
    return (
        f"{seen.readers} readers: CPU s: {cpu.text}, readers {seen.cpu_s:.2f}; {blocks:.0f} blocks per reader of"
        f" {size / 1000:.1f} kB; reports were sent {1000 * late_s:.1f} ms late (p99)"
    )


def rows(each: Followed) -> list[Row]:
    """Return the rows of one crowd."""
    crowd = each.seen.readers
    limits = TARGETS_MS.get(crowd)
    what = f"commit → subscriber's socket, {RATE:g} reports/s, {crowd} readers"
    targets = [Target(limit, most=True) for limit in limits] if limits is not None else [None, None]
    return [
        Row.single(f"{what}: newest of each block, p50", 1000 * each.seen.p50_s, "ms", targets[0]),
        Row.single(f"{what}: newest of each block, p99", 1000 * each.seen.p99_s, "ms", targets[1]),
        Row.single(f"{what}: every publication, p50", 1000 * each.weighed.p50_s, "ms"),
        Row.single(f"{what}: every publication, p99", 1000 * each.weighed.p99_s, "ms"),
    ]


async def measure(options: Options) -> Result:
    """Measure each crowd."""
    result = Result("latency")
    async with open_data_set(options.data) as dataset, gateway(readers_max=100_000) as local:
        crowds = options.readers or CROWDS
        for each in await follow(local, dataset, crowds, options.seconds, result.invalid):
            result.rows += rows(each)
            result.notes.append(each.note)
    return result
