"""Start: CPU of a feed process per publication, at its start and at the end of an embargo, beside reading alone."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from typing import Any

import msgspec
import orjson

from bench.figures import Result, Row, Series, Target
from bench.load.checked import Checker
from bench.load.local import Local, gateway
from bench.load.processes import cpu_s, started_at
from bench.load.target import Created, create_election, wait_served, without_rules
from bench.measure.filled import append_to
from bench.measure.load import generated
from bench.measure.options import Options
from gateway.election.validation import ValidReport
from gateway.journal.connection import open_pool
from gateway.journal.postgres import PostgresJournal

A_SCALE = 10_000
"""Least number of reports of an election of Norway's size."""
STARTS = 3
"""Rounds of every comparison."""
EMBARGO_S, EMBARGO_PER_REPORT_S = 3.0, 6e-5
"""For how long reports are under embargo, in s: longer than it takes to append them."""
MOST_S = 60.0
GOAL = 7
READER = (sys.executable, "-m", "bench.peers.record_reader")
BESIDE = "reading the rows and `orjson.loads` of each body"
LEAST = "ceiling: chain, hashes for the log, figures of each unit's last report and sums, and nothing else"


class Start(msgspec.Struct, frozen=True):
    """The figures of one start."""

    seconds: float
    cpu_s: float


async def measure(options: Options) -> Result:
    """Start feed processes, then end embargoes; each round in turns with the reader alone.

    CPU is counted from the start of a process to ready, or from the end of an embargo until all is shown. What the same
    takes for an election of the same registry without reports is subtracted.
    """
    count = options.publications
    election = generated(count / A_SCALE)
    registry = without_rules(election.registry)
    reports = Checker(registry).check_all(election.bodies()[:count])
    result = Result("start")
    async with gateway(role="push") as filled, gateway(role="push") as empty:
        created = await create_election(filled, registry)
        await append_to(filled, created.id, reports)
        nothing = await create_election(empty, registry)
        starts, net, alone, least = [], [], [], []
        for _ in range(STARTS):
            without = await _start(empty, nothing.id, 0, result)
            starts.append(await _start(filled, created.id, len(reports), result))
            net.append(1e6 * (starts[-1].cpu_s - without.cpu_s) / len(reports))
            alone.append(await _read_alone(filled, created, len(reports), result))
            least.append(await _read_alone(filled, created, len(reports), result, "least"))
    what = f"feed process, {len(reports)} publications to read"
    result.rows = [
        _compared(f"{what}: CPU per publication", net, alone),
        Row.compared(LEAST, Series(LEAST, "µs", least), Series(BESIDE, "µs", alone)),
        Row(f"{what}: start → ready", Series(what, "s", [each.seconds for each in starts])),
        Row(f"{what}: CPU", Series(what, "s", [each.cpu_s for each in starts])),
    ]
    net, alone = await _releases(registry, reports, result)
    what = f"feed process, end of the embargo of {len(reports)} reports: CPU per publication"
    result.rows.insert(1, _compared(what, net, alone))
    return result


def _compared(what: str, net_us: list[float], alone_us: list[float]) -> Row:
    ours, beside = Series(what, "µs", net_us), Series(BESIDE, "µs", alone_us)
    return Row.compared(what, ours, beside, Target(2.0, most=True), goal=GOAL)


async def _start(home: Local, election: str, count: int, result: Result) -> Start:
    async with gateway(
        role="feed", database_url=home.database_url, feed_database_url=home.feed_database_url
    ) as feed:
        pid = (await feed.pids())["feed-0"]
        start = Start(feed.ready_at - started_at(pid), cpu_s(pid))
        if (shown := await _shown(feed, election)) != count:
            result.invalid.append(f"it was ready with {shown} of {count} publications")
    return start


async def _shown(feed: Local, election: str) -> int:
    """Return the sequence that the feed shows; 0 before the release."""
    async with feed.session() as http, http.get(f"{feed.feed_url}/v1/elections/{election}") as answer:
        return int(orjson.loads(await answer.read())["sequence"])


async def _read_alone(home: Local, created: Created, count: int, result: Result, *work: str) -> float:
    """Return the CPU that reading and decoding takes in a process of its own, in µs per publication.

    `work` is an argument of the reader that has it do something else.
    """
    async with open_pool(home.database_url, max_size=1) as pool:
        key = (await PostgresJournal(pool).election(created.id)).key
    process = await asyncio.create_subprocess_exec(
        *READER, home.feed_database_url, str(key), *work, stdout=PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), MOST_S)
    rows, seconds = output.split()
    if int(rows) != count:
        result.invalid.append(f"the reader alone read {rows.decode()} of {count} rows")
    return 1e6 * float(seconds) / count


async def _releases(
    registry: dict[str, Any], reports: Sequence[ValidReport], result: Result
) -> tuple[list[float], list[float]]:
    """End the embargoes of elections with reports, each after that of one without; return CPU in µs per publication."""
    net, alone = [], []
    async with gateway() as local:
        for _ in range(STARTS):
            _, least_s = await _release(local, registry, [], result)
            created, cpu = await _release(local, registry, reports, result)
            net.append(1e6 * (cpu - least_s) / len(reports))
            alone.append(await _read_alone(local, created, len(reports), result))
    return net, alone


async def _release(
    local: Local, registry: dict[str, Any], reports: Sequence[ValidReport], result: Result
) -> tuple[Created, float]:
    """Append reports to a new election under embargo; return the CPU seconds of the feed process for its end."""
    embargo_s = EMBARGO_S + EMBARGO_PER_REPORT_S * len(reports)
    created = await create_election(local, registry, publish_in_s=embargo_s)
    await append_to(local, created.id, reports)
    await wait_served(local, created.id)
    pid = (await local.pids())["feed-0"]
    left_s = created.publish_from.timestamp() - time.time() - 0.2
    if left_s < 0:
        result.invalid.append("the embargo ended before all reports were appended")
    await asyncio.sleep(max(0.0, left_s))
    before = cpu_s(pid)
    async with asyncio.timeout(MOST_S):
        await asyncio.sleep(1.0)
        while True:
            if await _shown(local, created.id) == len(reports):
                return created, cpu_s(pid) - before
            await asyncio.sleep(0.1)
