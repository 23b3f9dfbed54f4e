"""Run a soak: elections one after the other, readers that come and go, restarts, and samples of everything.

A cycle is the life of one election. In each, one push and one feed process are ended, in turn by SIGKILL and SIGTERM;
the supervisor restarts them. The other processes run from the beginning to the end. Everything that grows with the
duration is written to a file: this process keeps no history.
"""

import asyncio
import os
import shutil
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec

from bench.earlier import keep_earlier
from bench.figures import counted
from bench.load.environment import environment
from bench.load.local import new_directory
from bench.load.processes import end
from bench.soak.installation import Installation, installation, workers
from bench.soak.messages import NightOrder, NightSeen, ReadersOrder, ReadersSeen
from bench.soak.observer import Observer
from bench.soak.report import DATA, PAGE, TABLE, Soak, write
from bench.soak.samples import Sample, SampleFile
from bench.soak.series import boundaries_of
from bench.soak.trend import percentile
from gateway.output import say

SAMPLES = "soak.samples.ndjson"
CYCLES_MIN = 15
CYCLE_MIN_S, CYCLE_MAX_S = 20.0, 900.0
EMBARGO_PART = 0.15
BURSTS = (0.5, 0.85)
"""When reports arrive at once, as parts of a cycle."""
PUSH_ENDED, FEED_ENDED = 0.4, 0.7
"""When a process of each door is ended, as parts of a cycle."""
BURST = 357
LIVES_S = 60.0
"""Mean duration of a reader's connection."""
SAMPLE_MIN_S, SAMPLE_MAX_S = 1.0, 10.0
COUNT_MIN = 20
"""Latencies from which a percentile is computed."""
MESSAGE_MAX = 8 << 20
JUDGED_AT_ONCE = 2
"""Elections that are judged while the next one is pushed; each process has the history of one."""
RESTART_S = 30.0
"""How long a process may take to drain and to be restarted."""
LATE_MAX_S = 1.0
"""A load process that is later than this at the median of all intervals measures itself."""


class SoakOptions(msgspec.Struct, frozen=True):
    """How long and how much."""

    hours: float = 1.0
    rate: float = 30.0
    """Reports per second."""
    readers: int = 300
    cycle_s: float = 0.0
    """Duration of one election in s; 0: a fifteenth of the run, between CYCLE_MIN_S and CYCLE_MAX_S."""
    data: Path | None = None

    @property
    def seconds(self) -> float:
        """Duration of the run."""
        return 3600.0 * self.hours

    @property
    def each_s(self) -> float:
        """Duration of one election."""
        return self.cycle_s or min(CYCLE_MAX_S, max(CYCLE_MIN_S, self.seconds / CYCLES_MIN))


