"""The hub: follows all elections of the record, and runs one timer for all readers.

It polls the heads of the record at each NOTIFY, and every 200 ms; while they move without one, every 20 ms. So a lost
notification costs an idle feed 200 ms at most, and a replica, which has no NOTIFY, works as well. While the heads are
no older than that and only one election is open, a NOTIFY is answered with one query for what follows in it. Nothing is
read while the feed of that election is busy, for 200 ms at most: what was read meanwhile would wait until it is idle,
and what is published later for another pass over the readers.
"""

import asyncio
from collections.abc import Callable

import structlog

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.deadline import wait_at_most
from gateway.election.log_record import LogHead
from gateway.errors import JournalUnavailable
from gateway.feed.channel import Reader
from gateway.feed.log import POLL_S as LOG_POLL_S
from gateway.feed.log_reading import LogReader, OneAtATime
from gateway.feed.stream import ElectionFeed, Record, read_documents
from gateway.telemetry.logs import Outage
from gateway.telemetry.metrics import FeedMetrics

log = structlog.get_logger()

POLL_BUSY_S, POLL_IDLE_S = 0.02, 0.2
"""Seconds between two polls: while heads move without a notification, and otherwise."""
NEXT_MAX = 100
"""Publications that are read without the head that they belong to. If there may be more, the heads are read."""
BUSY_POLLS = 50
"""Polls after which the longer interval applies, if none found a change of which nothing had notified."""
MISSING_MAX_S = 30.0
"""Seconds for which an election may be missing from the record before its feed is closed."""
PINNED_MAX = 256 << 20
"""Bytes that stalled readers may keep in memory: each block once, and the copies that TLS makes for each reader. Above
it, the readers of the largest blocks are closed, all readers of a block at once."""


