"""Night: a whole election as it was recorded, --speed times as fast or at once, with readers from the start."""

from bench.rehearse.stage import Stage
from gateway.rehearsal.schedule import at_speed


async def play(stage: Stage) -> None:
    options = stage.options
    await stage.readers(options.readers, over_s=options.readers / 500)
    times = stage.planner.times
    if options.speed:
        schedule = at_speed(times, min(times), options.speed)
        plan = stage.planner.recorded({time: schedule.offset_s(time) for time in times})
    else:
        plan = stage.planner.recorded()
    await stage.push(plan)
