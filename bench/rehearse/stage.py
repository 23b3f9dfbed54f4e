"""What a scenario plays on: senders, a crowd of readers, a subscriber who keeps a copy, and clocks beside them all.

    async def play(stage: Stage) -> None:
        await stage.readers(1000, over_s=5)
        await stage.push(stage.planner.steady(rate=200, seconds=30))

A stage opens everything, leaves a record of all that happened, and lets the judge look at it.
"""

import asyncio
import os
import statistics
import sys
import time
from asyncio.subprocess import PIPE, Process
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import aiohttp
import asyncpg
import msgspec
import orjson

from bench.figures import Histogram
from bench.load.crowd import Told
from bench.load.environment import environment
from bench.load.history import judged, stored_reports
from bench.load.local import Local, cpu_s, resident_kb
from bench.load.offer import Offered, offer
from bench.load.plan import Planned, Planner
from bench.load.senders import Senders, Sent, outcomes
from bench.load.target import NoTarget, Target
from bench.rehearse.run import BUSY_MAX, LAG_MAX_S, Run, over_time, per_second, queue_of
from gateway.client.subscriber import Subscriber
from gateway.rehearsal.judge import ObservedBlock, observe

CROWD = (sys.executable, "-m", "bench.load.crowd")
LINE_MAX = 64 << 20
SETTLE_S = 60.0
"""How long everything may take to be answered and shown after the last report."""
PERCENTILES = (50.0, 99.0)


class Options(msgspec.Struct, frozen=True):
    """What a person may change of any scenario; what it means is the scenario's to say."""

    readers: int = 1000
    rate: float = 200.0
    """Reports a second."""
    seconds: float = 20.0
    speed: float = 0.0
    """How many times as fast as it was recorded a night is played; 0: as fast as possible."""
    gzip: bool = False


