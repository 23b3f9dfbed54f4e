"""Readers that poll a mirror through nginx: CPU at the edge beside that of the stream, and requests at the origin."""

import asyncio
import time
from pathlib import Path

import msgspec

from bench.figures import Result, Row, Target, counted
from bench.load.crowd import Crowd
from bench.load.hub import feed_crowd
from bench.load.mirror_folder import MirrorFolder
from bench.load.mirror_servers import MirrorServers, mirror_places
from bench.load.polling import Polling, polling
from bench.load.polling_messages import Place, Polled
from bench.load.processes import cpu_s
from bench.measure.load import ElectionLoad
from bench.measure.mirror_counts import Heads
from bench.measure.options import Options
from bench.measure.pairs.rounds import Rounds
from gateway.wire.mirror import DEFAULT, live_path

EVERY_S = 2
CROWD = 2_000
"""Readers of each side."""
FEW, MANY = 100, 10_000
ROUNDS = 2
TURN = 1.5
"""Duration of a turn, as a multiple of `Options.seconds`."""
CHANGES_S = 1.0
"""Reports per second while something changes."""
PER_FILE = Target(1.0, most=True)
QUIET, BUSY = "nothing changes", "something changes in every interval"
MIRROR, STREAM = "edge of a mirror", "feed process"


class Stage(msgspec.Struct, frozen=True):
    """A gateway under load, and the servers of its mirror."""

    load: ElectionLoad
    servers: MirrorServers
    feed_pid: int

    def place(self) -> Place:
        """Return where readers of the default profile read."""
        return Place("127.0.0.1", self.servers.edge_port, self.load.target.election, (DEFAULT,), EVERY_S)


async def measure_edge(
    load: ElectionLoad, folder: MirrorFolder, scratch: Path, options: Options, result: Result
) -> Heads:
    """Add the rows, and return the sizes of answers. Raises Unavailable."""
    seconds = TURN * options.seconds
    feed_pid = (await load.local.pids())["feed-0"]
    async with mirror_places(scratch) as places, places.serving(folder.directory, EVERY_S) as servers:
        stage = Stage(load, servers, feed_pid)
        turns = Turns(stage, options.readers[0] if options.readers else CROWD, seconds, result)
        for _ in range(ROUNDS):
            await turns.round()
        turns.add_rows()
        await _measure_origin(stage, options, seconds, result)
    return turns.heads


