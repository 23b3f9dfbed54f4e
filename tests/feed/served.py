"""A feed door in this process, on a record that a test writes and breaks: real sockets, no database.

The record answers like the database; its contents, its heads and what can be read may differ.
"""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from aiohttp import web

from gateway.config import Config
from gateway.election.hold_list import HoldLine
from gateway.election.record import CHAIN_START, Head, Publication, Unapplied
from gateway.election.registry_reading import read_registry
from gateway.errors import JournalUnavailable
from gateway.feed.channel import Channel, Reader
from gateway.feed.hub import Hub
from gateway.feed.log_reading import LogReader
from gateway.feed.stream import ElectionFeed, Record
from gateway.telemetry.metrics import FeedMetrics
from gateway.web.accepting import Listener
from gateway.web.aiohttp_connection import door_handlers
from gateway.web.connections import Connections
from gateway.web.feed_door import FeedDoor
from tests.election.makers import Record as Written
from tests.election.makers import some_counts
from tests.prepared_doors import keep_files

keep_files()

KEY = 1
AT = datetime(2025, 9, 8, 19, tzinfo=UTC)
TIMEOUT_S = 20.0
"""How long a fact is waited for before the test fails; none of them takes a second."""


def a_night(document: dict[str, Any], count: int, *, votes: int = 1) -> list[Publication]:
    """A number of publications, round after round over all units; other `votes` make a different history."""
    registry = read_registry(document)
    units = list(registry.units)
    written = Written()
    for number in range(count):
        unit = units[number % len(units)]
        party = min(registry.by_id[unit].ballot)
        written.write(
            {
                "unit": unit,
                "revision": number // len(units) + 1,
                "counted_at": "2025-09-08T22:36:55+02:00",
                "status": "final",
                "counts": {registry.categories[0]: some_counts(**{party: votes + number})},
            }
        )
    return written.publications


class FakeRecord:
    """The record of one election: the first `rows` publications can be read, and its head is at `head`."""

    def __init__(self, document: dict[str, Any], night: list[Publication], shown: int = 0) -> None:
        self.id: str = document["election"]["id"]
        self.night = night
        self.present = True
        """Whether the record has the election at all."""
        self.released = True
        self.closed_at: datetime | None = None
        self.unconfirmed = 0
        """Publications after the head that were accepted."""
        self.fails_after: int | None = None
        """A place after which nothing can be read, as the database is away by then."""
        self.reads = self.looks = 0
        self.hold_list: list[HoldLine] = []
        self.hold_reads = 0
        self.unapplied_held: asyncio.Event | None = None
        """What has to come before an answer of `unapplied` does."""
        self.version = 0
        self.previous_document: bytes | None = None
        self.replace(document)
        self.show(shown)

    # What a test does.

    def replace(self, document: dict[str, Any]) -> None:
        """Replace the registry."""
        self.document = json.dumps(document).encode()
        self.version += 1

    def show(self, count: int) -> None:
        """Show this many publications."""
        self.rows = self.head = count

    def cursor(self, sequence: int) -> str:
        """The cursor of a position in this record."""
        return f"{sequence}-{self.night[sequence - 1].chain.hex()[:8]}"

    # What a feed asks.

    async def heads(self) -> list[Head]:
        self.looks += 1
        await asyncio.sleep(0)
        chain = self.night[self.head - 1].chain if self.head else bytes(32)
        loaded_at = AT + timedelta(seconds=self.version)
        released_at = AT if self.released else None
        held = len(self.hold_list)
        hold_chain = self.hold_list[-1].chain if held else CHAIN_START
        head = Head(
            KEY,
            self.id,
            loaded_at,
            AT,
            released_at,
            self.closed_at,
            self.head,
            chain,
            self.head + self.unconfirmed,
            False,
            held,
            hold_chain,
        )
        return [head] if self.present else []

    async def registry(self, election: int) -> bytes:
        await asyncio.sleep(0)
        return self.document

    async def previous(self, election: int) -> bytes | None:
        await asyncio.sleep(0)
        return self.previous_document

    async def publications(self, election: int, after: int, most: int) -> list[Publication]:
        self.reads += 1
        await asyncio.sleep(0)
        end = min(after + most, self.rows)
        if self.fails_after is not None and end > self.fails_after:
            raise JournalUnavailable("away")
        return self.night[after:end]

    async def hold_lines(self, election: int, after: int, most: int) -> list[HoldLine]:
        self.hold_reads += 1
        await asyncio.sleep(0)
        return self.hold_list[after : after + most]

    async def unapplied(self, election: int, sequence: int) -> list[Unapplied]:
        found = Counter(publication.unit for publication in self.night[sequence : self.rows])
        if self.unapplied_held is not None:
            await self.unapplied_held.wait()
        return [Unapplied(unit, count, AT, AT) for unit, count in found.items()]

    async def contacts(self, election: int) -> dict[str, datetime]:
        return {}