class Stage:
    """One run of one scenario. Times are by the monotonic clock, shared with all processes of this machine."""

    def __init__(self, target: Target, planner: Planner, options: Options, run: Run) -> None:
        self.target = target
        self.planner = planner
        self.options = options
        self.run = run
        self.began = time.monotonic()
        self.senders = Senders(target)
        self.crowd: Process | None = None
        self.told: list[Told] = []
        self.levels: dict[str, float] = {}
        """Service levels of this scenario's own, beside or instead of the default ones."""
        self._blocks: list[tuple[int, float]] = []
        self._observed: list[ObservedBlock] = []
        self._done: dict[str, asyncio.Event] = {}
        self._deltas: dict[str, tuple[float, float]] = {}
        self._wanted_readers = 0
        self._hearing: asyncio.Task[None] | None = None

    # What a scenario says.

    def mark(self, text: str) -> None:
        """Note a moment, for the plots."""
        self.run.marks.append((round(time.monotonic() - self.began, 3), text))

    async def push(self, plan: Sequence[Planned]) -> list[Sent]:
        """Send a plan, each report when it is due; return once all is sent."""
        return await self.senders.play(plan)

    async def answered(self, most_s: float = SETTLE_S) -> None:
        """Wait until all that was sent is answered."""
        if not await self.senders.answered(most_s):
            self.mark("not all is answered")

    async def shown(self, most_s: float = SETTLE_S) -> None:
        """Wait until the subscriber has all that has a receipt."""
        ends = time.monotonic() + most_s
        last = max((each.answer.sequence or 0 for each in self._with_receipt() if each.answer), default=0)
        while not self._blocks or self._blocks[-1][0] < last:
            if time.monotonic() > ends:
                self.mark("not all is shown")
                return
            await asyncio.sleep(0.01)

    async def readers(
        self, count: int, *, over_s: float = 2.0, slow: float = 0.0, query: str = "", gzip: bool | None = None
    ) -> None:
        """Have readers come evenly within so many seconds; return when each has its first block."""
        if not count:
            return
        self._wanted_readers += count
        wanted = self.options.gzip if gzip is None else gzip
        await self._tell(
            {"do": "connect", "count": count, "over_s": over_s, "slow": slow, "query": query, "gzip": wanted},
            most_s=over_s + 120.0,
        )
        self.mark(f"{count} readers")

    async def arm(self) -> None:
        """Have readers compare what they get from here on."""
        await self._tell({"do": "arm"}, most_s=30.0)

    async def cut_readers(self, within_s: float = 1.0) -> None:
        """Cut every reader at once; they come back within so many seconds."""
        self.mark("all readers cut")
        await self._write({"do": "cut", "within_s": within_s})

    async def returned(self, most_s: float = 60.0) -> None:
        """Wait until all readers are connected again."""
        await self._wait_readers(lambda told: told.connected, most_s)

    async def released(self, most_s: float = 60.0) -> None:
        """Wait until the subscriber sees what the embargo had held."""
        ends = time.monotonic() + most_s
        while self._blocks[-1][0] == 0:
            if time.monotonic() > ends:
                self.run.invalid.append("no release was seen")
                return
            await asyncio.sleep(0.005)
        self.run.figures["release_seen_s"] = time.time() - self.target.publish_from.timestamp()
        await asyncio.sleep(self.options.readers / 2000)

    def now(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    def recovered(self, since: float) -> None:
        """Note how long after a moment everything that had waited was answered, and the silence before."""
        answered = sorted(each.answered_at - self.began for each in self._with_receipt())
        silence = max((after - before for before, after in pairwise(answered)), default=0.0)
        self.run.figures["without_receipts_s"] = silence
        late = [at for at in answered if at >= since]
        due = [each for each in self._with_receipt() if each.due_at - self.began < since]
        last = max((each.answered_at - self.began for each in due), default=since)
        self.run.figures["first_receipt_s"] = (late[0] - since) if late else float("inf")
        self.run.figures["recovered_s"] = max(0.0, last - since)

    def compare(self, name: str, before: Sequence[Sent], during: Sequence[Sent]) -> None:
        """Note the latency of the same senders before and during something."""
        both = []
        for when, part in (("before", before), ("during", during)):
            histogram = Histogram().add_all(
                max(0.0, each.answered_at - each.due_at) for each in part if each.answer is not None
            )
            self.run.latencies[f"{name}_{when}"] = histogram.summary()
            both.append(histogram.at(99))
        self.run.figures[f"{name}_p99_times"] = both[1] / both[0]

    @asynccontextmanager
    async def postgres_paused(self) -> AsyncIterator[None]:
        """Stop every process of our own Postgres for a while, as a machine that hangs does."""
        with self._own().postgres_stopped():
            yield

    @asynccontextmanager
    async def slow_commits(self, capacity: float) -> AsyncIterator[None]:
        """Have our own Postgres take so many reports a second at most, by waiting under the head lock."""
        connection = await asyncpg.connect(self._own().database_url)
        try:
            await connection.execute(SLOW_COMMITS.format(wait_s=1 / capacity))
            yield
        finally:
            await connection.execute("DROP FUNCTION valgnatt.bench_wait() CASCADE")
            await connection.close()

    async def offer(self, rate: float, seconds: float) -> Offered:
        """Offer single reports by HTTP at a rate, whatever becomes of them; see `bench.load.offer`."""
        return await offer(self.target, self.planner, rate, seconds, self.senders.offered)

    def _own(self) -> Local:
        if self.target.local is None:
            raise NoTarget("this scenario does something to the database, and so needs a gateway of its own")
        return self.target.local

    # How it is played.

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Stage"]:
        """Open all parts; on leaving, collect what they saw into the run."""
        async with self.senders, asyncio.TaskGroup() as parts:
            attached = asyncio.Event()
            background = [
                parts.create_task(self._follow(attached), name="subscriber"),
                parts.create_task(self._sample(), name="samples"),
            ]
            async with asyncio.timeout(30):
                await attached.wait()
            self.began = time.monotonic()
            try:
                yield self
                await self.answered()
                await self.shown()
                await self._stop_crowd()
                self.run.seconds = time.monotonic() - self.began
                await self._collect()
            finally:
                if self.crowd is not None and self.crowd.returncode is None:
                    self.crowd.kill()
                for task in background:
                    task.cancel()

    async def _follow(self, attached: asyncio.Event) -> None:
        async with Subscriber(self.target.feed_url, self.target.election) as subscriber:
            async for block in subscriber.blocks():
                self._blocks.append((block.sequence, time.monotonic()))
                self._observed.append(observe(block, time.time()))
                attached.set()

    async def _sample(self) -> None:
        """Look each second at every process that can be seen, and at the gateway's own metrics."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0)) as http:
            while True:
                await asyncio.sleep(1.0)
                at = time.monotonic() - self.began
                self._note_cpu(at, "load: senders", *_self_usage())
                local = self.target.local
                if local is None:
                    continue
                for name, pid in (await local.pids()).items():
                    self._note_cpu(at, name, cpu_s(pid), resident_kb(pid) / 1024)
                self._note_cpu(at, "postgres", *local.postgres_usage())
                try:
                    async with http.get(f"{local.admin_url}/metrics") as answer:
                        self._note_metrics(at, await answer.text())
                except (aiohttp.ClientError, TimeoutError):
                    pass  # the curve has a gap there

    def _note_cpu(self, at: float, name: str, cpu: float, megabytes: float) -> None:
        before = self._deltas.get(name)
        self._deltas[name] = (at, cpu)
        if before is not None and at > before[0]:
            self._line("cpu", name, at, max(0.0, (cpu - before[1]) / (at - before[0])))
        if megabytes:
            self._line("memory", name, at, megabytes)

    def _note_metrics(self, at: float, text: str) -> None:
        waiting, oldest_s = queue_of(text)
        self._line("queue", "reports waiting", at, waiting)
        self._line("age", "oldest", at, oldest_s)

    def _line(self, plot: str, name: str, at: float, value: float) -> None:
        self.run.curves.setdefault(plot, {}).setdefault(name, []).append((round(at, 2), round(value, 4)))

    # The crowd.

    async def _tell(self, command: Mapping[str, Any], most_s: float) -> None:
        self._done[command["do"]] = done = asyncio.Event()
        await self._write(command)
        try:
            async with asyncio.timeout(most_s):
                await done.wait()
        except TimeoutError:
            self.mark(f"readers did not {command['do']} in time")

    async def _write(self, command: Mapping[str, Any]) -> None:
        if self.crowd is None:
            self.crowd = await asyncio.create_subprocess_exec(
                *CROWD, self.target.feed_url, self.target.election, stdin=PIPE, stdout=PIPE, limit=LINE_MAX
            )
            self._hearing = asyncio.create_task(self._hear(self.crowd))
        assert self.crowd.stdin is not None
        self.crowd.stdin.write(orjson.dumps(command) + b"\n")
        await self.crowd.stdin.drain()

    async def _hear(self, crowd: Process) -> None:
        assert crowd.stdout is not None
        while line := await crowd.stdout.readline():
            told = msgspec.json.decode(line, type=Told)
            self.told.append(told)
            self._note_cpu(told.at - self.began, "load: readers", told.cpu_s, 0.0)
            if told.done in self._done:
                self._done[told.done].set()

    async def _wait_readers(self, connected: Callable[[Told], int], most_s: float) -> None:
        wanted, ends = self._wanted_readers, time.monotonic() + most_s
        while not self.told or connected(self.told[-1]) < wanted:
            if time.monotonic() > ends:
                self.run.invalid.append(f"only {connected(self.told[-1])} of {wanted} readers came back")
                return
            await asyncio.sleep(0.1)
        await asyncio.sleep(2.0)

    async def _stop_crowd(self) -> None:
        if self.crowd is not None:
            await asyncio.sleep(1.2)  # what is on its way is counted with the next tick
            await self._tell({"do": "stop"}, most_s=30.0)
            await self.crowd.wait()
            assert self._hearing is not None
            await self._hearing

    # What came of it.

    def _with_receipt(self) -> list[Sent]:
        return [each for each in self.senders.sent if each.answer is not None and each.answer.has_receipt]

    async def _collect(self) -> None:
        run = self.run
        held = self._with_receipt()
        run.outcomes = dict(outcomes([*self.senders.sent, *self.senders.flooded, *self.senders.offered]))
        self._latency("receipt", [(each.due_at, each.answered_at - each.due_at) for each in held])
        self._latency(
            "publication", [(each.due_at, _publication_s(each)) for each in held if _is_public(each)]
        )
        self._latency("subscriber", self._to_subscriber(held))
        self._offered(held)
        self._collect_crowd()
        stored = await stored_reports(self.target)
        run.figures["reports"] = len(self.senders.sent)
        run.figures["unanswered"] = sum(each.answer is None for each in self.senders.sent)
        accepted = {(each.unit, each.revision) for each in stored}
        run.figures["lost"] = sum((each.planned.unit, each.planned.revision) not in accepted for each in held)
        run.broken = judged(self.target, self.senders.pushes(), self._observed, stored)
        self._look_at_self()

    def _latency(self, name: str, points: Sequence[tuple[float, float]]) -> None:
        if not points:
            return
        histogram = Histogram().add_all(max(0.0, value) for _, value in points)
        self.run.latencies[name] = histogram.summary()
        self.run.histograms[name] = histogram.encoded()
        shifted = ((at - self.began, value) for at, value in points)
        for line, found in over_time(shifted, PERCENTILES).items():
            self.run.curves.setdefault("latency", {})[f"{name} {line}"] = found

    def _to_subscriber(self, held: Sequence[Sent]) -> list[tuple[float, float]]:
        sequences = [sequence for sequence, _ in self._blocks]
        found = []
        for each in held:
            assert each.answer is not None
            if each.answer.sequence is not None:
                place = bisect_left(sequences, each.answer.sequence)
                if place < len(sequences):
                    found.append((each.due_at, self._blocks[place][1] - each.due_at))
        return found

    def _offered(self, held: Sequence[Sent]) -> None:
        rates = self.run.curves.setdefault("rate", {})
        rates["offered"] = per_second(each.due_at - self.began for each in self.senders.sent)
        rates["accepted"] = per_second(each.answered_at - self.began for each in held)
        published: list[float] = []
        before = 0
        for sequence, at in self._blocks:
            published += [at - self.began] * (sequence - before)
            before = sequence
        rates["published"] = per_second(published)
        if held:
            first, last = min(each.due_at for each in held), max(each.answered_at for each in held)
            self.run.figures["accepted_per_s"] = len(held) / max(1e-9, last - first)

    def _collect_crowd(self) -> None:
        run = self.run
        if not self.told:
            return
        reader = Histogram()
        for told in self.told:
            reader.add_counts(told.delivered)
            at = told.at - self.began
            self._line("readers", "connected", at, told.connected)
            if told.delivered:
                self._line("delivered", "publications covered", at, told.covered)
                part = Histogram()
                part.add_counts(told.delivered)
                for percentile in PERCENTILES:
                    self._line("latency", f"reader p{percentile:g}", at, part.at(percentile))
        if len(reader):
            run.latencies["reader"], run.histograms["reader"] = reader.summary(), reader.encoded()
        for name in ("joined", "returned"):
            values = [value for told in self.told for value in getattr(told, name)]
            if values:
                run.latencies[name] = Histogram().add_all(values).summary()
        last = self.told[-1]
        final = self._blocks[-1][0]
        run.figures["behind"] = sum(
            count for sequence, count in last.last_sequences.items() if sequence < final
        )
        run.figures["turned_away"] = sum(told.refused for told in self.told)
        run.figures["streams_lost"] = sum(told.lost for told in self.told)
        run.figures["wire_megabytes"] = sum(told.wire_bytes for told in self.told) / 1e6
        if last.compared or last.differing:
            run.figures["compared"], run.figures["differing"] = last.compared, last.differing
        if last.last_byte_at:
            run.figures["release_s"] = last.last_byte_at - self.target.publish_from.timestamp()

    def _look_at_self(self) -> None:
        """Say whether it was the load generator that was slow, and not the gateway."""
        run = self.run
        if len(self.senders.late_s) > 10:
            late = Histogram().add_all(max(0.0, value) for value in self.senders.late_s)
            run.latencies["generator"] = late.summary()
            if late.at(99) > LAG_MAX_S:
                run.invalid.append(
                    f"reports left {late.at(99):.2f} s late (p99): the load generator was too slow"
                )
        worst = (
            statistics.quantiles([told.lag_s for told in self.told], n=20)[-1] if len(self.told) > 2 else 0.0
        )
        run.figures["crowd_lag_s"] = worst
        if worst > LAG_MAX_S:
            run.invalid.append(f"the readers' process was {worst:.2f} s late: it was too slow, not the feed")
        for name in ("load: senders", "load: readers"):
            busy = [value for _, value in run.curves.get("cpu", {}).get(name, [])]
            if len(busy) >= 5 and statistics.median(busy) > BUSY_MAX:
                run.invalid.append(
                    f"{name.removeprefix('load: ')} took {statistics.median(busy):.0%} of a core"
                )


def new_run(scenario: str, about: str, target: Target, options: Options) -> Run:
    """Begin a run."""
    return Run(
        scenario=scenario,
        about=about,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=environment(target.local),
        options={**msgspec.to_builtins(options), "senders": len(target.tokens), "election": target.election},
    )


def _is_public(each: Sent) -> bool:
    return (
        each.answer is not None and each.answer.state == "published" and each.answer.published_at is not None
    )


def _publication_s(each: Sent) -> float:
    assert each.answer is not None
    assert each.answer.published_at is not None
    due_wall = each.wall - (each.answered_at - each.due_at)
    return each.answer.published_at.timestamp() - due_wall


def _self_usage() -> tuple[float, float]:
    times = os.times()
    return times.user + times.system, resident_kb(os.getpid()) / 1024


SLOW_COMMITS = """
CREATE FUNCTION valgnatt.bench_wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep((SELECT count(*) FROM new_reports) * {wait_s});
    RETURN NULL;
END $$;
CREATE TRIGGER bench_wait AFTER INSERT ON valgnatt.report REFERENCING NEW TABLE AS new_reports
FOR EACH STATEMENT EXECUTE FUNCTION valgnatt.bench_wait();
"""
