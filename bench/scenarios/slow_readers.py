"""Slow readers: a third of the crowd takes 1 kB a second; nobody else may notice."""

import asyncio

from bench.stage import Stage


async def play(stage: Stage) -> None:
    options = stage.options
    planner = stage.planner
    before = await stage.push(planner.steady(options.rate, options.seconds / 2))
    await stage.answered()
    await stage.readers(options.readers, over_s=options.readers / 500, slow=1 / 3)
    await asyncio.sleep(1.0)
    during = await stage.push(planner.steady(options.rate, options.seconds))
    await stage.answered()
    stage.compare("receipt_with_readers", before, during)
