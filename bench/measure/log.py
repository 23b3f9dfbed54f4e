"""Log: what the tree of the signed record costs a feed process: per report, in memory, per request, and at a start.

The recorded election is applied by the feed's own code in this process, ten reports per head, with the tree and without
it in turns; with it, there is a checkpoint for every 200 reports (every 5 s at 40 per second), which is compared with
the tree. Then a gateway with a signer holds the same reports, and its feed process is asked for every part of the log
over one connection. At last, feed processes are started on that database.
"""

import asyncio
import gc
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from bench.figures import Result, Row, Series, Target
from bench.load.local import Local, gateway, open_data_set
from bench.load.processes import cpu_s, started_at
from bench.load.record import publications
from bench.measure.filled import fill
from bench.measure.options import Options
from gateway.election.hold_list import HoldLine
from gateway.election.log_record import Cosignature, LogHead, SignedCheckpoint
from gateway.election.record import Head, Publication, Unapplied
from gateway.election.registry_reading import read_registry
from gateway.feed.log_tree import AppliedTree
from gateway.feed.stream import Documents, ElectionFeed
from gateway.rehearsal.dataset import DataSet
from gateway.telemetry.metrics import FeedMetrics
from gateway.transparency.checkpoint import Checkpoint
from gateway.transparency.tree import Tree
from gateway.trimmed_json import dumps_trimmed

PAIRS, STARTS = 10, 3
PER_HEAD, PER_CHECKPOINT = 10, 200
"""Reports that are applied at once, and that each checkpoint covers more than the one before."""
ASKED = 500
"""Requests of each kind."""
MOST = Target(1.10, most=True)
LOG_NAME = "measured.example"
WAIT_S = 60.0
AT = datetime(2025, 9, 8, 19, tzinfo=UTC)


async def measure(options: Options) -> Result:
    """Measure the three parts."""
    result = Result("log")
    async with open_data_set(options.data) as dataset:
        await _measure_applying(dataset, options, result)
        await _measure_served(dataset, options, result)
    return result


# Applying.


class _Given:
    """A record and its log, as the feed of one election reads them."""

    def __init__(self, dataset: DataSet, night: Sequence[Publication]) -> None:
        self.documents = Documents(dumps_trimmed(dataset.registry), None)
        self.night = night
        self.opening = b'{"entry":"opening/1"}'
        self.checkpoints: list[SignedCheckpoint] = []
        tree = Tree()
        tree.append(self.opening)
        for sequence, each in enumerate(night, 1):
            tree.append(each.body)
            if sequence % PER_CHECKPOINT == 0 or sequence == len(night):
                checkpoint = Checkpoint("measured", tree.size, tree.root())
                note = f"{checkpoint.text()}\n— measured AAAAAAA=\n"
                self.checkpoints.append(SignedCheckpoint(tree.size, tree.root(), AT, note))
        self.signed = 0

    def head(self, sequence: int) -> Head:
        return Head(1, "e", AT, AT, AT, None, sequence, self.night[sequence - 1].chain, sequence, False)

    def log_head(self) -> LogHead:
        size = self.checkpoints[self.signed - 1].size if self.signed else 0
        return LogHead(1, "e", 1, self.opening, None, "measured", ("k",), (), size, self.signed)

    async def publications(self, _: int, after: int, most: int) -> list[Publication]:
        return list(self.night[after : after + most])

    async def heads(self) -> list[Head]:
        return []

    async def registry(self, _: int) -> bytes:
        return self.documents.registry

    async def previous(self, _: int) -> bytes | None:
        return None

    async def hold_lines(self, *_: int) -> list[HoldLine]:
        return []

    async def unapplied(self, *_: int) -> list[Unapplied]:
        return []

    async def contacts(self, _: int) -> dict[str, datetime]:
        return {}


class _Logs:
    """The log of a `_Given`."""

    def __init__(self, given: _Given) -> None:
        self._given = given

    async def heads(self) -> list[LogHead]:
        return [self._given.log_head()]

    async def checkpoints(self, *asked: int) -> list[SignedCheckpoint]:
        after = asked[2]
        return [each for each in self._given.checkpoints[: self._given.signed] if each.size > after]

    async def cosignatures(self, *_: int) -> list[Cosignature]:
        return []


async def _measure_applying(dataset: DataSet, options: Options, result: Result) -> None:
    registry = read_registry(dataset.registry, stored=True)
    night = list(publications(dataset, registry))[: max(options.reports, 1)]
    given = _Given(dataset, night)
    with_us: list[float] = []
    without_us: list[float] = []
    for number in range(PAIRS):
        for tree in (True, False) if number % 2 else (False, True):
            (with_us if tree else without_us).append(await _applied_us(given, tree=tree))
    what = f"feed: CPU per report, {len(night)} reports, {PER_HEAD} at once"
    unit = "µs per report"
    without = Series("without the tree", unit, without_us)
    result.rows += [
        Row.compared(
            f"{what}, a checkpoint for every {PER_CHECKPOINT}",
            Series("with the tree", unit, with_us),
            without,
            MOST,
        ),
        Row.single("tree of a feed: memory per report", _memory_per_report(night), "B per report"),
    ]