class Conductor:
    """Conducts one soak."""

    def __init__(self, options: SoakOptions, installed: Installation, out: Path, soak: Soak) -> None:
        self._options = options
        self._installed = installed
        self._out = out
        self._soak = soak
        self._began = time.monotonic()
        self._file = SampleFile(out / SAMPLES)
        self._observer = Observer(installed, self._began)
        self._sample_s = min(SAMPLE_MAX_S, max(SAMPLE_MIN_S, options.each_s / 24))
        self._latencies: dict[str, Counter[int]] = {}
        """Since the last sample: microseconds → number. A histogram for each sample would be 0.4 MB of garbage."""
        self._readers_seen: ReadersSeen | None = None
        self._late: Counter[int] = Counter()
        """Lateness of the load in each interval, in ms."""
        self._cycles: list[float] = []
        """When each cycle began."""
        self._ended_here = 0
        """Processes of the gateway that were ended on purpose."""
        self._outcomes: Counter[str] = Counter()

    async def run(self) -> None:
        """Run for the duration of the options; leave the results in the soak, also if it is cut off."""
        try:
            ended_at = await self._run()
        except BaseException as error:
            self._soak.notes.invalid.append(f"the run was cut off: {type(error).__name__}: {error}")
            self._finish(self._elapsed())
            raise
        self._finish(ended_at)

    async def _run(self) -> float:
        """Run; return when the last election was closed."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10.0)) as session,
            asyncio.TaskGroup() as tasks,
        ):
            sampling = tasks.create_task(self._sample(session), name="samples")
            judging: list[asyncio.Task[None]] = []
            async with self._readers() as move:
                while self._elapsed() < self._options.seconds - self._options.each_s / 2:
                    closed = asyncio.Event()
                    night = tasks.create_task(self._night(move, session, closed), name="night")
                    judging = [task for task in judging if not task.done()] + [night]
                    waiting = asyncio.ensure_future(closed.wait())
                    await asyncio.wait((waiting, night), return_when=asyncio.FIRST_COMPLETED)
                    waiting.cancel()
                    while sum(not task.done() for task in judging) > JUDGED_AT_ONCE:
                        await asyncio.wait(judging, return_when=asyncio.FIRST_COMPLETED)
                        judging = [task for task in judging if not task.done()]
                ended_at = self._elapsed()
                await asyncio.gather(*judging)
            await self._wait_restarted()
            sampling.cancel()
        await self._observer.close()
        return ended_at

    async def _wait_restarted(self) -> None:
        """Wait until the supervisor has restarted every process that was ended, as long as that may take."""
        ends = time.monotonic() + RESTART_S
        while self._observer.restarts < self._ended_here and time.monotonic() < ends:  # noqa: ASYNC110
            await asyncio.sleep(self._sample_s)

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _mark(self, text: str) -> None:
        self._soak.notes.marks.append((round(self._elapsed(), 1), text))

    # Elections.

    async def _night(
        self, move: Callable[[str], None], session: aiohttp.ClientSession, closed: asyncio.Event
    ) -> None:
        """Play one election in a process of its own; set `closed` when the next one may begin."""
        local, options = self._installed.local, self._options
        each_s = min(options.each_s, max(CYCLE_MIN_S / 2, options.seconds - self._elapsed()))
        order = NightOrder(
            local.push_url,
            local.feed_url,
            local.admin_url,
            local.database_url,
            local.postmaster,
            str(options.data or ""),
            each_s,
            options.rate,
            EMBARGO_PART * each_s,
            [part * each_s for part in BURSTS],
            BURST,
            self._sample_s,
        )
        process = await _started("bench.soak.night")
        self._observer.load["night"] = process.pid
        ending: asyncio.Task[None] | None = None
        judged = False
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(msgspec.json.encode(order) + b"\n")
            while line := await process.stdout.readline():
                seen = msgspec.json.decode(line, type=NightSeen)
                self._note("time to receipt", seen.receipts)
                self._note("publication to subscriber", seen.lags)
                self._late[round(1000 * seen.late_s)] += 1
                if seen.do == "opened":
                    self._cycles.append(self._elapsed())
                    move(seen.election)
                    ending = asyncio.create_task(self._end_processes(session, each_s, len(self._cycles)))
                elif seen.do == "closed":
                    closed.set()
                elif seen.do == "judged":
                    judged = True
                    self._note_judged(seen)
        finally:
            if ending is not None:
                ending.cancel()
            await end(process)
            closed.set()
        if not judged:
            self._soak.notes.faults.append(
                f"the process of an election ended with status {process.returncode}"
            )

    def _note_judged(self, seen: NightSeen) -> None:
        self._outcomes.update(seen.outcomes)
        figures = self._soak.figures
        for name, count in (
            ("elections judged", 1.0),
            ("reports with an answer", seen.reports),
            ("sockets of senders reconnected", seen.reconnected),
            ("held reports decided on", seen.decided),
        ):
            figures[name] = figures.get(name, 0.0) + count
        figures["longest judgement, s"] = max(figures.get("longest judgement, s", 0.0), seen.took_s)
        self._soak.notes.faults += [f"{seen.election}: {fault}" for fault in seen.faults]
        say(
            f"{self._elapsed():7.0f} s  {seen.election}: {counted(seen.reports, 'report')},"
            f" {counted(len(seen.faults), 'fault')}, judged in {seen.took_s:.0f} s",
            err=True,
        )

    async def _end_processes(self, session: aiohttp.ClientSession, each_s: float, number: int) -> None:
        """End one process of each door at its time in the cycle."""
        names = {signal.SIGKILL: "SIGKILL", signal.SIGTERM: "SIGTERM"}
        order = (signal.SIGKILL, signal.SIGTERM) if number % 2 else (signal.SIGTERM, signal.SIGKILL)
        before = 0.0
        for (name, part), which in zip((("push-0", PUSH_ENDED), ("feed-0", FEED_ENDED)), order, strict=True):
            await asyncio.sleep((part - before) * each_s)
            before = part
            with suppress(aiohttp.ClientError, TimeoutError, ProcessLookupError):
                pid = (await workers(self._installed.local, session))[name]["pid"]
                if pid is not None:
                    os.kill(pid, which)
                    self._ended_here += 1
                    self._observer.counts["restarts"] = float(self._ended_here)
                    self._mark(f"{name} {names[which]}")

    # Readers.

    @asynccontextmanager
    async def _readers(self) -> AsyncIterator[Callable[[str], None]]:
        """Run the readers; yield what moves them to another election."""
        process = await _started("bench.soak.readers")
        self._observer.load["readers"] = process.pid
        where = urlsplit(self._installed.local.feed_url)
        assert process.stdin is not None
        stdin = process.stdin

        def move(election: str) -> None:
            order = ReadersOrder(
                where.hostname or "",
                where.port or 0,
                election,
                self._options.readers,
                min(LIVES_S, self._options.each_s),
                self._sample_s,
            )
            stdin.write(msgspec.json.encode(order) + b"\n")

        reading = asyncio.create_task(self._read_readers(process))
        try:
            yield move
        finally:
            await end(process)
            await reading

    async def _read_readers(self, process: Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self._readers_seen = seen = msgspec.json.decode(line, type=ReadersSeen)
            self._note("connecting to first block", seen.first)
            self._late[round(1000 * seen.late_s)] += 1

    # Samples.

    def _note(self, name: str, counts: dict[int, int]) -> None:
        if counts:
            self._latencies.setdefault(name, Counter()).update(counts)

    async def _sample(self, session: aiohttp.ClientSession) -> None:
        due_at = time.monotonic()
        while True:
            due_at = max(due_at + self._sample_s, time.monotonic())
            await asyncio.sleep(due_at - time.monotonic())
            values, started = await self._observer.observe(session)
            for name, found in self._latencies.items():
                if found.total() >= COUNT_MIN:
                    values[f"latency/{name}, p50"] = percentile(found, 50) / 1e6
                    values[f"latency/{name}, p99"] = percentile(found, 99) / 1e6
            self._latencies = {}
            if (seen := self._readers_seen) is not None:
                values["readers/connected"] = float(seen.connected)
                values["readers/silent"] = float(seen.silent)
            self._file.append(Sample(round(self._elapsed(), 2), values, started, dict(self._observer.counts)))

    # Results.

    def _finish(self, ended_at: float) -> None:
        soak = self._soak
        soak.seconds = ended_at
        soak.outcomes = dict(self._outcomes)
        soak.notes.boundaries = boundaries_of(self._cycles, ended_at)
        counts = self._observer.counts
        soak.figures |= {
            "reports in the record": counts["reports"],
            "elections in the database": counts["elections"],
            "processes ended": self._ended_here,
            "processes restarted by the supervisor": self._observer.restarts,
        }
        if (seen := self._readers_seen) is not None:
            soak.figures |= {
                "readers joined": seen.joined,
                "readers left": seen.left,
                "readers cut off by the gateway": seen.cut,
                "readers refused": seen.refused,
                "documents requested": seen.documents,
                "blocks received": seen.blocks,
                "megabytes received": seen.megabytes,
                "blocks that went back": seen.went_back,
            }
            if seen.went_back:
                soak.notes.faults.append(f"{seen.went_back} blocks went back")
        if self._observer.restarts != self._ended_here:
            soak.notes.faults.append(
                f"{self._observer.restarts} processes were restarted, but {self._ended_here} were ended on purpose"
            )
        errors = [
            line for line in self._installed.logged_errors() if '"worker ended unexpectedly"' not in line
        ]
        soak.notes.faults += [f"logged: {line[:300]}" for line in errors[:10]]
        late_s = percentile(self._late, 50) / 1000
        soak.figures["lateness of the load, median of intervals, s"] = late_s
        if late_s > LATE_MAX_S:
            soak.notes.invalid.append(
                f"the load itself was late by {late_s:.1f} s at the median of intervals"
            )


async def _started(module: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, stdin=PIPE, stdout=PIPE, limit=MESSAGE_MAX
    )


async def play(options: SoakOptions, out: Path) -> Soak:
    """Run a soak on a gateway of its own, and write its report into a directory."""
    out.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing else runs yet
    keep_earlier(out / PAGE, out / DATA, out / TABLE, out / SAMPLES)
    directory = new_directory()
    try:
        async with installation(directory) as installed:
            soak = Soak(
                datetime.now(UTC).isoformat(timespec="seconds"),
                environment(installed.local),
                {**msgspec.to_builtins(options, enc_hook=str), "election_s": options.each_s},
            )
            try:
                await Conductor(options, installed, out, soak).run()
            finally:
                write(soak, SampleFile(out / SAMPLES), out)
                shutil.copy(installed.log, out / "soak.gateway.log")
                shutil.copy(installed.data_dir / "server.log", out / "soak.postgres.log")
            if status := await installed.stop():
                soak.notes.faults.append(f"the gateway ended with status {status}")
                write(soak, SampleFile(out / SAMPLES), out)
    finally:
        await asyncio.get_running_loop().run_in_executor(
            None, partial(shutil.rmtree, directory, ignore_errors=True)
        )
    return soak
