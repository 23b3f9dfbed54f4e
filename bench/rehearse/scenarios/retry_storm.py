"""Retry storm: Postgres stops for 20 s while all senders push; then they all push again."""

import asyncio

from bench.rehearse.stage import Stage

STOPPED_S = 20.0


async def play(stage: Stage) -> None:
    options = stage.options
    await stage.readers(options.readers, over_s=options.readers / 500)
    stage.levels |= {"receipt.p99": STOPPED_S + 15.0, "subscriber.p99": STOPPED_S + 15.0, "recovered_s": 10.0}
    pushing = asyncio.create_task(stage.push(stage.planner.steady(options.rate, STOPPED_S + 20.0)))
    await asyncio.sleep(5.0)
    stage.mark("Postgres stopped")
    async with stage.postgres_paused():
        await asyncio.sleep(STOPPED_S)
    stage.mark("Postgres continued")
    continued_at = stage.now()
    await pushing
    await stage.wait_answered()
    stage.note_recovery(since=continued_at)
