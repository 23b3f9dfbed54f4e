"""Slow readers: a third read 1 kB per second, and all are disconnected at once, without delaying any sender."""

import asyncio

from bench.rehearse.stage import Stage


async def play(stage: Stage) -> None:
    options = stage.options
    planner = stage.planner
    before = await stage.push(planner.steady(options.rate, options.seconds / 2))
    await stage.wait_answered()
    await stage.readers(options.readers, over_s=options.readers / 500, slow=1 / 3)
    await asyncio.sleep(1.0)
    pushing = asyncio.create_task(stage.push(planner.steady(options.rate, options.seconds)))
    await asyncio.sleep(options.seconds / 2)
    await stage.cut_readers(within_s=1.0)
    during = await pushing
    await stage.wait_returned()
    await stage.wait_answered()
    stage.compare("receipt_with_readers", before, during)
