"""Reader crowd: --readers connect within ten seconds and then follow reports at --rate."""

from bench.rehearse.stage import Stage


async def play(stage: Stage) -> None:
    options = stage.options
    await stage.push(stage.planner.every_unit(within_s=3.0))
    await stage.wait_answered()
    await stage.readers(options.readers, over_s=10.0)
    stage.mark("live")
    await stage.push(stage.planner.steady(options.rate, options.seconds))
