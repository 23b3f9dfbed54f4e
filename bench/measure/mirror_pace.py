"""When publications are in the newest file of a mirror, and the CPU of its process at the recorded pace."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from bench.figures import Histogram, Result, Row, Target, counted
from bench.load.local import Local
from bench.load.mirror_folder import MirrorFolder
from bench.load.mirror_process import mirror
from bench.load.plan import Planned
from bench.load.processes import cpu_s
from bench.load.senders import Senders
from bench.measure.load import ElectionLoad, under_load
from bench.measure.options import Options
from gateway.rehearsal.dataset import DataSet

RATE = 50.0
INTERVALS_S = (1, 2)
STEADY, SETTLE, REPLAYED = 5.0, 5.0, 10.0
"""Durations of the steady load, of a pause before each load, and of the replay, as multiples of `Options.seconds`."""
MORE_S = 0.3
"""Seconds that a publication may take to the newest file, beyond the interval of the mirror (p99)."""
CPU = Target(5.0, most=True)
HOUR_S = 3600.0
CPU_EVERY_S = 2


async def measure_delay(
    load: ElectionLoad, folders: Mapping[int, MirrorFolder], seconds: float, result: Result
) -> None:
    """Add the rows of mirrors that follow the same steady load, by interval."""
    first = len(load.planner.units)
    plan = load.planner.steady(RATE, seconds)
    watching = {
        every_s: asyncio.create_task(folder.watch(first + len(plan))) for every_s, folder in folders.items()
    }
    before_s, began = {every_s: cpu_s(each.pid) for every_s, each in folders.items()}, time.monotonic()
    await load.push(plan, RATE)
    seen = {every_s: await task for every_s, task in watching.items()}
    took_s = time.monotonic() - began
    published = [each.published_at for each in await load.stored(after=first)]
    for every_s, steps in seen.items():
        delays = Histogram()
        for sequence, at in enumerate(published, first + 1):
            assert at is not None
            delays.add(next(found for found, shown in steps if shown >= sequence) - at.timestamp())
        what = f"publication → in the newest file of a mirror, every {every_s} s, {RATE:g} reports/s"
        result.rows += [
            Row.single(f"{what}: p50", delays.at(50), "s"),
            Row.single(f"{what}: p99", delays.at(99), "s", Target(every_s + MORE_S, most=True)),
        ]
        share = 100 * (cpu_s(folders[every_s].pid) - before_s[every_s]) / took_s
        result.notes.append(f"{what}: {counted(len(steps), 'step')}, {share:.1f} % of a core")


async def measure_cpu(
    local: Local, dataset: DataSet, directory: Path, options: Options, result: Result
) -> None:
    """Replay the part of the night that has the most reports, at its own pace, with what was reported before."""
    seconds = REPLAYED * options.seconds
    async with under_load(local, dataset, judged=False) as load:
        planner = load.planner
        begins_s = busiest(planner.times, dataset.registry, seconds)
        plan = planner.recorded({at: at.timestamp() - begins_s for at in planner.times})
        earlier = [each for each in plan if each.due_s < 0]
        window = [each for each in plan if 0 <= each.due_s < seconds]
        await load.push(earlier)
        await load.wait_reached(len(earlier))
        async with mirror(local.feed_url, load.target.election, directory, CPU_EVERY_S) as folder:
            await folder.wait_reached(len(earlier))
            await asyncio.sleep(SETTLE * options.seconds)  # every file is written once
            used_s, took_s = await _replay(load, window, seconds, folder.pid)
            await folder.wait_reached(len(earlier) + len(window))
        load.faults += await _missing(load, len(earlier) + len(window))
    result.invalid += load.faults
    what = f"CPU of a mirror, every {CPU_EVERY_S} s, recorded pace, the busiest {seconds:g} s of the night"
    result.rows.append(
        Row.single(f"{what} ({counted(len(window), 'report')})", 100 * used_s / took_s, "% of a core", CPU)
    )


async def _replay(
    load: ElectionLoad, window: Sequence[Planned], seconds: float, pid: int
) -> tuple[float, float]:
    """Return the CPU seconds of a process while reports are sent when they are due, and how long that took."""
    async with Senders(load.target) as senders:
        await senders.open(list(dict.fromkeys(each.sender for each in window)))
        before_s, began = cpu_s(pid), time.monotonic()
        await senders.play(window)
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
        used_s, took_s = cpu_s(pid) - before_s, time.monotonic() - began
        await senders.wait_answered(30.0)
    return used_s, took_s


async def _missing(load: ElectionLoad, reports: int) -> list[str]:
    stored = len(await load.stored(after=0))
    return [] if stored == reports else [f"{reports} reports were sent, and {stored} are public"]


def busiest(times: Sequence[datetime], registry: dict[str, object], seconds: float) -> float:
    """Return when the interval of this length begins that has the most reports after the embargo, since 1970."""
    election = registry["election"]
    assert isinstance(election, dict)
    release_s = datetime.fromisoformat(election["publish_from"]).timestamp()
    night = sorted(at_s for each in times if 0 <= (at_s := each.timestamp()) - release_s < 6 * HOUR_S)
    first, best, begins_s = 0, 0, release_s
    for last, at_s in enumerate(night):
        while night[first] <= at_s - seconds:
            first += 1
        if last - first + 1 > best:
            best, begins_s = last - first + 1, night[first]
    return begins_s
