"""What a scenario runs on: senders, a crowd of readers, a subscriber that keeps a copy, and samples of all processes.

    async def play(stage: Stage) -> None:
        await stage.readers(1000, over_s=5)
        await stage.push(stage.planner.steady(rate=200, seconds=30))

A stage starts everything, collects what happened into a `Run`, and has the judge check it.
"""

import asyncio
import os
import statistics
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise

import aiohttp
import asyncpg
import msgspec

from bench.figures import Histogram, counted
from bench.load.crowd import Crowd, crowd, feed_readers
from bench.load.crowd_process import Seen
from bench.load.environment import environment
from bench.load.history import broken_guarantees, stored_reports
from bench.load.local import Local
from bench.load.offer import Offered, offer
from bench.load.plan import Planned, Planner
from bench.load.processes import cpu_s, resident_kb
from bench.load.senders import Senders, Sent, outcomes
from bench.load.target import NoTarget, Target
from bench.rehearse.run import BUSY_MAX, LAG_MAX_S, Run, over_time, per_second, queue_of
from gateway.client.subscriber import Subscriber
from gateway.rehearsal.judge import ObservedBlock, observe

CONNECT_S = 120.0
"""How long readers may take to receive their first event, after the last of them has connected."""
REPORT_S = 1.0
"""Interval at which the crowd of readers reports."""
SETTLE_S = 60.0
"""How long it may take after the last report until everything is answered and published, in s."""
PERCENTILES = (50.0, 99.0)


class Options(msgspec.Struct, frozen=True):
    """Options of every scenario; the scenario defines their exact meaning."""

    readers: int = 1000
    rate: float = 200.0
    """Reports per second."""
    seconds: float = 20.0
    speed: float = 0.0
    """Speed of a recorded election, as a multiple of the original; 0: as fast as possible."""
    gzip: bool = False


