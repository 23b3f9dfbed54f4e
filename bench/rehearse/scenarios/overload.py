"""Overload: 1, 2, 5 and 10 times the capacity of the database, which is limited to --rate; nothing collapses.

Each commit waits a fixed time per report, so that the figures depend on the gateway and not on this machine. It
needs a gateway that bench starts, so it does not run with --push.
"""

import asyncio
from collections.abc import Sequence

from bench.rehearse.stage import Stage

FACTORS = (1, 2, 5, 10)


async def play(stage: Stage) -> None:
    async with stage.slow_commits(stage.options.rate):
        await offer_each(stage, FACTORS)


async def offer_each(stage: Stage, factors: Sequence[int]) -> None:
    """Offer each multiple of --rate, one after the other, and compare how much is accepted."""
    options = stage.options
    stage.levels |= {"kept": 1 / 0.9, "worst_p99": 1.0}
    of_what_came_again = 3600.0
    stage.levels["receipt.p99"] = stage.levels["subscriber.p99"] = of_what_came_again
    rates, latencies = [], []
    for factor in factors:
        stage.mark(f"{factor} x")
        found = await stage.offer(factor * options.rate, options.seconds)
        rates.append(found.accepted_per_s)
        latencies.append(found.p99_s)
        stage.run.figures[f"accepted_per_s_at_{factor}x"] = found.accepted_per_s
        stage.run.figures[f"p99_s_at_{factor}x"] = found.p99_s
        stage.run.figures[f"lag_s_at_{factor}x"] = found.lag_s
        stage.run.figures[f"turned_away_per_s_at_{factor}x"] = found.turned_away_per_s
        await asyncio.sleep(2.0)
    best = max(rates)
    stage.run.figures["kept"] = max(
        min(best, factor * options.rate) / rate for factor, rate in zip(factors, rates, strict=True)
    )
    stage.run.figures["worst_p99"] = max(latencies)
