"""How much an installation can take: the highest rate, and then the most readers, that hold the service levels.

Each attempt is a short `steady` run of its own. The search doubles until a level is missed, and then halves what is
between the last that held and the first that did not, until that is known within a fifth.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from bench.rehearse.play import play
from bench.rehearse.run import Run
from bench.rehearse.stage import Options

CLOSE_ENOUGH = 1.2
ATTEMPTS_MAX = 12


class Capacity(msgspec.Struct, frozen=True):
    """What was found of one measure: `holds` is the largest that held, `fails` the smallest that did not."""

    what: str
    holds: float
    fails: float | None
    gave_out: str
    """What was missed first, and which process was the busiest then."""


async def search(
    what: str, first: float, most: float, attempt: Callable[[float], Awaitable[Run]]
) -> Capacity:
    """Search the largest value at which an attempt is a GO."""
    holds, fails, gave_out, value = 0.0, None, "nothing up to there", first
    for _ in range(ATTEMPTS_MAX):
        run = await attempt(value)
        if run.go:
            holds = value
        else:
            fails, gave_out = value, reason(run)
        if fails is None:
            if value >= most:
                break
            value = min(most, 2 * value)
        elif holds and fails / holds <= CLOSE_ENOUGH:
            break
        else:
            value = (holds + fails) / 2 if holds else fails / 2
    return Capacity(what, holds, fails, gave_out)


def reason(run: Run) -> str:
    """Say what gave out: the levels that were missed, and who was busiest."""
    missed = [f"{level.name} was {level.found:.3g}" for level in run.verdict if not level.held]
    missed += [broken.guarantee for broken in run.broken]
    missed += [f"the load generator ({text})" for text in run.invalid]
    busy = {
        name: max((value for _, value in points), default=0.0)
        for name, points in run.curves.get("cpu", {}).items()
    }
    if not busy:
        return "; ".join(missed)
    name = max(busy, key=lambda each: busy[each])
    return f"{'; '.join(missed)}; busiest was {name} at {busy[name]:.0%} of a core"


async def capacity(
    options: Options,
    levels: Mapping[str, float],
    rate_max: float,
    readers_max: int,
    say: Callable[[str], None],
    **how: Any,
) -> list[Capacity]:
    """Search the highest rate with a few readers, then the most readers at a tenth of that rate."""

    async def at(**changed: Any) -> Run:
        tried = msgspec.structs.replace(options, **changed)
        run = await play("steady", tried, levels, **how)
        say(f"{tried.rate:,.0f} reports/s, {tried.readers} readers: {'holds' if run.go else reason(run)}")
        return run

    rate = await search("reports a second", 250.0, rate_max, lambda value: at(rate=value, readers=10))
    quiet = max(10.0, rate.holds / 10)
    readers = await search(
        f"readers at {quiet:,.0f} reports a second",
        500.0,
        readers_max,
        lambda value: at(rate=quiet, readers=round(value)),
    )
    return [rate, readers]
