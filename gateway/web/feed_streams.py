"""The event streams of the feed door: results by area, which conflate, and publications, of which none is skipped."""

import asyncio
from collections.abc import Sequence
from functools import partial
from random import Random

from aiohttp import web

from gateway.clock import SYSTEM_CHANCE
from gateway.config import Config
from gateway.election.state import Cursor
from gateway.errors import Draining, JournalUnavailable
from gateway.feed.blocks import Retries
from gateway.feed.channel import Channel, Reader
from gateway.feed.compression import GZIP_START
from gateway.feed.stream import ElectionFeed
from gateway.telemetry.metrics import FeedMetrics
from gateway.web.aiohttp_connection import end_at_eof, half_closed, write_part
from gateway.web.aiohttp_takeover import take_over
from gateway.web.answers import ANY_ORIGIN, JSON, SECURITY_HEADERS, Problem, mirror_link
from gateway.web.bodies import Body, BodyCache
from gateway.web.client_address import ClientAddresses
from gateway.web.feed_lookup import SETTLE_S, FeedLookup
from gateway.web.feed_request import (
    EVENT_STREAM,
    SEQUENCE_MAX,
    FeedRequest,
    read_cursor,
    read_feed_request,
    read_number,
    refuse_unused,
    stream_preferred,
)
from gateway.web.stream_limits import FULL_S, SHARED_MIN, StreamLimits
from gateway.wire.events import publication_event, retry_event

RETURNS_PER_S = 1000
"""Readers that are asked to reconnect per second when this process ends: a fraction of what another one can accept."""
CHUNK = 500
"""Publications in one write of a publication stream."""
WRITE_TIMEOUT_S = 60.0
"""How long a reader of publications may take to read one write, in seconds."""

_NO_STORE = {"Cache-Control": "no-store"}
_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-store\r\n"
    b"Vary: Accept-Encoding\r\n"
    b"X-Accel-Buffering: no\r\n"
    b"Connection: close\r\n"
) + "".join(f"{name}: {value}\r\n" for name, value in {**ANY_ORIGIN, **SECURITY_HEADERS}.items()).encode()


