"""The capacity of an installation: the highest rate, then the most readers, at which it keeps its service levels.

Each attempt is a short `steady` run. The search doubles the load until a level is missed, then bisects between the
largest load that passed and the smallest that failed, until they differ by less than a fifth.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from bench.figures import counted
from bench.rehearse.play import play
from bench.rehearse.run import Run
from bench.rehearse.stage import Options

CLOSE_ENOUGH = 1.2
ATTEMPTS_MAX = 12


class Capacity(msgspec.Struct, frozen=True):
    """One limit: `passed` is the largest load that kept the levels, `failed` the smallest that did not."""

    what: str
    passed: float
    failed: float | None
    limit: str
    """What was missed first, and which process was the busiest then."""


async def search(
    what: str, first: float, most: float, attempt: Callable[[float], Awaitable[Run]]
) -> Capacity:
    """Search for the largest value at which an attempt is a GO."""
    passed, failed, limit, value = 0.0, None, "no limit up to there", first
    for _ in range(ATTEMPTS_MAX):
        run = await attempt(value)
        if run.go:
            passed = value
        else:
            failed, limit = value, reason(run)
        if failed is None:
            if value >= most:
                break
            value = min(most, 2 * value)
        elif passed and failed / passed <= CLOSE_ENOUGH:
            break
        else:
            value = (passed + failed) / 2 if passed else failed / 2
    return Capacity(what, passed, failed, limit)


def reason(run: Run) -> str:
    """Return why a run is no GO: the levels that were missed, and the busiest process."""
    missed = [f"{level.name} was {level.found:.3g}" for level in run.verdict if not level.kept]
    missed += [broken.guarantee for broken in run.broken]
    missed += [f"the load generator ({text})" for text in run.invalid]
    busy = {
        name: max((value for _, value in points), default=0.0)
        for name, points in run.curves.get("cpu", {}).items()
    }
    if not busy:
        return "; ".join(missed)
    name = max(busy, key=lambda each: busy[each])
    return f"{'; '.join(missed)}; the busiest process was {name} at {busy[name]:.0%} of a core"


async def capacity(
    options: Options,
    levels: Mapping[str, float],
    rate_max: float,
    readers_max: int,
    say: Callable[[str], None],
    **how: Any,
) -> list[Capacity]:
    """Search for the highest rate with a few readers, then for the most readers at a tenth of that rate."""

    async def at(**changed: Any) -> Run:
        tried = msgspec.structs.replace(options, **changed)
        run = await play("steady", tried, levels, **how)
        load = f"{tried.rate:,.0f} reports/s to {counted(tried.readers, 'reader')}"
        say(f"{load}: {'passed' if run.go else reason(run)}")
        return run

    rate = await search("reports per second", 250.0, rate_max, lambda value: at(rate=value, readers=10))
    quiet = max(10.0, rate.passed / 10)
    readers = await search(
        f"readers at {quiet:,.0f} reports per second",
        500.0,
        readers_max,
        lambda value: at(rate=quiet, readers=round(value)),
    )
    return [rate, readers]
