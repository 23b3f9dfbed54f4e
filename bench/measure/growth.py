"""Growth of costs: CPU per report in elections of several sizes, and per delivery to crowds of several sizes.

First by the statements for Postgres alone, in the largest election; then with a whole gateway, in smaller ones.

A flat cost does not depend on the size. The number of connections is the same at every size, because municipalities
share tokens.
"""

from collections.abc import Sequence

from bench.figures import Result, Row, Series
from bench.load.delivery import one_at_a_time
from bench.load.hub import feed_crowd, valgnatt
from bench.load.local import gateway
from bench.measure.load import generated, under_load
from bench.measure.options import Options
from bench.measure.statements import measure_statements

CROWDS = (100, 1_000, 10_000)
SENDERS = 357
SHOWN_S = 600.0
FLAT = 1.5
"""A cost is flat if it is at most this multiple of the cost at the smallest size."""
JUDGED_MAX = 20_000
"""Largest number of reports of a history that is given to the judge, which is slow."""


async def measure(options: Options) -> Result:
    """Measure the statements alone, elections of growing size, each with a new gateway, and crowds of growing size."""
    result = Result("growth")
    await measure_statements(generated(options.scales[0]), options.copies, result)
    if options.goals_only:
        return result
    by_process: dict[str, list[tuple[float, float]]] = {}
    for scale in options.scales:
        for process, cost_us in (await _report_us(scale, result)).items():
            by_process.setdefault(process, []).append((scale, cost_us))
    for process, costs in by_process.items():
        _add_rows(result, f"CPU of {process} per report", "election × {:g}", costs)
    costs = await _delivery_us(options, result)
    _add_rows(result, "CPU of the feed process per reader and change, one at a time", "{:g} readers", costs)
    return result


async def _report_us(scale: float, result: Result) -> dict[str, float]:
    """Push a generated election at once, with one subscriber that keeps a copy and one that does not."""
    election = generated(scale)
    judged = len(election) <= JUDGED_MAX
    async with (
        gateway() as local,
        under_load(local, election, tokens_max=SENDERS, judged=judged) as load,
        feed_crowd(local, load.target.election) as others,
    ):
        await others.connect(1)
        plan = load.planner.recorded()
        before = await load.cpu()
        await load.push(plan)
        await load.wait_reached(len(plan), SHOWN_S)
        seen = await others.wait(len(plan), SHOWN_S)
        cpu = (await load.cpu()).since(before)
        if seen.behind or seen.lost:
            load.faults.append(f"election × {scale:g}: a subscriber is behind or was disconnected")
        if judged:
            await load.judge()
    result.invalid += load.faults
    result.notes.append(f"election × {scale:g}: {len(plan)} reports; CPU s: {cpu.text}; {load.blocks} blocks")
    taken = {"the push process": cpu.push, "Postgres": cpu.postgres, "the feed process": cpu.feed}
    return {process: 1e6 * seconds / len(plan) for process, seconds in taken.items()}


async def _delivery_us(options: Options, result: Result) -> list[tuple[float, float]]:
    """Deliver changes one at a time to crowds of growing size."""
    costs: list[tuple[float, float]] = []
    async with gateway(readers_max=100_000) as local, valgnatt(local) as hub:
        present = 0
        for crowd in options.readers or CROWDS:
            await hub.crowd.connect(crowd - present)
            present = crowd
            await hub.crowd.wait(await hub.publish())
            delivery = await one_at_a_time(hub, options.seconds / 6)
            if shortfall := delivery.shortfall(f"{crowd} readers"):
                result.invalid.append(shortfall)
            costs.append((crowd, 1e6 * delivery.cpu_s / max(1, delivery.delivered)))
    return costs


def _add_rows(result: Result, what: str, size: str, costs: Sequence[tuple[float, float]]) -> None:
    """Add a row for each size, beside the smallest, and note whether the cost is flat."""
    smallest, least_us = costs[0]
    beside = Series.single(size.format(smallest), least_us, "µs")
    rows = [
        Row.single(f"{what}, {size.format(each)}", cost_us, "µs", None, beside if each != smallest else None)
        for each, cost_us in costs
    ]
    result.rows += rows
    most = max((row.ratio.times for row in rows if row.ratio is not None), default=1.0)
    result.notes.append(f"{what}: {'flat' if most <= FLAT else 'NOT flat'} within {FLAT:g} × ({most:.2f} ×)")
