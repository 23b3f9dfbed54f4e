"""What a scenario runs on: senders, a crowd of readers, a subscriber that keeps a copy, and samples of all processes.

    async def play(stage: Stage) -> None:
        await stage.readers(1000, over_s=5)
        await stage.push(stage.planner.steady(rate=200, seconds=30))

A stage starts everything, collects what happened into a `Run`, and has the judge check it.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise

import aiohttp
import asyncpg
import msgspec

from bench.figures import Histogram, counted
from bench.load.crowd import Crowd, crowd, feed_readers
from bench.load.crowd_messages import Seen
from bench.load.environment import environment
from bench.load.local import Local
from bench.load.mirror_servers import MirrorPlaces
from bench.load.offer import Offered, offer
from bench.load.plan import Planned, Planner
from bench.load.processes import cpu_s, resident_kb
from bench.load.senders import Senders, Sent
from bench.load.target import NoTarget, Target
from bench.rehearse.mirrored import Mirrored, mirrored
from bench.rehearse.results import Results
from bench.rehearse.run import Run, queue_of
from gateway.client.http_session import open_session
from gateway.client.subscriber import Subscriber
from gateway.rehearsal.judge import ObservedBlock, observe

CONNECT_S = 120.0
"""How long readers may take to receive their first event, after the last of them has connected."""
REPORT_S = 1.0
"""Interval at which the crowd of readers reports."""
SETTLE_S = 60.0
"""How long it may take after the last report until everything is answered and published, in s."""


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

    def __init__(
        self,
        target: Target,
        planner: Planner,
        options: Options,
        run: Run,
        places: MirrorPlaces | None = None,
    ) -> None:
        self.target = target
        self.planner = planner
        self.options = options
        self.run = run
        self.began = time.monotonic()
        self.senders = Senders(target)
        self.processes: dict[str, int] = {}
        """Further processes to sample: name → process id."""
        self.crowd: Crowd | None = None
        self.seen: list[Seen] = []
        self.levels: dict[str, float] = {}
        """Service levels of this scenario, which add to the default ones or replace them."""
        self._blocks: list[tuple[int, float]] = []
        self._observed: list[ObservedBlock] = []
        self._readers_cpu_s = 0.0
        self._deltas: dict[str, tuple[float, float]] = {}
        self._wanted_readers = 0
        self._places = places
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
        last = max(
            (each.answer.sequence or 0 for each in self.senders.with_receipt() if each.answer), default=0
        )
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
        answered = sorted(each.answered_at - self.began for each in self.senders.with_receipt())
        without_s = max((after - before for before, after in pairwise(answered)), default=0.0)
        self.run.figures["without_receipts_s"] = without_s
        late = [at for at in answered if at >= since]
        due = [each for each in self.senders.with_receipt() if each.due_at - self.began < since]
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

    @asynccontextmanager
    async def mirrored(self) -> AsyncIterator[Mirrored]:
        """Run a mirror of the election behind nginx, for a crowd that polls."""
        if self._places is None:
            raise NoTarget("this scenario runs a mirror, so it does not run on a gateway given by --push")
        async with mirrored(self.target, self.run, self._places) as found:
            self.processes["mirror"] = found.folder.pid
            yield found
            del self.processes["mirror"]

    @property
    def last_seen(self) -> int:
        """Sequence of the newest block that the subscriber has."""
        return self._blocks[-1][0] if self._blocks else 0

    def _own_gateway(self) -> Local:
        if self.target.local is None:
            raise NoTarget(
                "this scenario interferes with the database, so it does not run on a gateway given by --push"
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
                results = Results(
                    self.run, self.target, self.began, self.senders, self._blocks, self._observed, self.seen
                )
                await results.collect()
            finally:
                await self._stack.aclose()
                for task in background:
                    task.cancel()

    async def _follow(self, attached: asyncio.Event) -> None:
        async with (
            open_session(None, decompress=False) as session,  # never through a proxy of the environment
            Subscriber(
                self.target.feed_url, self.target.election, session=session, use_mirror=False
            ) as subscriber,
        ):
            async for block in subscriber.blocks():
                self._blocks.append((block.sequence, time.monotonic()))
                self._observed.append(observe(block, time.time()))
                attached.set()

    async def _sample(self) -> None:
        """Sample once per second every process that was started here, and the metrics of the gateway."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0)) as http:
            while True:
                await asyncio.sleep(1.0)
                at = time.monotonic() - self.began
                self._note_cpu(at, "load: senders", *_self_usage())
                local = self.target.local
                if local is None:
                    continue
                for name, pid in {**await local.pids(), **self.processes}.items():
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
            self.run.add_point("cpu", name, at, max(0.0, (cpu - before[1]) / (at - before[0])))
        if megabytes:
            self.run.add_point("memory", name, at, megabytes)

    def _note_metrics(self, at: float, text: str) -> None:
        waiting, oldest_s = queue_of(text)
        self.run.add_point("queue", "reports waiting", at, waiting)
        self.run.add_point("age", "oldest", at, oldest_s)

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


def new_run(scenario: str, about: str, target: Target, options: Options) -> Run:
    """Start the record of a run."""
    return Run(
        scenario=scenario,
        about=about,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=environment(target.local),
        options={**msgspec.to_builtins(options), "senders": len(target.tokens), "election": target.election},
    )


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
