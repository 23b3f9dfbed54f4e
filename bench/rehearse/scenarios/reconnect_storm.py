"""Reconnect storm: all readers are disconnected at once, and all connect again within a second."""

import asyncio

from bench.rehearse.stage import Stage


async def play(stage: Stage) -> None:
    options = stage.options
    stage.levels |= {"returned.max": 10.0}
    await stage.push(stage.planner.every_unit(within_s=3.0))
    await stage.wait_answered()
    await stage.readers(options.readers, over_s=options.readers / 500)
    pushing = asyncio.create_task(stage.push(stage.planner.steady(options.rate, options.seconds)))
    await asyncio.sleep(options.seconds / 3)
    await stage.cut_readers(within_s=1.0)
    await pushing
    await stage.wait_returned()
