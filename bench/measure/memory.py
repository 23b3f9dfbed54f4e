"""Memory: of the feed process per idle reader, and with a whole election that is read at all levels."""

import asyncio

from bench.figures import Result, Row, Series, Target, counted
from bench.load.hub import feed_crowd
from bench.load.local import gateway, open_data_set
from bench.load.processes import kernel_socket_kb, pss_kb, resident_kb
from bench.measure.load import under_load
from bench.measure.options import Options

READERS = 8_000
"""Enough readers to make memory that the process had free before negligible."""
WARM = 100
"""Readers that are connected before the first measurement of memory."""
QUIET_S = 1.5
LEVELS = "country,county,municipality,precinct"


async def measure(options: Options) -> Result:
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
