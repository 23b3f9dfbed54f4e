"""Steady: --rate reports per second for --seconds, followed by --readers readers."""

from bench.rehearse.stage import Stage


async def play(stage: Stage) -> None:
    options = stage.options
    await stage.readers(options.readers, over_s=options.readers / 500)
    await stage.push(stage.planner.steady(options.rate, options.seconds))
