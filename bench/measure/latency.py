"""Latency: from the commit to a reader's socket, at 50 reports per second and with the default selection.

Readers request gzip, as browsers do. Open model: reports are sent when they are due. A latency starts at the time of
the commit, `published_at`, and ends when the process of the readers has read a block: first for the newest publication
of each block, whose time the block contains, then for every publication, which takes longer if several share a block.

The largest crowd is measured in turns with a loop of `socket.send` that sends blocks of the same size to as many
sockets, one block at a time. Its latency starts when the loop begins, so it is the time of the kernel and of the
process of the readers alone.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from bench.figures import Result, Row, Series, Target
from bench.load.crowd import Crowd
from bench.load.crowd_messages import Seen
from bench.load.delivery import Delivery, one_at_a_time
from bench.load.hub import feed_crowd
from bench.load.local import Local, gateway, open_data_set
from bench.measure.load import Cpu, ElectionLoad, under_load
from bench.measure.options import Options
from bench.peers.socket_loop import loop_of_sends
from gateway.rehearsal.dataset import DataSet

RATE = 50.0
CROWDS = (1_000, 10_000)


class Followed(msgspec.Struct, frozen=True):
    """The figures of one crowd."""

    seen: Seen
    weighed: Seen
    """The same, with the latencies of every publication."""
    note: str

    @property
    def block_bytes(self) -> int:
        """Mean size of a block."""
        return round(self.seen.size / max(1, self.seen.receives))


class Following:
    """An election under load whose units have all reported, and the readers of its feed."""

    def __init__(self, load: ElectionLoad, readers: Crowd, faults: list[str]) -> None:
        self._load = load
        self._readers = readers
        self._faults = faults
        self._last = len(load.planner.units)
        self._present = 0

    async def begin(self) -> None:
        """Let every unit report."""
        await self._load.push(self._load.planner.every_unit(within_s=0.0))
        await self._load.wait_reached(self._last)

    async def measure(self, crowd: int, seconds: float) -> Followed:
        """Push at RATE to a crowd, which is the one before and further readers; note what goes wrong."""
        load, readers = self._load, self._readers
        if crowd > self._present:
            await readers.connect(crowd - self._present)
        first, self._present = self._last, crowd
        plan = load.planner.steady(RATE, seconds)
        self._last += len(plan)
        await readers.mark(each=True)
        before = await load.cpu()
        generator = await load.push(plan, RATE)
        seen = await readers.wait(self._last)
        cpu = (await load.cpu()).since(before)
        published = [
            (each.sequence, each.published_at.timestamp())
            for each in await load.stored(after=first)
            if each.published_at is not None
        ]
        weighed = await readers.weigh(published)
        if seen.behind or seen.lost or sum(weighed.latencies.values()) != crowd * len(plan):
            self._faults.append(f"{crowd} readers: {seen.behind} behind, {seen.lost} disconnected")
        return Followed(seen, weighed, _note(seen, cpu, generator.late_p99_s))


@asynccontextmanager
async def following(local: Local, dataset: DataSet, faults: list[str]) -> AsyncIterator[Following]:
    """Open an election for readers to follow, and judge it in the end; what goes wrong is added to `faults`."""
    async with under_load(local, dataset) as load, feed_crowd(local, load.target.election) as readers:
        followed = Following(load, readers, faults)
        await followed.begin()
        yield followed
        await load.judge()
        faults += load.faults


async def follow(
    local: Local, dataset: DataSet, crowds: Sequence[int], seconds: float, faults: list[str]
) -> list[Followed]:
    """Measure each crowd once, as `Following.measure` does."""
    async with following(local, dataset, faults) as load:
        return [await load.measure(crowd, seconds) for crowd in crowds]


def _note(seen: Seen, cpu: Cpu, late_s: float) -> str:
    blocks, size = seen.receives / seen.readers, seen.size / max(1, seen.receives)
    return (
        f"{seen.readers} readers: CPU s: {cpu.text}, readers {seen.cpu_s:.2f}; {blocks:.0f} blocks per reader of"
        f" {size / 1000:.1f} kB; reports were sent {1000 * late_s:.1f} ms late (p99)"
    )


def rows(rounds: Sequence[Followed], beside: Sequence[Delivery] = ()) -> list[Row]:
    """Return the rows of one crowd."""
    what = f"commit → subscriber's socket, {RATE:g} reports/s, {rounds[0].seen.readers} readers"
    figures = {
        f"{what}: newest of each block, p50": [each.seen.p50_s for each in rounds],
        f"{what}: newest of each block, p99": [each.seen.p99_s for each in rounds],
        f"{what}: every publication, p50": [each.weighed.p50_s for each in rounds],
    }
    shown = [Row(name, _milliseconds(name, found)) for name, found in figures.items()]
    name = f"{what}: every publication, p99"
    last = _milliseconds(name, [each.weighed.p99_s for each in rounds])
    if not beside:
        return [*shown, Row(name, last)]
    loop = _milliseconds("`socket.send` in a loop, p99", [each.seen.p99_s for each in beside])
    return [*shown, Row.compared(name, last, loop, Target(3, most=True), goal=12)]


def _milliseconds(name: str, rounds: Sequence[float]) -> Series:
    return Series(name, "ms", [1000 * each for each in rounds])


async def measure(options: Options) -> Result:
    """Measure each crowd, the largest one in turns with the loop."""
    result = Result("latency")
    *smaller, largest = options.readers or CROWDS
    async with (
        open_data_set(options.data) as dataset,
        gateway(readers_max=100_000) as local,
        following(local, dataset, result.invalid) as load,
    ):
        for crowd in [] if options.goals_only else smaller:
            followed = await load.measure(crowd, options.seconds)
            result.rows += rows([followed])
            result.notes.append(followed.note)
        await _in_turns(load, largest, options, result)
    return result


async def _in_turns(load: Following, crowd: int, options: Options, result: Result) -> None:
    """Measure a crowd and the loop in turns; the size of its blocks is that of the first round."""
    seconds = options.seconds / 2
    ours = [await load.measure(crowd, seconds)]
    async with loop_of_sends(crowd, ours[0].block_bytes) as loop:
        beside = [await one_at_a_time(loop, seconds / 2)]
        for _ in range(options.rounds - 1):
            ours.append(await load.measure(crowd, seconds))
            beside.append(await one_at_a_time(loop, seconds / 2))
    result.rows += rows(ours, beside)
    result.notes += [each.note for each in ours]
    result.invalid += [fault for each in beside if (fault := each.shortfall(loop.name))]