class Stage:
    """One run of one scenario. Times are those of the monotonic clock, which all processes of this machine share."""

    def __init__(self, target: Target, planner: Planner, options: Options, run: Run) -> None:
        self.target = target
        self.planner = planner
        self.options = options
        self.run = run
        self.began = time.monotonic()
        self.senders = Senders(target)
        self.crowd: Crowd | None = None
        self.seen: list[Seen] = []
        self.levels: dict[str, float] = {}
        """Service levels of this scenario, which add to the default ones or replace them."""
        self._blocks: list[tuple[int, float]] = []
        self._observed: list[ObservedBlock] = []
        self._readers_cpu_s = 0.0
        self._deltas: dict[str, tuple[float, float]] = {}
        self._wanted_readers = 0
        self._stack = AsyncExitStack()

    # What a scenario uses.

    def mark(self, text: str) -> None:
        """Mark this moment in the plots."""
        self.run.marks.append((round(time.monotonic() - self.began, 3), text))

    async def push(self, plan: Sequence[Planned]) -> list[Sent]:
        """Send a plan, each report when it is due; return when everything is sent."""
        return await self.senders.play(plan)

    async def wait_answered(self, most_s: float = SETTLE_S) -> None:
        """Wait until everything that was sent is answered."""
        if not await self.senders.wait_answered(most_s):
            self.mark("some reports are not answered")

    async def wait_published(self, most_s: float = SETTLE_S) -> None:
        """Wait until the subscriber has every report that has a receipt."""
        ends = time.monotonic() + most_s
        last = max((each.answer.sequence or 0 for each in self._with_receipt() if each.answer), default=0)
        while not self._blocks or self._blocks[-1][0] < last:
            if time.monotonic() > ends:
                self.mark("some reports are not published")
                return
            await asyncio.sleep(0.01)

    async def readers(
        self, count: int, *, over_s: float = 2.0, slow: float = 0.0, query: str = "", gzip: bool | None = None
    ) -> None:
        """Connect readers evenly over an interval; return when each has its first block."""
        if not count:
            return
        self._wanted_readers += count
        group = feed_readers(
            self.target.feed_url,
            self.target.election,
            query=query,
            gzip=self.options.gzip if gzip is None else gzip,
            returning=True,
        )
        opened = await self._crowd()
        try:
            seen = await opened.connect(count, over_s=over_s, slow=slow, group=group, limit_s=CONNECT_S)
        except TimeoutError:
            self.mark("the readers did not connect in time")
            return
        self.mark(counted(count - seen.silent, "reader"))

    async def compare_bytes(self) -> None:
        """Compare from now on what the readers receive, and note when each receives its next block."""
        await (await self._crowd()).mark(each=True)

    async def cut_readers(self, within_s: float = 1.0) -> None:
        """Disconnect all readers at once; each connects again within `within_s`."""
        self.mark("all readers disconnected")
        await (await self._crowd()).cut(within_s)

    async def wait_returned(self, most_s: float = 60.0) -> None:
        """Wait until all readers are connected again."""
        wanted, ends = self._wanted_readers, time.monotonic() + most_s
        while not self.seen or self.seen[-1].readers < wanted:
            if time.monotonic() > ends:
                self.run.invalid.append(f"only {self.seen[-1].readers} of {wanted} readers came back")
                return
            await asyncio.sleep(0.1)
        await asyncio.sleep(2.0)

    async def wait_released(self, most_s: float = 60.0) -> None:
        """Wait until the subscriber has what was embargoed."""
        ends = time.monotonic() + most_s
        while self._blocks[-1][0] == 0:
            if time.monotonic() > ends:
                self.run.invalid.append("the subscriber saw no release")
                return
            await asyncio.sleep(0.005)
        self.run.figures["release_seen_s"] = time.time() - self.target.publish_from.timestamp()
        await asyncio.sleep(self.options.readers / 2000)

    def now(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.began

    def note_recovery(self, since: float) -> None:
        """Note how long after a moment all reports due before it had answers, and the longest time without receipts."""
        answered = sorted(each.answered_at - self.began for each in self._with_receipt())
        without_s = max((after - before for before, after in pairwise(answered)), default=0.0)
        self.run.figures["without_receipts_s"] = without_s
        late = [at for at in answered if at >= since]
        due = [each for each in self._with_receipt() if each.due_at - self.began < since]
        last = max((each.answered_at - self.began for each in due), default=since)
        self.run.figures["first_receipt_s"] = (late[0] - since) if late else float("inf")
        self.run.figures["recovered_s"] = max(0.0, last - since)

    def compare(self, name: str, before: Sequence[Sent], during: Sequence[Sent]) -> None:
        """Note the latencies of the same senders before and during an event."""
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
        """Stop every process of our own Postgres for the duration of the block, as if its machine hung."""
        with self._own_gateway().postgres_stopped():
            yield

    @asynccontextmanager
    async def slow_commits(self, capacity: float) -> AsyncIterator[None]:
        """Limit our own Postgres to `capacity` reports per second, by waiting under the head lock."""
        connection = await asyncpg.connect(self._own_gateway().database_url)
        try:
            await connection.execute(SLOW_COMMITS.format(wait_s=1 / capacity))
            yield
        finally:
            await connection.execute("DROP FUNCTION valgnatt.bench_wait() CASCADE")
            await connection.close()

    async def offer(self, rate: float, seconds: float) -> Offered:
        """Offer reports over HTTP at a rate, each once, even if it is refused; see `bench.load.offer`."""
        return await offer(self.target, self.planner, rate, seconds, self.senders.offered)

    def _own_gateway(self) -> Local:
        if self.target.local is None:
            raise NoTarget(
                "this scenario interferes with the database, so it runs only on a gateway of its own"
            )
        return self.target.local

    # How it runs.

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Stage"]:
        """Start all parts; on leaving, collect what they recorded into the run."""
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
                await self.wait_answered()
                await self.wait_published()
                await self._stop_crowd()
                self.run.seconds = time.monotonic() - self.began
                await self._collect()
            finally:
                await self._stack.aclose()
                for task in background:
                    task.cancel()

    async def _follow(self, attached: asyncio.Event) -> None:
        async with Subscriber(self.target.feed_url, self.target.election) as subscriber:
            async for block in subscriber.blocks():
                self._blocks.append((block.sequence, time.monotonic()))
                self._observed.append(observe(block, time.time()))
                attached.set()

    async def _sample(self) -> None:
        """Sample once per second every process of our own, and the metrics of the gateway."""
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
                self._note_cpu(at, "postgres", cpu_s(local.postmaster), 0.0)
                try:
                    async with http.get(f"{local.admin_url}/metrics") as answer:
                        self._note_metrics(at, await answer.text())
                except (aiohttp.ClientError, TimeoutError):
                    pass  # the curve has a gap here

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

    async def _crowd(self) -> Crowd:
        if self.crowd is None:
            group = feed_readers(self.target.feed_url, self.target.election, returning=True)
            self.crowd = await self._stack.enter_async_context(crowd(group, self._note_seen))
            await self.crowd.report(REPORT_S)
        return self.crowd

    def _note_seen(self, seen: Seen) -> None:
        self.seen.append(seen)
        self._readers_cpu_s += seen.cpu_s
        self._note_cpu(seen.at - self.began, "load: readers", self._readers_cpu_s, 0.0)

    async def _stop_crowd(self) -> None:
        if self.crowd is not None:
            await asyncio.sleep(REPORT_S + 0.2)  # what is on its way is counted in the next report
            await self.crowd.stop()

    # The results.

    def _with_receipt(self) -> list[Sent]:
        return [each for each in self.senders.sent if each.answer is not None and each.answer.has_receipt]

    async def _collect(self) -> None:
        run = self.run
        accepted = self._with_receipt()
        run.outcomes = dict(outcomes([*self.senders.sent, *self.senders.flooded, *self.senders.offered]))
        self._latency("receipt", [(each.due_at, each.answered_at - each.due_at) for each in accepted])
        self._latency(
            "publication", [(each.due_at, _publication_s(each)) for each in accepted if _is_public(each)]
        )
        self._latency("subscriber", self._to_subscriber(accepted))
        self._note_rates(accepted)
        self._collect_crowd()
        stored = await stored_reports(self.target)
        run.figures["reports"] = len(self.senders.sent)
        run.figures["unanswered"] = sum(each.answer is None for each in self.senders.sent)
        stored_keys = {(each.unit, each.revision) for each in stored}
        run.figures["lost"] = sum(
            (each.planned.unit, each.planned.revision) not in stored_keys for each in accepted
        )
        run.broken = broken_guarantees(self.target, self.senders.pushes(), self._observed, stored)
        self._check_generators()

    def _latency(self, name: str, points: Sequence[tuple[float, float]]) -> None:
        if not points:
            return
        histogram = Histogram().add_all(max(0.0, value) for _, value in points)
        self.run.latencies[name] = histogram.summary()
        self.run.histograms[name] = histogram.encoded()
        shifted = ((at - self.began, value) for at, value in points)
        for line, found in over_time(shifted, PERCENTILES).items():
            self.run.curves.setdefault("latency", {})[f"{name} {line}"] = found

    def _to_subscriber(self, accepted: Sequence[Sent]) -> list[tuple[float, float]]:
        sequences = [sequence for sequence, _ in self._blocks]
        found = []
        for each in accepted:
            assert each.answer is not None
            if each.answer.sequence is not None:
                place = bisect_left(sequences, each.answer.sequence)
                if place < len(sequences):
                    found.append((each.due_at, self._blocks[place][1] - each.due_at))
        return found

    def _note_rates(self, accepted: Sequence[Sent]) -> None:
        rates = self.run.curves.setdefault("rate", {})
        rates["offered"] = per_second(each.due_at - self.began for each in self.senders.sent)
        rates["accepted"] = per_second(each.answered_at - self.began for each in accepted)
        published: list[float] = []
        before = 0
        for sequence, at in self._blocks:
            published += [at - self.began] * (sequence - before)
            before = sequence
        rates["published"] = per_second(published)
        if accepted:
            first, last = min(each.due_at for each in accepted), max(each.answered_at for each in accepted)
            self.run.figures["accepted_per_s"] = len(accepted) / max(1e-9, last - first)

    def _collect_crowd(self) -> None:
        run = self.run
        if not self.seen:
            return
        reader = Histogram()
        for seen in self.seen:
            at = seen.at - self.began
            self._line("readers", "connected", at, seen.readers)
            if seen.latencies:
                reader.add_counts(seen.latencies)
                self._line("delivered", "publications covered", at, seen.covered)
                part = Histogram().add_counts(seen.latencies)
                for percentile in PERCENTILES:
                    self._line("latency", f"reader p{percentile:g}", at, part.at(percentile))
        if len(reader):
            run.latencies["reader"], run.histograms["reader"] = reader.summary(), reader.encoded()
        for name in ("joined", "returned"):
            values = [value for seen in self.seen for value in getattr(seen, name)]
            if values:
                run.latencies[name] = Histogram().add_all(values).summary()
        last = self.seen[-1]
        final = self._blocks[-1][0]
        run.figures["behind"] = sum(count for sequence, count in last.numbers.items() if sequence < final)
        run.figures["turned_away"] = last.refused
        run.figures["streams_lost"] = last.lost
        run.figures["wire_megabytes"] = sum(seen.size for seen in self.seen) / 1e6
        if last.compared or last.differing:
            run.figures["compared"], run.figures["differing"] = last.compared, last.differing
        if last.first_at:
            run.figures["release_s"] = last.first_at - self.target.publish_from.timestamp()

    def _check_generators(self) -> None:
        """Call the run invalid if a load generator was too slow to tell anything about the gateway."""
        run = self.run
        if len(self.senders.late_s) > 10:
            late = Histogram().add_all(max(0.0, value) for value in self.senders.late_s)
            run.latencies["generator"] = late.summary()
            if late.at(99) > LAG_MAX_S:
                run.invalid.append(
                    f"reports were sent {late.at(99):.2f} s late (p99): the load generator was too slow"
                )
        worst = Histogram().add_all(seen.lag_s for seen in self.seen).at(95) if len(self.seen) > 2 else 0.0
        run.figures["crowd_lag_s"] = worst
        if worst > LAG_MAX_S:
            run.invalid.append(
                f"the process of the readers was {worst:.2f} s late: it was too slow, not the feed"
            )
        for name in ("load: senders", "load: readers"):
            busy = [value for _, value in run.curves.get("cpu", {}).get(name, [])]
            if len(busy) >= 5 and statistics.median(busy) > BUSY_MAX:
                run.invalid.append(
                    f"{name.removeprefix('load: ')} used {statistics.median(busy):.0%} of a core"
                )


def new_run(scenario: str, about: str, target: Target, options: Options) -> Run:
    """Start the record of a run."""
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
