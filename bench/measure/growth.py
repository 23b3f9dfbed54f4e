"""Cost as work grows: CPU of a report in elections of several sizes, and of a change for each reader of several crowds.

What is flat costs the same however much there is. The senders' connections are as many at every size: more
municipalities share a token.
"""

from collections.abc import Sequence

from bench.figures import Result, Row, Series
from bench.load.delivery import one_at_a_time
from bench.load.hub import feed_stand, valgnatt
from bench.load.local import gateway
from bench.measure.load import made, playing
from bench.measure.options import Options

CROWDS = (100, 1_000, 10_000)
SENDERS = 357
SHOWN_S = 600.0
FLAT = 1.5
"""What costs no more than so many times what the smallest does is flat."""
JUDGED_MAX = 20_000
"""Reports of a history that the judge looks at, who takes his time."""


async def measure(options: Options) -> Result:
    """Measure growing elections, each in a gateway of its own, then growing crowds."""
    found = Result("growth")
    by_process: dict[str, list[tuple[float, float]]] = {}
    for scale in options.scales:
        for process, cost_us in (await _report_us(scale, found)).items():
            by_process.setdefault(process, []).append((scale, cost_us))
    for process, costs in by_process.items():
        _tell(found, f"CPU of {process} for a report", "election × {:g}", costs)
    costs = await _delivery_us(options, found)
    _tell(found, "CPU of the feed process for a reader and change, one at a time", "{:g} readers", costs)
    return found


async def _report_us(scale: float, found: Result) -> dict[str, float]:
    """Push a made-up election at once to a subscriber who keeps a copy and one who does not."""
    election = made(scale)
    judged = len(election) <= JUDGED_MAX
    async with (
        gateway() as local,
        playing(local, election, tokens_max=SENDERS, judged=judged) as play,
        feed_stand(local, play.target.election) as others,
    ):
        await others.connect(1)
        plan = play.planner.night()
        before = await play.cpu()
        await play.push(plan)
        await play.reached(len(plan), SHOWN_S)
        told = await others.wait(len(plan), SHOWN_S)
        cpu = (await play.cpu()).since(before)
        if told.behind or told.lost:
            play.faults.append(f"election × {scale:g}: a subscriber is behind or was cut off")
        if judged:
            await play.judge()
    found.invalid += play.faults
    found.notes.append(f"election × {scale:g}: {len(plan)} reports; CPU s: {cpu.told}; {play.blocks} blocks")
    taken = {"the push process": cpu.push, "Postgres": cpu.postgres, "the feed process": cpu.feed}
    return {process: 1e6 * seconds / len(plan) for process, seconds in taken.items()}


async def _delivery_us(options: Options, found: Result) -> list[tuple[float, float]]:
    """Have growing crowds follow one change at a time."""
    costs: list[tuple[float, float]] = []
    async with gateway(readers_max=100_000) as local, valgnatt(local) as hub:
        present = 0
        for crowd in options.readers or CROWDS:
            await hub.stand.connect(crowd - present)
            present = crowd
            await hub.stand.wait(await hub.publish())
            turn = await one_at_a_time(hub, options.seconds / 6)
            if shortfall := turn.shortfall(f"{crowd} readers"):
                found.invalid.append(shortfall)
            costs.append((crowd, 1e6 * turn.cpu_s / max(1, turn.delivered)))
    return costs


def _tell(found: Result, what: str, size: str, costs: Sequence[tuple[float, float]]) -> None:
    """Add a row for each size, beside the smallest, and say whether it is flat."""
    smallest, least_us = costs[0]
    beside = Series.single(size.format(smallest), least_us, "µs")
    rows = [
        Row.single(f"{what}, {size.format(each)}", cost_us, "µs", None, beside if each != smallest else None)
        for each, cost_us in costs
    ]
    found.rows += rows
    most = max((row.ratio.times for row in rows if row.ratio is not None), default=1.0)
    found.notes.append(f"{what}: {'flat' if most <= FLAT else 'NOT flat'} within {FLAT:g} × ({most:.2f} ×)")
