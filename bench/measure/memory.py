"""Memory: each idle reader of a feed process that has seen nothing else, and the whole election at all levels."""

import asyncio

from bench.figures import Result, Row, Series, Target
from bench.load.hub import feed_stand
from bench.load.local import election, gateway, resident_kb
from bench.load.processes import kernel_socket_kb, pss_kb
from bench.measure.load import playing
from bench.measure.options import Options

READERS = 8_000
"""So many that what the process had free before does not count for much."""
WARM = 100
"""Readers that have come before memory is looked at."""
QUIET_S = 1.5
LEVELS = "country,county,municipality,precinct"


async def measure(options: Options) -> Result:
    """Let a crowd in that hears no more than its snapshot, then push the election and have it read at all levels."""
    count = options.readers[-1] if options.readers else READERS
    async with (
        election(options.data) as dataset,
        gateway(readers_max=100_000) as local,
        playing(local, dataset) as play,
    ):
        feed = (await local.pids())["feed-0"]
        async with feed_stand(local, play.target.election) as readers:
            warm = min(WARM, count)
            await readers.connect(warm)
            await asyncio.sleep(QUIET_S)
            before, kernel = pss_kb(feed), kernel_socket_kb()
            there = await readers.connect(count)
            await asyncio.sleep(QUIET_S)
            each, in_kernel = (pss_kb(feed) - before) / count, (kernel_socket_kb() - kernel) / count
        async with feed_stand(local, play.target.election, query=f"levels={LEVELS}") as whole:
            plan = play.planner.night()
            await whole.connect(1)
            await play.push(plan)
            told = await whole.wait(len(plan))
            megabytes = resident_kb(feed) / 1024
        await play.judge()
    if told.behind or there.readers != warm + count:
        play.faults.append(f"{told.behind} readers are behind, {there.readers} of {warm + count} are there")
    beside = Series.single("the kernel, for the sockets of both ends", in_kernel, "kB")
    what = f"memory of the feed process for an idle reader, of {count}"
    return Result(
        "memory",
        [
            Row.single(what, each, "kB", Target(10, 8, most=True), beside),
            Row.single(
                "feed process, whole election read at all levels", megabytes, "MB", Target(200, most=True)
            ),
        ],
        invalid=play.faults,
    )