async def _applied_us(given: _Given, *, tree: bool) -> float:
    """Apply the whole record with one feed; return the CPU time per report in microseconds."""
    given.signed = 0
    feed = ElectionFeed(given, given.head(1), given.documents, FeedMetrics(), _Logs(given) if tree else None)
    if not tree:
        setattr(feed.log, "add", lambda _: None)  # noqa: B010 - not for mypy
    running = [asyncio.create_task(each.run()) for each in (feed, feed.log)]
    gc.collect()
    started = time.process_time()
    last = len(given.night)
    for sequence in (*range(PER_HEAD, last, PER_HEAD), last):
        feed.update_head(given.head(sequence))
        await feed.wait_reached(sequence, WAIT_S)
        if tree and given.checkpoints[given.signed].size <= sequence + 1:
            given.signed += 1
            feed.log.update_heads([given.log_head()])
    while tree and feed.log.size <= last:  # noqa: ASYNC110 - nothing signals it
        await asyncio.sleep(0.001)
    used_s = time.process_time() - started
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return 1e6 * used_s / last


def _memory_per_report(night: Sequence[Publication]) -> float:
    tracemalloc.start()
    tree = AppliedTree()
    tree.open(b"opening")
    tree.add(night)
    for _ in tree.grow(len(night) + 1):
        pass
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used / len(night)


# Serving.


async def _measure_served(dataset: DataSet, options: Options, result: Result) -> None:
    bodies = [dumps_trimmed(each.report) for each in dataset.reports()][: options.reports]
    with tempfile.TemporaryDirectory(prefix="valgnatt-measure-") as keys:
        signer = {"sign_dir": Path(keys), "log_name": LOG_NAME, "checkpoint_every_s": 1}
        async with gateway(**signer, unshared_per_address=None) as local:
            election, _ = await fill(local, dataset.registry, bodies)
            await _wait_covered(local, election, len(bodies), result)
            rows = await _measure_routes(local, election, len(bodies))
            rows += await _measure_start(local, election, len(bodies), result)
    result.rows += rows


async def _wait_covered(local: Local, election: str, sequence: int, result: Result) -> float:
    """Wait until the feed door shows a checkpoint that covers a sequence; return when, since the machine was booted."""
    ends = time.monotonic() + WAIT_S
    async with local.session() as session:
        while time.monotonic() < ends:
            url = f"{local.feed_url}/v1/elections/{election}/log/checkpoint"
            async with session.get(url) as response:
                text = await response.text()
            if response.status == 200 and int(text.split("\n")[1]) > sequence:
                return time.clock_gettime(time.CLOCK_BOOTTIME)
            await asyncio.sleep(0.01)
    result.invalid.append(f"no checkpoint covered report {sequence} within {WAIT_S:.0f} s")
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def _measure_routes(local: Local, election: str, reports: int) -> list[Row]:
    """Ask for every part of the log, and for an area beside it."""
    size, rows = reports + 1, []
    log = f"{local.feed_url}/v1/elections/{election}/log"
    full = size // 256
    asked: dict[str, Sequence[str]] = {
        "checkpoint": ["checkpoint"] * ASKED,
        "10 checkpoints": ["checkpoints?limit=10"] * ASKED,
        "tile": [f"tile/0/{number % full:03d}" for number in range(ASKED)] if full else ["tile/0/000.p/1"],
        "entry bundle, first request": [f"tile/entries/{number:03d}" for number in range(full)]
        or ["tile/entries/000.p/1"],
        "entry bundle": [f"tile/entries/{number % full:03d}" for number in range(ASKED)]
        if full
        else ["tile/entries/000.p/1"],
        "proof": [f"proof/{1 + number * 997 % reports}" for number in range(ASKED)],
        "beyond the checkpoint": [f"proof/{size + 1}"] * ASKED,
    }
    pid = (await local.pids())["feed-0"]
    async with local.session() as session:
        beside = await _asked_us(session, pid, [f"{local.feed_url}/v1/elections"] * ASKED)
        for what, paths in asked.items():
            used_us = await _asked_us(session, pid, [f"{log}/{path}" for path in paths])
            rows.append(
                Row.single(
                    f"CPU of a request: {what}",
                    used_us,
                    "µs",
                    None,
                    Series.single("the list of elections", beside, "µs"),
                )
            )
    return rows


async def _asked_us(session: aiohttp.ClientSession, pid: int, urls: Sequence[str]) -> float:
    """Request addresses one after the other; return the CPU time of the process per request in microseconds."""
    before_s = cpu_s(pid)
    for url in urls:
        async with session.get(url) as response:
            await response.read()
    return 1e6 * (cpu_s(pid) - before_s) / len(urls)


async def _measure_start(home: Local, election: str, reports: int, result: Result) -> list[Row]:
    """Start feed processes; return when they were ready, and when they showed the newest checkpoint."""
    ready: list[float] = []
    shown: list[float] = []
    used_s: list[float] = []
    for _ in range(STARTS):
        async with gateway(
            role="feed", database_url=home.database_url, feed_database_url=home.feed_database_url
        ) as feed:
            pid = (await feed.pids())["feed-0"]
            began = started_at(pid)
            ready.append(feed.ready_at - began)
            shown.append(await _wait_covered(feed, election, reports, result) - began)
            used_s.append(cpu_s(pid))
    what = f"feed process, {reports} publications to read"
    return [
        Row.single(f"{what}: CPU until the newest checkpoint is shown", statistics.median(used_s), "s"),
        Row.single(f"{what}: start → ready", statistics.median(ready), "s"),
        Row.single(f"{what}: start → newest checkpoint shown", statistics.median(shown), "s"),
    ]
