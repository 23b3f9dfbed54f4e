"""Retry storm: Postgres is away for 20 s while everybody pushes, then it is back, and so is everybody."""

import asyncio

from bench.rehearse.stage import Stage

AWAY_S = 20.0


async def play(stage: Stage) -> None:
    options = stage.options
    await stage.readers(options.readers, over_s=options.readers / 500)
    stage.levels |= {"receipt.p99": AWAY_S + 15.0, "subscriber.p99": AWAY_S + 15.0, "recovered_s": 10.0}
    pushing = asyncio.create_task(stage.push(stage.planner.steady(options.rate, AWAY_S + 20.0)))
    await asyncio.sleep(5.0)
    stage.mark("Postgres away")
    async with stage.postgres_paused():
        await asyncio.sleep(AWAY_S)
    stage.mark("Postgres back")
    back_at = stage.now()
    await pushing
    await stage.answered()
    stage.recovered(since=back_at)
