"""The hub: follows the journal's elections, each at its own speed, and keeps one timer for all readers.

Following is asking: every 20 ms while something happens, every 200 ms while nothing does. A NOTIFY only hastens it,
so a lost one costs nothing, and a replica, which has none, serves as well.
"""

import asyncio
from datetime import UTC, datetime

import structlog

from gateway.errors import JournalUnavailable
from gateway.feed.channel import Reader
from gateway.feed.stream import ElectionFeed, Record
from gateway.telemetry.logs import Outage
from gateway.telemetry.metrics import FeedMetrics

log = structlog.get_logger()

BUSY_S, IDLE_S = 0.02, 0.2
"""How long after a look the next one follows: while heads move, and while they do not."""
BUSY_LOOKS = 50
"""Looks without anything new after which it is taken for quiet."""
GONE_S = 30.0
"""How long an election may be missing from the record before it is gone."""
PINNED_MAX = 256 << 20
"""Bytes that may be kept for slow readers, blocks once and what TLS copies for each; beyond it those for whom most is
kept are closed, all who wait for the same block at once."""


class Hub:
    """Feeds of all elections of one process. Every part runs below `run`; if one fails, all end."""

    def __init__(self, record: Record, metrics: FeedMetrics, *, heartbeat_s: float) -> None:
        self._record = record
        self._metrics = metrics
        self._heartbeat_s = heartbeat_s
        self._feeds: dict[str, ElectionFeed] = {}
        self._following: dict[str, asyncio.Task[None]] = {}
        self._missing: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._looked = asyncio.Event()

    def wake(self) -> None:
        """Look at the record now: something was notified."""
        self._wake.set()

    def feeds(self) -> list[ElectionFeed]:
        """Return the elections there are."""
        return list(self._feeds.values())

    def feed(self, election: str) -> ElectionFeed | None:
        """Return one election."""
        return self._feeds.get(election)

    @property
    def looked(self) -> bool:
        """Whether the elections are known."""
        return self._looked.is_set()

    @property
    def ready(self) -> bool:
        """Whether the record was read and every election is shown."""
        return self._looked.is_set() and all(feed.settled for feed in self._feeds.values())

    async def wait_ready(self) -> None:
        """Wait until every election is applied up to its head."""
        await self._looked.wait()
        for feed in self.feeds():
            while not await feed.wait_settled(60.0):
                pass

    def refresh_gauges(self) -> None:
        """Set the metrics that are counted only when asked for."""
        channels = [channel for feed in self._feeds.values() for channel in feed.channels]
        self._metrics.readers.set(sum(len(channel) for channel in channels))
        self._metrics.slow.set(sum(channel.blocked for channel in channels))
        self._metrics.channels.set(len(channels))
        self._metrics.standby.set(any(feed.head.standby for feed in self._feeds.values()))
        now = datetime.now(UTC)
        late = {name: feed.transfers.unpublished(feed.backlog, now) for name, feed in self._feeds.items()}
        self._metrics.unpublished.set({name: count for name, (count, _) in late.items()})
        self._metrics.unpublished_oldest.set({name: age_s for name, (_, age_s) in late.items()})
        self._metrics.unknown.set(
            {name: len(feed.state.layout.unknown) for name, feed in self._feeds.items()}
        )

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._look_out(parts), name="look-out")
            parts.create_task(self._beat(), name="heartbeat")
            parts.create_task(self._watch(), name="transfers")

    async def _look_out(self, parts: asyncio.TaskGroup) -> None:
        quiet, heads = 0, Outage("heads")
        while True:
            self._wake.clear()
            try:
                moved = await self._look(parts)
            except JournalUnavailable as error:
                heads.away(error)
                moved = False
            else:
                heads.back()
            quiet = 0 if moved else quiet + 1
            await _either(self._wake, BUSY_S if quiet < BUSY_LOOKS else IDLE_S)

    async def _look(self, parts: asyncio.TaskGroup) -> bool:
        moved = False
        heads = await self._record.heads()
        self._metrics.record_read.now()
        self._let_go({head.id for head in heads})
        for head in heads:
            feed = self._feeds.get(head.id)
            if feed is None:
                document = await self._record.registry(head.key)
                feed = self._feeds[head.id] = ElectionFeed(self._record, head, document, self._metrics)
                self._following[head.id] = parts.create_task(feed.run(), name=f"feed {head.id}")
                moved = True
            elif head.loaded_at != feed.head.loaded_at and not feed.state.sequence:
                document = await self._record.registry(head.key)
                if document != feed.document:
                    feed.head = head
                    feed.replace_registry(document)
            moved |= head.sequence != feed.head.sequence
            feed.look(head)
        self._looked.set()
        return moved

    def _let_go(self, present: set[str]) -> None:
        """Let go of elections that are gone from the record, and not only from a replica that is behind."""
        now = asyncio.get_running_loop().time()
        self._missing = {
            election: self._missing.get(election, now) for election in self._feeds if election not in present
        }
        for election, since in self._missing.items():
            if now - since >= GONE_S:
                log.error("an election is gone from the record", election=election)
                self._following.pop(election).cancel()
                self._feeds.pop(election).close()

    async def _beat(self) -> None:
        """Keep the one timer: paces, heartbeats, slow readers."""
        clock = asyncio.get_running_loop().time
        tick = int(clock())
        while True:
            tick = max(tick + 1, int(clock()))
            await asyncio.sleep(tick - clock())
            now = clock()
            for feed in self.feeds():
                feed.beat(now, tick, self._heartbeat_s)
                for channel in feed.channels:
                    self._metrics.closed.inc(channel.close_overdue(now))
            self._close_greediest()

    def _close_greediest(self) -> None:
        pinned: dict[int, tuple[int, list[Reader]]] = {}
        for feed in self.feeds():
            for channel in feed.channels:
                for block, (size, readers) in channel.pinned().items():
                    pinned.setdefault(block, (size, []))[1].extend(readers)
        kept = [
            (size + sum(reader.copied for reader in readers), readers) for size, readers in pinned.values()
        ]
        held = sum(size for size, _ in kept)
        for size, readers in sorted(kept, key=lambda each: -each[0]):
            if held <= PINNED_MAX:
                return
            held -= size
            for reader in readers:
                self._metrics.closed.inc()
                reader.abort()

    async def _watch(self) -> None:
        while True:
            for feed in self.feeds():
                try:
                    await feed.watch()
                except JournalUnavailable:
                    break  # the look-out says so
            await asyncio.sleep(1.0)


async def _either(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
