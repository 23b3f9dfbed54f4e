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
TURNS = 3


class Start(msgspec.Struct, frozen=True):
    """The figures of one start."""

    seconds: float
    cpu_s: float


async def measure(options: Options) -> Result:
    """Fill a journal, then start a feed process TURNS times, and take the medians."""
    count = options.publications
    election = generated(count / A_SCALE)
    bodies = election.bodies()[:count]
    found = Result("start")
    async with gateway(role="push") as home:
        identifier, seconds = await fill(home, election.registry, bodies)
        turns = [await _start(home, identifier, len(bodies), found) for _ in range(TURNS)]
    what = f"feed process, {len(bodies)} publications to read"
    middle = statistics.median(turn.seconds for turn in turns)
    found.rows = [
        Row.single(f"{what}: start → ready", middle, "s", Target(1.5, most=True)),
        Row.single(f"{what}: CPU", statistics.median(turn.cpu_s for turn in turns), "s"),
    ]
    each = ", ".join(f"{turn.seconds:.2f}" for turn in turns)
    found.notes.append(
        f"starts took {each} s; the journal was filled in {seconds:.1f} s, without a push process"
    )
    return found


async def _start(home: Local, election: str, count: int, found: Result) -> Start:
    async with gateway(
        role="feed", database_url=home.database_url, feed_database_url=home.feed_database_url
    ) as feed:
        pid = (await feed.pids())["feed-0"]
        turn = Start(feed.ready_at - started_at(pid), cpu_s(pid))
        async with feed.session() as http, http.get(f"{feed.feed_url}/v1/elections/{election}") as answer:
            shown = orjson.loads(await answer.read())["sequence"]
    if shown != count:
        found.invalid.append(f"it was ready with {shown} of {count} publications")
    return turn
