"""Restatement: after the whole count, every unit is corrected within a minute (--seconds of it)."""

from bench.rehearse.stage import Stage


async def play(stage: Stage) -> None:
    options = stage.options
    await stage.readers(options.readers, over_s=options.readers / 500)
    await stage.push(stage.planner.whole(within_s=5.0))
    await stage.answered()
    stage.mark("all is corrected")
    units = stage.planner.units
    await stage.push(stage.planner.steady(len(units) / options.seconds, options.seconds, reason="control"))
