"""Embargo release: what was counted before becomes public at one moment, before everybody who waits for it.

Readers ask for gzip, as browsers do; one in a hundred unpacks what it gets, the others have to get the same bytes.
"""

import asyncio
from datetime import UTC, datetime

from bench.stage import Stage

PUBLISH_IN_S = 45.0
BEFORE_S = 5.0
"""Between the last reader's arrival and the release, at least."""


async def play(stage: Stage) -> None:
    options = stage.options
    units = stage.planner.units
    await stage.push(stage.planner.whole(within_s=5.0, units=units[: round(0.535 * len(units))]))
    await stage.answered()
    await stage.readers(options.readers, over_s=options.readers / 600, gzip=True)
    await stage.arm()
    left_s = (stage.target.publish_from - datetime.now(UTC)).total_seconds()
    if left_s < BEFORE_S:
        stage.run.invalid.append(f"readers were ready only {left_s:.1f} s before the release")
    await asyncio.sleep(max(0.0, left_s))
    stage.mark("release")
    await stage.released()
