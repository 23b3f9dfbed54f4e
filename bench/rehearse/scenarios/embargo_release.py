"""Embargo release: all earlier counts become public at one moment, while all readers wait for them.

Readers request gzip, as browsers do. Each must receive bytes that decode to the same text.
"""

import asyncio
from datetime import UTC, datetime

from bench.rehearse.stage import Options, Stage

ARRIVING_S = 600
"""Readers that connect per second."""
BEFORE_S = 5.0
"""Least time between the last reader and the release, in s."""


def publish_in_s(options: Options) -> float:
    """Return the time that the counts and then the readers need, in s."""
    return 20.0 + 1.5 * options.readers / ARRIVING_S


async def play(stage: Stage) -> None:
    options = stage.options
    units = stage.planner.units
    await stage.push(stage.planner.every_unit(within_s=5.0, units=units[: round(0.535 * len(units))]))
    await stage.wait_answered()
    await stage.readers(options.readers, over_s=options.readers / ARRIVING_S, gzip=True)
    await stage.compare_bytes()
    left_s = (stage.target.publish_from - datetime.now(UTC)).total_seconds()
    if left_s < BEFORE_S:
        stage.run.invalid.append(f"the readers were connected only {left_s:.1f} s before the release")
    await asyncio.sleep(max(0.0, left_s))
    stage.mark("release")
    await stage.wait_released()
