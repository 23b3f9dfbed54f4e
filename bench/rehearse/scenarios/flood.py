"""Flood: one municipality pushes as fast as it can over ten connections, without delaying the others.

The first part runs without the flood, so that the latencies of the other senders can be compared.
"""

import asyncio

from bench.rehearse.stage import Stage

CONNECTIONS = 10


async def play(stage: Stage) -> None:
    options = stage.options
    planner = stage.planner
    flooding = max(planner.senders, key=lambda sender: len(planner.units_of(sender)))
    quiet = [unit for unit in planner.units if unit not in set(planner.units_of(flooding))]
    before = await stage.push(planner.steady(options.rate, options.seconds, quiet))
    await stage.wait_answered()
    stage.mark("flood")
    flood = asyncio.create_task(
        stage.senders.flood(
            flooding, planner.latest(planner.units_of(flooding)), CONNECTIONS, options.seconds
        )
    )
    during = await stage.push(planner.steady(options.rate, options.seconds, quiet))
    decided = await flood
    await stage.wait_answered()
    stage.mark("flood ends")
    stage.compare("quiet", before, during)
    stage.run.figures["flood_decided_per_s"] = decided / options.seconds
