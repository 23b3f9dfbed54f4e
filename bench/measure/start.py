"""Start: a feed process that has 100 000 publications to read, from the start of the process to ready."""

import statistics

import msgspec
import orjson

from bench.figures import Result, Row, Target
from bench.load.local import Local, gateway
from bench.load.processes import cpu_s, started_at
from bench.measure.filled import fill
from bench.measure.load import generated
from bench.measure.options import Options

A_SCALE = 10_000
"""Least number of reports of an election of Norway's size."""
STARTS = 3


class Start(msgspec.Struct, frozen=True):
    """The figures of one start."""

    seconds: float
    cpu_s: float


async def measure(options: Options) -> Result:
    """Fill a journal, then start a feed process STARTS times, and take the medians."""
    count = options.publications
    election = generated(count / A_SCALE)
    bodies = election.bodies()[:count]
    result = Result("start")
    async with gateway(role="push") as home:
        identifier, seconds = await fill(home, election.registry, bodies)
        starts = [await _start(home, identifier, len(bodies), result) for _ in range(STARTS)]
    what = f"feed process, {len(bodies)} publications to read"
    middle = statistics.median(start.seconds for start in starts)
    result.rows = [
        Row.single(f"{what}: start → ready", middle, "s", Target(1.5, most=True)),
        Row.single(f"{what}: CPU", statistics.median(start.cpu_s for start in starts), "s"),
    ]
    each = ", ".join(f"{start.seconds:.2f}" for start in starts)
    result.notes.append(
        f"starts took {each} s; the journal was filled in {seconds:.1f} s, without a push process"
    )
    return result


async def _start(home: Local, election: str, count: int, result: Result) -> Start:
    async with gateway(
        role="feed", database_url=home.database_url, feed_database_url=home.feed_database_url
    ) as feed:
        pid = (await feed.pids())["feed-0"]
        start = Start(feed.ready_at - started_at(pid), cpu_s(pid))
        async with feed.session() as http, http.get(f"{feed.feed_url}/v1/elections/{election}") as answer:
            shown = orjson.loads(await answer.read())["sequence"]
    if shown != count:
        result.invalid.append(f"it was ready with {shown} of {count} publications")
    return start
