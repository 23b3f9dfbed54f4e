"""Memory: of the feed process per area, per idle reader, and with a whole election that is read at all levels."""

import asyncio
from typing import Any

from bench.figures import Result, Row, Series, Target, counted
from bench.load.hub import feed_crowd
from bench.load.local import Local, gateway, open_data_set
from bench.load.processes import kernel_socket_kb, pss_kb, resident_kb
from bench.load.target import without_rules
from bench.measure.filled import fill
from bench.measure.load import generated, under_load
from bench.measure.options import Options

READERS = 8_000
"""Enough readers to make memory that the process had free before negligible."""
WARM = 100
"""Readers that are connected before the first measurement of memory."""
QUIET_S = 1.5
LEVELS = "country,county,municipality,precinct"
LEAST_SCALE = 0.01
"""Size of the smallest election, as a multiple of Norway's."""
STARTS = 3
GOAL = 8


async def measure(options: Options) -> Result:
    """Measure the memory per area, then that of readers and of a whole election that is read."""
    per_area = await _per_area(options)
    if options.goals_only:
        return Result("memory", [per_area])
    result = await _of_readers(options)
    result.rows.insert(0, per_area)
    return result


async def _per_area(options: Options) -> Row:
    """Compare feed processes that have just read a large election and a small one, in turns.

    The difference of their proportional set sizes is divided by that of their numbers of areas. All reports of both are
    in the record. There are no seats, no holds and no readers.
    """
    large = generated(options.scales[:2][-1])
    small = generated(min(LEAST_SCALE, options.scales[0] / 2))
    areas = len(large.registry["areas"]) - len(small.registry["areas"])
    kilobytes = []
    async with gateway(role="push") as of_large, gateway(role="push") as of_small:
        for home, election in ((of_large, large), (of_small, small)):
            await fill(home, _without_seats(election.registry), election.bodies())
        for _ in range(STARTS):
            most, least = await _after_start(of_large), await _after_start(of_small)
            kilobytes.append((most - least) / areas)
    what = f"memory of a feed process per area, of {len(large.registry['areas'])} with {len(large)} reports"
    return Row(what, Series(what, "kB", kilobytes), target=Target(2.5, most=True), goal=GOAL)


async def _after_start(home: Local) -> int:
    """Return the proportional set size of a feed process that has started and is quiet, in kB."""
    async with gateway(
        role="feed", database_url=home.database_url, feed_database_url=home.feed_database_url
    ) as feed:
        await asyncio.sleep(QUIET_S)
        return pss_kb((await feed.pids())["feed-0"])


def _without_seats(registry: dict[str, Any]) -> dict[str, Any]:
    plain = without_rules(registry)
    return {**plain, "election": {k: v for k, v in plain["election"].items() if k != "apportionment"}}


async def _of_readers(options: Options) -> Result:
    """Connect a crowd that receives only its snapshot, then push the election and read it at all levels."""
    count = options.readers[-1] if options.readers else READERS
    async with (
        open_data_set(options.data) as dataset,
        gateway(readers_max=100_000) as local,
        under_load(local, dataset) as load,
    ):
        feed = (await local.pids())["feed-0"]
        async with feed_crowd(local, load.target.election) as readers:
            warm = min(WARM, count)
            await readers.connect(warm)
            await asyncio.sleep(QUIET_S)
            before, kernel = pss_kb(feed), kernel_socket_kb()
            connected = await readers.connect(count)
            await asyncio.sleep(QUIET_S)
            each, in_kernel = (pss_kb(feed) - before) / count, (kernel_socket_kb() - kernel) / count
        async with feed_crowd(local, load.target.election, query=f"levels={LEVELS}") as whole:
            plan = load.planner.recorded()
            await whole.connect(1)
            await load.push(plan)
            seen = await whole.wait(len(plan))
            megabytes = resident_kb(feed) / 1024
        await load.judge()
    if seen.behind or connected.readers != warm + count:
        load.faults.append(
            f"{counted(seen.behind, 'reader')} behind, {connected.readers} of {warm + count} connected"
        )
    beside = Series.single("the kernel, for the sockets of both ends", in_kernel, "kB")
    what = f"memory of the feed process per idle reader, of {count}"
    return Result(
        "memory",
        [
            Row.single(what, each, "kB", Target(10, 8, most=True), beside),
            Row.single(
                "feed process, whole election read at all levels", megabytes, "MB", Target(200, most=True)
            ),
        ],
        invalid=load.faults,
    )