class Hub:
    """The feeds of all elections in one process. All its tasks run within `run`; if one fails, all end."""

    def __init__(
        self,
        record: Record,
        metrics: FeedMetrics,
        *,
        heartbeat_s: float,
        on_problem: Callable[[str], None] = lambda _: None,
        logs: LogReader | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`on_problem` is called with the reason when the record cannot be read, and with an empty text when it can.

        `logs` None: no election has a log.
        """
        self._record = record
        self._clock = clock
        self._logs = OneAtATime(logs) if logs is not None else None
        self._on_problem = on_problem
        self.unusable = False
        self._metrics = metrics
        self._heartbeat_s = heartbeat_s
        self._feeds: dict[str, ElectionFeed] = {}
        self._following: dict[str, list[asyncio.Task[None]]] = {}
        self._missing: dict[str, float] = {}
        self._heads_due_at = 0.0
        """Until when, by the clock of the event loop, what follows may be read without the heads."""
        self._wake = asyncio.Event()
        self._reading = False
        """Whether the record is being read, perhaps after a notification."""
        self._unannounced = False
        """Whether nothing had notified of the last change that was found, as on a replica."""
        self._heads_read = asyncio.Event()
        self._log_heads: dict[str, list[LogHead]] | None = None
        self._logs_tried = asyncio.Event()
        """The logs were read, or could not be."""
        if logs is None:
            self._logs_tried.set()

    def wake(self) -> None:
        """Poll the record now, after a notification."""
        self._wake.set()

    def feeds(self) -> list[ElectionFeed]:
        """Return the feeds of all elections."""
        return list(self._feeds.values())

    def feed(self, election: str) -> ElectionFeed | None:
        """Return the feed of an election, None if it is unknown."""
        return self._feeds.get(election)

    @property
    def heads_read(self) -> bool:
        """Whether the heads were read, so that all elections are known."""
        return self._heads_read.is_set()

    @property
    def ready(self) -> bool:
        """Whether the heads were read and the state of every election may be shown."""
        known = self._heads_read.is_set() and self._logs_tried.is_set()
        return known and all(feed.settled for feed in self._feeds.values())

    async def wait_ready(self) -> None:
        """Wait until every election is applied up to its head."""
        await self._heads_read.wait()
        await self._logs_tried.wait()
        for feed in self.feeds():
            while not await feed.wait_settled(60.0):
                pass

    def refresh_gauges(self) -> None:
        """Set the metrics that are computed only when they are read."""
        channels = [channel for feed in self._feeds.values() for channel in feed.channels]
        self._metrics.readers.set(sum(len(channel) for channel in channels))
        self._metrics.slow.set(sum(channel.stalled for channel in channels))
        self._metrics.channels.set(len(channels))
        self._metrics.standby.set(any(feed.head.standby for feed in self._feeds.values()))
        now = self._clock.now()
        late = {name: feed.transfers.unpublished(feed.backlog, now) for name, feed in self._feeds.items()}
        self._metrics.unpublished.set({name: count for name, (count, _) in late.items()})
        self._metrics.unpublished_oldest.set({name: age_s for name, (_, age_s) in late.items()})
        signed = [feed for feed in self._feeds.values() if feed.log.signed]
        self._metrics.log_disagrees.set({feed.id: int(feed.log.disagrees) for feed in signed})
        self._metrics.log_size.set({feed.id: feed.log.size for feed in signed})
        self._metrics.unknown.set(
            {name: len(feed.state.layout.unknown) for name, feed in self._feeds.items()}
        )

    async def run(self) -> None:
        """Follow the record until cancelled."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._follow_heads(parts), name="heads")
            parts.create_task(self._run_timer(), name="timer")
            parts.create_task(self._refresh_transfers(), name="transfers")
            if self._logs is not None:
                parts.create_task(self._follow_logs(self._logs), name="logs")

    async def _follow_heads(self, parts: asyncio.TaskGroup) -> None:
        announced, heads = 0, Outage("heads")  # polls since one found a change of which nothing had notified
        while True:
            notified, followed = self._wake.is_set(), False
            self._wake.clear()
            self._reading = True
            try:
                followed = notified and await self._read_next()
                moved = followed or await self._read_heads(parts)
            except JournalUnavailable as error:
                heads.failed(error)
                self.unusable = error.permanent
                self._on_problem(str(error))
                moved = False
            else:
                heads.succeeded()
                self.unusable = False
                self._on_problem("")
            self._reading = False
            silent = moved and not notified
            poll_s = POLL_BUSY_S if silent or announced < BUSY_POLLS else POLL_IDLE_S
            await wait_at_most(self._wake, min(poll_s, self._heads_due_in_s) if followed else poll_s)
            # The notification of a change may come just after the poll that has found it.
            unannounced = silent and not self._wake.is_set()
            announced = 0 if unannounced else announced + 1
            if moved:
                self._unannounced = unannounced
            opened = self._open
            if len(opened) == 1:
                await asyncio.sleep(0)  # its feed begins to apply what was found
                await wait_at_most(opened[0].idle, POLL_IDLE_S)

    def _may_have_grown(self) -> bool:
        """Whether the record may have more than was found, as far as is known without reading it."""
        return self._wake.is_set() or self._reading or self._unannounced

    @property
    def _open(self) -> list[ElectionFeed]:
        return [feed for feed in self._feeds.values() if feed.open]

    @property
    def _heads_due_in_s(self) -> float:
        return max(0.0, self._heads_due_at - asyncio.get_running_loop().time())

    async def _read_next(self) -> bool:
        """Read what follows in the only open election; return False if the heads have to be read instead."""
        if not self._heads_due_in_s or len(self._open) != 1:
            return False
        (feed,) = self._open
        after = feed.next_after
        if after is None:
            return False
        publications = await self._record.publications(feed.head.key, after, NEXT_MAX)
        if not 0 < len(publications) < NEXT_MAX:
            return False
        return feed.follow(publications)

    async def _read_heads(self, parts: asyncio.TaskGroup) -> bool:
        moved = False
        heads = await self._record.heads()
        self._heads_due_at = asyncio.get_running_loop().time() + POLL_IDLE_S
        self._metrics.record_read.now()
        self._drop_missing({head.id for head in heads})
        for head in heads:
            feed = self._feeds.get(head.id)
            if feed is None:
                documents = await read_documents(self._record, head.key)
                feed = ElectionFeed(
                    self._record,
                    head,
                    documents,
                    self._metrics,
                    self._logs,
                    may_have_grown=self._may_have_grown,
                    clock=self._clock,
                )
                self._feeds[head.id] = feed
                self._following[head.id] = [
                    parts.create_task(feed.run(), name=f"feed {head.id}"),
                    parts.create_task(feed.holds_follower.run(), name=f"holds {head.id}"),
                    parts.create_task(feed.log.run(), name=f"log {head.id}"),
                ]
                self._update_log(feed)
                moved = True
            elif head.loaded_at != feed.head.loaded_at and not feed.state.sequence:
                documents = await read_documents(self._record, head.key)
                if documents != feed.documents:
                    feed.head = head
                    feed.replace_registry(documents)
            moved |= head.sequence != feed.head.sequence
            feed.update_head(head)
        self._heads_read.set()
        return moved

    async def _follow_logs(self, logs: LogReader) -> None:
        """Read the heads of all logs at intervals; everything else about a log is read by its election."""
        outage = Outage("logs")
        while True:
            try:
                heads = await logs.heads()
            except JournalUnavailable as error:
                outage.failed(error)
            else:
                outage.succeeded()
                self._log_heads = {}
                for head in heads:
                    self._log_heads.setdefault(head.id, []).append(head)
                for feed in self.feeds():
                    self._update_log(feed)
            self._logs_tried.set()
            await asyncio.sleep(LOG_POLL_S)

    def _update_log(self, feed: ElectionFeed) -> None:
        if self._log_heads is not None:
            feed.log.update_heads(self._log_heads.get(feed.id, ()))

    def _drop_missing(self, present: set[str]) -> None:
        """Close the feeds of elections that have been missing from the record for longer than a replica may lag."""
        now = asyncio.get_running_loop().time()
        self._missing = {
            election: self._missing.get(election, now) for election in self._feeds if election not in present
        }
        for election, since in self._missing.items():
            if now - since >= MISSING_MAX_S:
                log.error("election no longer in the record; feed closed", election=election)
                for task in self._following.pop(election):
                    task.cancel()
                self._feeds.pop(election).close()

    async def _run_timer(self) -> None:
        """Run the timer once a second: intervals, heartbeats, stalled readers."""
        clock = asyncio.get_running_loop().time
        tick = int(clock())
        while True:
            tick = max(tick + 1, int(clock()))
            await asyncio.sleep(tick - clock())
            now = clock()
            for feed in self.feeds():
                feed.run_timers(now, tick, self._heartbeat_s)
                for channel in feed.channels:
                    self._metrics.closed.inc(channel.close_overdue(now))
            self._limit_pinned()

    def _limit_pinned(self) -> None:
        pinned: dict[int, tuple[int, list[Reader]]] = {}
        for feed in self.feeds():
            for channel in feed.channels:
                for block, (size, readers) in channel.pinned().items():
                    pinned.setdefault(block, (size, []))[1].extend(readers)
        kept = [
            (size + sum(reader.copied for reader in readers), readers) for size, readers in pinned.values()
        ]
        total = sum(size for size, _ in kept)
        for size, readers in sorted(kept, key=lambda each: -each[0]):
            if total <= PINNED_MAX:
                return
            total -= size
            for reader in readers:
                self._metrics.closed.inc()
                reader.abort()

    async def _refresh_transfers(self) -> None:
        while True:
            for feed in self.feeds():
                try:
                    await feed.refresh_transfers()
                except JournalUnavailable:
                    break  # logged by `_follow_heads`
            await asyncio.sleep(1.0)
