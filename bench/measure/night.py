"""Night: at once, every sender pushes all it has, until the last of ten subscribers has it all."""

import time

import msgspec

from bench.figures import Result, Row, Series, Target
from bench.load.hub import feed_stand
from bench.load.local import Local, election, gateway
from bench.load.pusher import Told
from bench.measure.filled import postgres_alone
from bench.measure.load import Cpu, playing
from bench.measure.options import Options
from gateway.rehearsal.dataset import DataSet

SUBSCRIBERS = 10


class Night(msgspec.Struct, frozen=True):
    """What a night showed."""

    reports: int
    senders: int
    seconds: float
    """From the first write of the first sender to the last subscriber complete."""
    blocks: int
    cpu: Cpu
    generator: Told
    subscribers_cpu_s: float
    faults: list[str]

    @property
    def told(self) -> str:
        """Where the time went."""
        return (
            f"CPU s: {self.cpu.told}, generator {self.generator.cpu_s:.2f}, subscribers"
            f" {self.subscribers_cpu_s:.2f}; last receipt after {self.generator.seconds:.2f} s, {self.blocks} blocks"
        )


async def push_all(local: Local, dataset: DataSet) -> Night:
    """Push a whole election at once.

    One subscriber keeps a copy, which is compared with the official totals; the others only see that every block comes.
    """
    async with (
        playing(local, dataset) as play,
        feed_stand(local, play.target.election) as others,
    ):
        await others.connect(SUBSCRIBERS - 1)
        plan = play.planner.night()
        await others.mark()
        before, mine, blocks = await play.cpu(), time.process_time(), play.blocks
        generator = await play.push(plan)
        last_at = await play.reached(len(plan))
        told = await others.wait(len(plan))
        cpu, mine = (await play.cpu()).since(before), time.process_time() - mine
        blocks = play.blocks - blocks
        if told.behind or told.lost:
            play.faults.append(f"{told.behind} subscribers are behind, {told.lost} were cut off")
        play.compare(dataset)
        await play.judge()
    seconds = max(last_at, told.last_at) - generator.started_at
    return Night(
        len(plan), len(play.target.tokens), seconds, blocks, cpu, generator, told.cpu_s + mine, play.faults
    )


async def measure(options: Options) -> Result:
    """Measure it once, beside Postgres alone."""
    async with election(options.data) as dataset, gateway() as local:
        night = await push_all(local, dataset)
        alone = await postgres_alone(local, dataset)
    what = f"{night.reports} reports at once over {night.senders} WebSockets"
    beside = Series.single("Postgres alone, batches of 1000", alone, "reports/s")
    return Result(
        "night",
        [
            Row.single(
                f"{what}: last of {SUBSCRIBERS} subscribers complete",
                night.seconds,
                "s",
                Target(1.5, 1.0, most=True),
            ),
            Row.single(f"{what}: the rate of that", night.reports / night.seconds, "reports/s", None, beside),
        ],
        notes=[night.told],
        invalid=night.faults,
    )