class Turns:
    """Turns of both sides: readers of the mirror, and as many of the stream at the same interval."""

    def __init__(self, stage: Stage, readers: int, seconds: float, result: Result) -> None:
        self._stage = stage
        self._readers = readers
        self._seconds = seconds
        self._result = result
        self._rounds = Rounds()
        self._per_poll: list[float] = []
        self.heads = Heads(0, 0)

    async def round(self) -> None:
        """Measure each side, while nothing changes and while something does."""
        async with polling() as readers:
            _check(await readers.connect(self._stage.place(), self._readers, over_s=EVERY_S), self._result)
            for pace in (QUIET, BUSY):
                await self._of_mirror(readers, pace)
            _check(await readers.stop(), self._result)
        query = f"every_s={EVERY_S}"
        async with feed_crowd(self._stage.load.local, self._stage.load.target.election, query=query) as crowd:
            await crowd.connect(self._readers)
            for pace in (QUIET, BUSY):
                await self._of_stream(crowd, pace)

    async def _of_mirror(self, readers: Polling, pace: str) -> None:
        servers = self._stage.servers
        await readers.mark()
        edge_s, origin_s, began = servers.edge_cpu_s(), servers.origin_cpu_s(), time.monotonic()
        await self._turn(pace)
        used_s, took_s = servers.edge_cpu_s() - edge_s, time.monotonic() - began
        polled = await readers.look()
        requests = polled.unchanged + polled.changed + polled.files
        self._rounds.add(f"{MIRROR}, {pace}", "µs", 1e6 * used_s / took_s / self._readers)
        self._result.notes.append(
            f"{MIRROR}, {pace}: {polled.unchanged} × 304, {polled.changed} × live.json,"
            f" {counted(polled.files, 'file')}, {1e6 * used_s / max(1, requests):.1f} µs of the edge per request,"
            f" origin {servers.origin_cpu_s() - origin_s:.2f} CPU s, readers {polled.cpu_s:.2f} CPU s"
        )
        self.heads = Heads(polled.unchanged_bytes, polled.head_bytes)

    async def _of_stream(self, crowd: Crowd, pace: str) -> None:
        await crowd.mark()
        before_s, began = cpu_s(self._stage.feed_pid), time.monotonic()
        await self._turn(pace)
        used_s, took_s = cpu_s(self._stage.feed_pid) - before_s, time.monotonic() - began
        seen = await crowd.wait(0)
        self._rounds.add(f"{STREAM}, {pace}", "µs", 1e6 * used_s / took_s / self._readers)
        if seen.lost or seen.readers < self._readers:
            self._result.invalid.append(f"{STREAM}, {pace}: {seen.lost} streams disconnected")

    async def _turn(self, pace: str) -> None:
        if pace == BUSY:
            await change(self._stage, self._seconds)
        else:
            await asyncio.sleep(self._seconds)

    def add_rows(self) -> None:
        """Add a row for each pace."""
        for pace in (QUIET, BUSY):
            what = f"CPU per reader and second at an edge, {self._readers} readers, every {EVERY_S} s: {pace}"
            ours = msgspec.structs.replace(self._rounds[f"{MIRROR}, {pace}"], name=what)
            stream = self._rounds[f"{STREAM}, {pace}"]
            beside = msgspec.structs.replace(stream, name=f"{STREAM}, every_s={EVERY_S}")
            self._result.rows.append(Row(what, ours, beside))


async def change(stage: Stage, seconds: float) -> None:
    """Push reports at CHANGES_S; return when the time is over."""
    began = time.monotonic()
    plan = stage.load.planner.steady(CHANGES_S, max(seconds, 1 / CHANGES_S))
    await stage.load.push(plan, CHANGES_S)
    await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))


async def _measure_origin(stage: Stage, options: Options, seconds: float, result: Result) -> None:
    """Have few readers and then many follow the same load, each with an edge that knows nothing of it."""
    live = f"/{live_path(stage.load.target.election)}"
    totals: list[int] = []
    for readers in (FEW, options.readers[0] if options.readers else MANY):
        async with polling() as crowd:
            before, began = stage.servers.requests(), time.monotonic()
            _check(await crowd.connect(stage.place(), readers, over_s=max(1.0, readers / 1000)), result)
            await change(stage, seconds)
            last = stage.load.subscriber.sequence
            await crowd.look(last)
            asked, took_s = stage.servers.requests() - before, time.monotonic() - began
            polled = await crowd.stop()
        _check(polled, result)
        of_live = asked.pop(live, 0)
        totals.append(sum(asked.values()))
        per_age = of_live / (1 + took_s / EVERY_S)
        what = f"requests at the origin of a mirror, per file and edge, {readers} readers"
        result.rows += [
            Row.single(
                f"{what}: most of any immutable file", max(asked.values(), default=0), "requests", PER_FILE
            ),
            Row.single(f"{what}: live.json, per {EVERY_S} s", per_age, "requests", PER_FILE),
        ]
        requests = polled.unchanged + polled.changed + polled.files
        result.notes.append(
            f"{readers} readers, each with a socket: {requests} requests at the edge, of them {of_live + totals[-1]}"
            f" at the origin ({of_live} × live.json, {counted(totals[-1], 'immutable file')}) in {took_s:.1f} s"
        )


def _check(polled: Polled, result: Result) -> None:
    result.invalid += [each for each in polled.faults if each not in result.invalid]
    if polled.without_state or polled.older:
        result.invalid.append(
            f"mirror: {counted(polled.without_state, 'reader')} without a state, {polled.older} × an older live.json"
        )
