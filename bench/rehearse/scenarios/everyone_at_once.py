"""Everyone at once: all municipalities finish in the same second, and each pushes the counts of all its units."""

from bench.rehearse.stage import Stage


async def play(stage: Stage) -> None:
    await stage.readers(stage.options.readers, over_s=stage.options.readers / 500)
    await stage.senders.open(stage.planner.senders)
    stage.mark("everyone pushes")
    await stage.push(stage.planner.every_unit(within_s=1.0))