class Served:
    """A door that is open."""

    def __init__(self, record: FakeRecord, config: Config, logs: LogReader | None) -> None:
        self.record = record
        self.metrics = FeedMetrics()
        self.connections = Connections(config, self.metrics)
        self.hub = Hub(record, self.metrics, heartbeat_s=config.heartbeat_s, logs=logs)
        self.door = FeedDoor(config, self.hub, self.metrics, self.connections)
        self.port = 0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def path(self, rest: str = "/feed") -> str:
        return f"/v1/elections/{self.record.id}{rest}"

    def url(self, rest: str = "/feed") -> str:
        return self.origin + self.path(rest)

    @property
    def feed(self) -> ElectionFeed:
        feed = self.hub.feed(self.record.id)
        assert feed is not None
        return feed

    @property
    def streams(self) -> int:
        """Number of open streams, as counted by the door."""
        return self.door.limits.readers

    @property
    def channel(self) -> Channel:
        """The only channel."""
        (channel,) = self.feed.channels
        return channel

    @property
    def readers(self) -> list[Reader]:
        return [reader for channel in self.feed.channels for reader in channel.readers()]

    async def show(self, count: int) -> None:
        """Show this many publications."""
        self.record.show(count)
        self.hub.wake()
        await until(lambda: self.feed.settled and self.feed.state.sequence == count)

    async def half_apply(self, count: int, readable: int) -> None:
        """Show this many publications, only some of which can be read, and wait until these are applied."""
        self.record.show(count)
        self.record.fails_after = readable
        self.hub.wake()
        await until(lambda: self.feed.state.sequence == readable and not self.feed.settled)


def a_feed_door() -> FeedDoor:
    """A door without a record, for its routes."""
    config, metrics = Config(), FeedMetrics()
    hub = Hub(cast("Record", None), metrics, heartbeat_s=config.heartbeat_s)
    return FeedDoor(config, hub, metrics, Connections(config, metrics))


async def until(fact: Callable[[], bool]) -> None:
    """Wait for a condition that is not signalled."""
    async with asyncio.timeout(TIMEOUT_S):
        while not fact():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


@asynccontextmanager
async def served(
    record: FakeRecord, *, send_buffer: int | None = None, logs: LogReader | None = None, **options: Any
) -> AsyncIterator[Served]:
    """Open a door. With a small send buffer, it soon notices that a client reads nothing."""
    served = Served(record, Config(**options), logs)
    runner = web.AppRunner(
        served.door.application(lambda: served.hub.ready), handle_signals=False, shutdown_timeout=0.1
    )
    await runner.setup()
    assert runner.server is not None
    listening = socket.socket()
    if send_buffer is not None:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    listening.bind(("127.0.0.1", 0))
    served.port = listening.getsockname()[1]
    try:
        async with asyncio.TaskGroup() as parts:
            background = [parts.create_task(each.run()) for each in (served.hub, served.connections)]
            make = door_handlers(served.connections, runner.server)
            server = Listener(listening, served.connections, make, None)
            await served.hub.wait_ready()
            try:
                yield served
            finally:
                await server.end()
                served.door.close_streams()
                _abort(served.hub.feeds())
                for task in background:
                    task.cancel()
    finally:
        await runner.cleanup()


def _abort(feeds: Iterable[ElectionFeed]) -> None:
    for feed in feeds:
        for channel in feed.channels:
            for reader in channel.readers():
                reader.abort()
