"""Embargo release: what was counted before becomes public at one moment, before everybody who waits for it.

Readers ask for gzip, as browsers do; one in a hundred unpacks what it gets, the others have to get the same bytes.
"""

import asyncio
from datetime import UTC, datetime

from bench.rehearse.stage import Options, Stage

ARRIVING_S = 600
"""Readers that come in a second."""
BEFORE_S = 5.0
"""Between the last reader's arrival and the release, at least."""


def publish_in_s(options: Options) -> float:
    """Time for the counts, then for the readers."""
    return 20.0 + 1.5 * options.readers / ARRIVING_S


async def play(stage: Stage) -> None:
    options = stage.options
    units = stage.planner.units
    await stage.push(stage.planner.whole(within_s=5.0, units=units[: round(0.535 * len(units))]))
    await stage.answered()
    await stage.readers(options.readers, over_s=options.readers / ARRIVING_S, gzip=True)
    await stage.arm()
    left_s = (stage.target.publish_from - datetime.now(UTC)).total_seconds()
    if left_s < BEFORE_S:
        stage.run.invalid.append(f"readers were ready only {left_s:.1f} s before the release")
    await asyncio.sleep(max(0.0, left_s))
    stage.mark("release")
    await stage.released()
