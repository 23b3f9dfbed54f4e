"""Reader crowd: --readers come within ten seconds, and then follow a count at --rate."""

from bench.rehearse.stage import Stage


async def play(stage: Stage) -> None:
    options = stage.options
    await stage.push(stage.planner.whole(within_s=3.0))
    await stage.answered()
    await stage.readers(options.readers, over_s=10.0)
    stage.mark("live")
    await stage.push(stage.planner.steady(options.rate, options.seconds))
