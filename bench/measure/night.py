"""Night: every sender pushes all its reports at once, until the last of ten subscribers has everything."""

import time

import msgspec

from bench.figures import Result, Row, Target, counted
from bench.load.hub import feed_crowd
from bench.load.local import Local, gateway, open_data_set
from bench.load.pusher import Pushed
from bench.measure.filled import postgres_alone
from bench.measure.load import Cpu, under_load
from bench.measure.options import Options
from bench.measure.pairs.rounds import Rounds
from gateway.rehearsal.dataset import DataSet

SUBSCRIBERS = 10
RATE, COMPLETE = "rate", f"last of {SUBSCRIBERS} subscribers complete"
ALONE = "Postgres alone, batches of 1000"


class PushedNight(msgspec.Struct, frozen=True):
    """The figures of a whole election that was pushed at once."""

    reports: int
    senders: int
    seconds: float
    """From the first write of the first sender until the last subscriber is complete."""
    blocks: int
    cpu: Cpu
    generator: Pushed
    subscribers_cpu_s: float
    faults: list[str]

    @property
    def text(self) -> str:
        """What took the time, for disload."""
        return (
            f"CPU s: {self.cpu.text}, generator {self.generator.cpu_s:.2f}, subscribers"
            f" {self.subscribers_cpu_s:.2f}; last receipt after {self.generator.seconds:.2f} s, {self.blocks} blocks"
        )


async def push_all(local: Local, dataset: DataSet) -> PushedNight:
    """Push a whole election at once.

    One subscriber keeps a copy, which is compared with the official totals; the others only check that every block
    arrives.
    """
    async with (
        under_load(local, dataset) as load,
        feed_crowd(local, load.target.election) as others,
    ):
        await others.connect(SUBSCRIBERS - 1)
        plan = load.planner.recorded()
        await others.mark()
        own_cpu_s, blocks = time.process_time(), load.blocks
        generator = await load.push(plan)
        last_at = await load.wait_reached(len(plan))
        seen = await others.wait(len(plan))
        cpu, own_cpu_s = (await load.cpu()).since(load.before_push), time.process_time() - own_cpu_s
        blocks = load.blocks - blocks
        if seen.behind or seen.lost:
            load.faults.append(f"{counted(seen.behind, 'subscriber')} behind, {seen.lost} disconnected")
        load.compare_totals(dataset)
        await load.judge()
    seconds = max(last_at, seen.last_at) - generator.started_at
    return PushedNight(
        len(plan),
        len(load.target.tokens),
        seconds,
        blocks,
        cpu,
        generator,
        seen.cpu_s + own_cpu_s,
        load.faults,
    )


async def measure(options: Options) -> Result:
    """Measure in turns with Postgres alone, each round on a new gateway."""
    result, rounds = Result("night"), Rounds()
    async with open_data_set(options.data) as dataset:
        for _ in range(options.rounds):
            async with gateway() as local:
                pushed = await push_all(local, dataset)
                rounds.add(ALONE, "reports/s", await postgres_alone(local, dataset))
            rounds.add(COMPLETE, "s", pushed.seconds)
            rounds.add(RATE, "reports/s", pushed.reports / pushed.seconds)
            result.notes.append(pushed.text)
            result.invalid += pushed.faults
    what = f"{pushed.reports} reports at once over {pushed.senders} WebSockets"
    result.rows = [
        Row.compared(f"{what}: {RATE}", rounds[RATE], rounds[ALONE], Target(0.25, 0.35), goal=6),
        Row.compared(f"{what}: {COMPLETE}", rounds[COMPLETE]),
    ]
    return result
