"""Restatement: after the count is complete, every unit is corrected within --seconds."""

from bench.rehearse.stage import Stage


async def play(stage: Stage) -> None:
    options = stage.options
    await stage.readers(options.readers, over_s=options.readers / 500)
    await stage.push(stage.planner.every_unit(within_s=5.0))
    await stage.wait_answered()
    stage.mark("every unit is corrected")
    units = stage.planner.units
    await stage.push(stage.planner.steady(len(units) / options.seconds, options.seconds, reason="control"))