class FeedStreams:
    """Opens and closes streams, within `limits`."""

    def __init__(
        self,
        config: Config,
        metrics: FeedMetrics,
        lookup: FeedLookup,
        limits: StreamLimits,
        addresses: ClientAddresses,
        bodies: BodyCache,
        *,
        chance: Random = SYSTEM_CHANCE,
    ) -> None:
        self._config = config
        self._chance = chance
        self._metrics = metrics
        self._lookup = lookup
        self._limits = limits
        self._addresses = addresses
        self._bodies = bodies
        self._retries = Retries(1500, 4500, chance=chance)
        self._last_retries = self._retries
        """`retry:` fields that are sent when this process ends."""
        self._ending = asyncio.Event()
        self._mirror = "".join(
            f"{name}: {value}\r\n" for name, value in mirror_link(config.mirror_url).items()
        )

    def close(self, channels: Sequence[Channel]) -> None:
        """Close every stream after a `retry:` field; the more readers there are, the more their return is spread."""
        most_s = min(self._config.drain_s, self._limits.readers / RETURNS_PER_S)
        self._last_retries = Retries(500, 1000 + int(1000 * most_s), chance=self._chance)
        self._ending.set()
        for channel in channels:
            for reader in channel.readers():
                reader.end(self._last_retries.pick(gzip=channel.gzip))

    async def get_feed(self, request: web.Request) -> web.StreamResponse:
        """`GET …/feed`: the whole state, then changes; see the contract, section 6."""
        client = self._addresses.of_request(request)
        try:
            self._require_reader(client)
            feed = await self._lookup.find(request)
            await self._lookup.wait_for_cursor(feed, read_cursor(request.headers, request.query), client)
            asked = read_feed_request(request.headers, request.query, feed.select)
            self._require_reader(client)
            opens = self._limits.require_selection(feed, asked, client)
        except Problem as problem:
            if problem.status in (429, 503):
                self._metrics.turned_away.inc()
                if stream_preferred(request.headers, JSON):
                    return _retry_later(problem, self._chance)
            raise
        self._join(request, feed, asked, client, opens=opens)
        return web.Response()  # it is not written: the connection is the reader's, or closed

    def _join(
        self, request: web.Request, feed: ElectionFeed, asked: FeedRequest, client: str, *, opens: bool
    ) -> None:
        """Turn the connection into a reader of the feed; `opens` if it is the first of its selection."""
        reader = take_over(request, Reader, partial(self._limits.remove_reader, client))
        if reader is None:
            return
        self._limits.add_reader(client)
        readers = feed.reader_count(asked.selection, gzip=asked.gzip, every_s=asked.every_s)
        work_before = feed.maker.work
        feed.subscribe(
            reader,
            asked.selection,
            asked.cursor,
            gzip=asked.gzip,
            every_s=asked.every_s,
            head=_head(self._mirror, gzip=asked.gzip) + self._retries.pick(gzip=asked.gzip),
            closed=self._limits.add_selection(client) if opens else _nothing,
        )
        if not asked.selection.common and readers < SHARED_MIN:
            self._limits.allowance.use(client, feed.maker.work - work_before)
        if half_closed(request):
            reader.end()

    def _require_reader(self, client: str) -> None:
        """Raise Problem if no other reader can be accepted."""
        if self._ending.is_set():
            raise Problem.of(Draining("this process is shutting down"))
        self._limits.require_reader(client)

    async def stream_publications(self, request: web.Request) -> web.StreamResponse:
        """`GET …/publications` as an event stream; for a reader that does not keep up, nothing is queued."""
        refuse_unused(request.query, "limit", use="a page of publications")
        client = self._addresses.of_request(request)
        after = read_number("after", request.query.get("after", "0"), 0, SEQUENCE_MAX)
        cursor = read_cursor(request.headers, request.query)
        try:
            self._require_reader(client)
            feed = await self._lookup.find(request)
            await self._lookup.wait_for_cursor(feed, cursor, client)
            self._require_reader(client)
            after = _start(feed, cursor, after)
            self._limits.charge_range(client, feed.archive, after + 1)
        except Problem as problem:
            if problem.status in (429, 503):
                self._metrics.turned_away.inc()
                return _retry_later(problem, self._chance)
            raise
        response = web.StreamResponse(headers={**_NO_STORE, "X-Accel-Buffering": "no"})
        response.content_type = EVENT_STREAM
        state = feed.state
        self._limits.add_reader(client)
        end_at_eof(request)
        try:
            await response.prepare(request)
            await response.write(retry_event(2500))
            while feed.state is state and not self._ending.is_set():
                after = await self._write_next(request, response, feed, after)
                if half_closed(request):
                    break
            if self._ending.is_set():
                await response.write(self._last_retries.pick(gzip=False))
        except (ConnectionError, TimeoutError, JournalUnavailable):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._limits.remove_reader(client)
        return response

    async def _write_next(
        self, request: web.Request, response: web.StreamResponse, feed: ElectionFeed, after: int
    ) -> int:
        """Write the next publications, or a comment if there are none for a while; return the last one's sequence."""
        last = after - after % CHUNK + CHUNK  # readers that started anywhere soon share the same chunks
        lines = await feed.archive.lines(after + 1, last) if feed.settled else []
        if lines:
            await write_part(request, response, self._events(feed, after, lines), WRITE_TIMEOUT_S)
            return after + len(lines)
        heartbeat_s = self._config.heartbeat_s
        if not await self._reached(feed, after + 1, max(heartbeat_s - 1, heartbeat_s / 2)):
            await write_part(request, response, b": still here\n\n", WRITE_TIMEOUT_S)
        await feed.wait_settled(SETTLE_S)
        return after

    def _events(self, feed: ElectionFeed, after: int, lines: Sequence[bytes]) -> bytes:
        """Return publications as events: one body for all readers that are sent the same."""

        def make() -> Body:
            cursors = (Cursor(each, feed.state.prefix_at(each) or 0) for each in range(after + 1, last + 1))
            events = b"".join(map(publication_event, lines, cursors))
            return Body(events, EVENT_STREAM, tag="")

        last = after + len(lines)
        return self._bodies.get(("events", feed.id, after), (feed.generation, last), make).plain

    async def _reached(self, feed: ElectionFeed, sequence: int, timeout_s: float) -> bool:
        """Wait for a publication, or for the end of this process; return whether either has come."""
        waiting = {
            asyncio.ensure_future(feed.wait_reached(sequence, timeout_s)),
            asyncio.ensure_future(self._ending.wait()),
        }
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
        return any(each.result() for each in done)


def _head(more: str, *, gzip: bool) -> bytes:
    """Return the head of the answer of a feed, whose body ends with the connection (RFC 9112, section 6.3)."""
    return _HEAD + more.encode() + (b"Content-Encoding: gzip\r\n\r\n" + GZIP_START if gzip else b"\r\n")


def _start(feed: ElectionFeed, cursor: Cursor | None, after: int) -> int:
    """Return the publication to start after: that of a cursor, 0 for a cursor of another history, else `after`."""
    if cursor is None:
        return after
    return cursor.sequence if feed.state.contains(cursor) else 0


def _retry_later(problem: Problem, chance: Random) -> web.Response:
    """Return an empty event stream, so that browsers reconnect: on any status but 200, EventSource stops for good."""
    least_ms = int(1000 * (problem.retry_after_s or FULL_S))
    body = retry_event(chance.randint(least_ms, 3 * least_ms))
    return web.Response(body=body, content_type=EVENT_STREAM, headers={**_NO_STORE, "Connection": "close"})


def _nothing() -> None:
    """Do nothing."""
