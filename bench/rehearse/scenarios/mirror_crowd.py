"""Mirror crowd: --readers poll a mirror behind nginx, half of them from the moment on when the embargo ends.

Those who come at the end of the embargo ask the feed door first, which is full and names the mirror. Every state of
each reader is compared with the public record, and senders beside the crowd with senders before it. It needs nginx, and
a gateway that bench starts, so it does not run with --push.
"""

import asyncio
from datetime import UTC, datetime
from urllib.parse import urlsplit

from bench.rehearse.stage import Options, Stage

ARRIVING_S = 600
"""Readers that connect per second during the embargo."""
RUSH_S = 1.0
"""Seconds within which all others come when the embargo ends."""
STREAMS = 5
"""One reader of the stream for so many of the mirror; with them, the feed door is full."""
OTHERS = 2
"""Places on the stream for the subscriber of this process and for the mirror."""


def publish_in_s(options: Options) -> float:
    """Return the time that senders and the first readers need, in s."""
    return 20.0 + options.seconds + 1.5 * options.readers / ARRIVING_S


def beside_a_mirror(options: Options) -> dict[str, object]:
    """Return the options of a gateway whose feed door has room for some of the readers only."""
    return {"readers_max": _streams(options) + OTHERS}


def _streams(options: Options) -> int:
    return max(1, options.readers // STREAMS)


async def play(stage: Stage) -> None:
    options, planner = stage.options, stage.planner
    stage.levels |= {"mirror_behind": 0.0, "mirror_went_back": 0.0, "mirror_turned_away_short": 0.0}
    units = planner.units
    await stage.push(planner.every_unit(within_s=3.0, units=units[: round(0.535 * len(units))]))
    before = await stage.push(planner.steady(options.rate, options.seconds))
    await stage.wait_answered()
    async with stage.mirrored() as crowd:
        await stage.readers(_streams(options), over_s=_streams(options) / ARRIVING_S, gzip=True)
        early = options.readers // 2
        await crowd.come(early, over_s=early / ARRIVING_S)
        stage.mark("the mirror has readers")
        await crowd.mark()
        left_s = (stage.target.publish_from - datetime.now(UTC)).total_seconds()
        if left_s < 0:
            stage.run.invalid.append(f"the readers were connected {-left_s:.1f} s after the release")
        await asyncio.sleep(max(0.0, left_s))
        stage.mark("release")
        door = urlsplit(stage.target.feed_url)
        late = options.readers - early
        coming = asyncio.create_task(
            crowd.come(late, over_s=RUSH_S, door=(door.hostname or "127.0.0.1", door.port or 80))
        )
        during = await stage.push(planner.steady(options.rate, options.seconds))
        await coming
        await stage.wait_answered()
        await stage.wait_published()
        await crowd.judge(stage.last_seen)
    stage.run.figures["mirror_turned_away_short"] = late - stage.run.figures["mirror_turned_away"]
    stage.compare("sender", before, during)
