"""Mirror: delay, CPU and PUTs of a mirror; CPU at its edge beside the stream's, bytes per reader, and its origin.

Two mirrors of one gateway, with intervals of one and two seconds, follow a steady load. nginx serves the directory of
one of them as its origin and as an edge, both with the files of `deploy/mirror`, to readers that ask every two seconds
on a connection that stays open, with `If-None-Match`. Another mirror follows the busiest part of the recording at its
own pace. Bytes, PUTs and requests to catch up are counted in simulated time.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from bench.figures import Result, Row, Skipped, Unavailable
from bench.load.local import gateway, open_data_set
from bench.load.mirror_process import mirror
from bench.load.mirror_servers import readable_directory
from bench.measure.load import under_load
from bench.measure.mirror_counts import count
from bench.measure.mirror_edge import EVERY_S, measure_edge
from bench.measure.mirror_pace import INTERVALS_S, SETTLE, STEADY, measure_cpu, measure_delay
from bench.measure.options import Options


def _stored(sizes: Sequence[int]) -> list[Row]:
    what = "all files of a mirror, every unit has reported"
    return [
        Row.single(f"{what}: number", len(sizes), "files"),
        Row.single(f"{what}: stored, compressed", sum(sizes) / 1e6, "MB"),
    ]


async def measure(options: Options) -> Result:
    """Measure everything, apart from what needs nginx if it is not installed."""
    result, heads = Result("mirror"), None
    async with open_data_set(options.data) as dataset:
        with readable_directory() as scratch:
            async with gateway(readers_max=100_000) as local:
                async with under_load(local, dataset) as load, AsyncExitStack() as mirrors:
                    await load.push(load.planner.every_unit(within_s=0.0))
                    folders = {}
                    for every_s in INTERVALS_S:
                        folders[every_s] = await mirrors.enter_async_context(
                            mirror(
                                local.feed_url, load.target.election, scratch / f"every-{every_s}", every_s
                            )
                        )
                        await folders[every_s].wait_reached(len(load.planner.units))
                    await asyncio.sleep(SETTLE * options.seconds)  # every file is written once
                    await measure_delay(load, folders, STEADY * options.seconds, result)
                    try:
                        heads = await measure_edge(load, folders[EVERY_S], scratch, options, result)
                    except Unavailable as error:
                        result.skipped.append(Skipped.of(error))
                    result.rows += _stored(folders[EVERY_S].stored())
                    await load.judge()
                    result.invalid += load.faults
                await measure_cpu(local, dataset, scratch / "replayed", options, result)
        count(dataset, heads, result)
    return result
