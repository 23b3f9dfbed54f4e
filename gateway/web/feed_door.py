"""The feed door: where everyone follows the result. No token, no writing, and no way to the journal's own tables."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

import orjson
from aiohttp import hdrs, web

from gateway.config import Config
from gateway.election.registry import Area
from gateway.election.state import Cursor
from gateway.errors import JournalUnavailable, MalformedCursor
from gateway.feed.archive import RANGE
from gateway.feed.blocks import Retries
from gateway.feed.channel import Reader
from gateway.feed.compression import GZIP_START
from gateway.feed.hub import Hub
from gateway.feed.selection import PACES_S, BadSelection, Selection
from gateway.feed.stream import ElectionFeed
from gateway.telemetry.metrics import FeedMetrics
from gateway.web.allowance import Allowance
from gateway.web.answers import ANY_ORIGIN, JSON, Problem, bodiless, harden, problems
from gateway.web.bodies import Bodies, Body, Framed, matches
from gateway.web.connections import Connections, Handler, Tally
from gateway.web.health import add_health
from gateway.web.map_file import NO_MAP, read_map
from gateway.web.pages import REVALIDATE, StaticFile, add_pages
from gateway.web.queries import known_queries
from gateway.web.takeover import stream_head, take_over
from gateway.wire.areas import FORMATS, AreaFormat
from gateway.wire.events import parse_cursor, publication_event, retry_event
from gateway.wire.json import to_json
from gateway.wire.transfers import PublicTransfers, to_document

AHEAD_S = 5.0
"""How long a reader that is ahead of this process waits for it."""
SETTLE_S = 5.0
"""How long a request waits while a large step of the record is being applied."""
LIMIT_DEFAULT, LIMIT_MAX = 100, 1000
"""Publications in an answer."""
FULL_S = 10.0
"""After how long a reader may find room again, at the earliest: others have to leave first."""
SHARED_BY = 8
"""Readers of a selection, in one way, from which what is made for one of them is made for many."""
RETURNS_PER_S = 1000
"""How many readers are told to come back each second when this process ends: a fraction of what another takes."""
RANGE_BYTES = RANGE * 700
"""What reading a range of the record is charged as, in bytes put together."""
STREAM_CHUNK = 500
"""Publications in one write of a publication stream."""
STREAM_WRITE_S = 60.0
"""What a reader of the publication stream may take over one write."""

_PUBLIC = {"Cache-Control": "public, max-age=1"}
_NO_STORE = {"Cache-Control": "no-store"}
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET",
    "Access-Control-Allow-Headers": "Last-Event-ID, If-None-Match, Accept, Cache-Control",
    "Access-Control-Max-Age": "86400",
}
"""Source: WHATWG Fetch, CORS protocol."""
_EVENT_STREAM = "text/event-stream"
_LINES = "application/x-ndjson"


class _Wish(NamedTuple):
    """What a reader of the feed asks for."""

    selection: Selection
    every_s: int
    cursor: Cursor | None
    gzip: bool


class FeedDoor:
    """The routes of the feed door. Invariant: what is shown is a settled state, of one moment."""

    def __init__(self, config: Config, hub: Hub, metrics: FeedMetrics, connections: Connections) -> None:
        self._config = config
        self._hub = hub
        self._metrics = metrics
        self._connections = connections
        self._readers = 0
        metrics.readers_max.set(config.readers_max)
        self._readers_of = Tally(config.readers_per_address)
        self._waits_of = Tally(config.readers_per_address)
        """Requests that wait for a place in the record; they are connections too, so all of them have a bound."""
        self._selections = 0
        self._selections_of = Tally(config.selections_per_address)
        """Channels of selections that are not common, by who opened them."""
        rate = config.unshared_per_address
        self._allowance = Allowance(None if rate is None else rate << 20, time.monotonic)
        self._retries = Retries(1500, 4500)
        self._farewells = self._retries  # until it is known how many leave
        self._bodies = Bodies()
        self._registries: dict[str, tuple[int, Framed]] = {}
        """Registry documents, by election and edition."""
        self._ending = asyncio.Event()
        drawn = read_map(config.map) if config.map is not None else NO_MAP
        self._map = StaticFile("map.geojson", drawn.body)

    def application(self, ready: Callable[[], bool]) -> web.Application:
        """Return the routes."""
        noting = problems(self._metrics.problems.note)
        application = web.Application(middlewares=[_preflight, noting, bodiless, known_queries])
        application.on_response_prepare.extend((harden, _let_any_origin_read))
        router = application.router
        election = "/v1/elections/{election}"
        router.add_get("/v1/elections", self.get_elections)
        router.add_get(election, self.get_election)
        router.add_get(election + "/feed", self.get_feed, allow_head=False)
        router.add_get(election + "/areas/{area}", self.get_area)
        router.add_get(election + "/publications", self.get_publications, allow_head=False)
        router.add_get(election + "/publications/{range}", self.get_range)
        router.add_get(election + "/transfers", self.get_transfers)
        router.add_get(election + "/transfers/{municipality}", self.get_transfers)
        router.add_get("/map.geojson", self.get_map)
        add_pages(application)
        add_health(application, ready)
        return application

    def refresh_gauges(self) -> None:
        """Set the metrics that are counted only when asked for."""
        self._hub.refresh_gauges()
        self._metrics.connections.set(len(self._connections))
        streams = sum(len(channel) for feed in self._hub.feeds() for channel in feed.channels)
        self._metrics.publication_readers.set(max(0, self._readers - streams))

    def send_away(self) -> None:
        """Tell every reader when to come back, the more of them the more spread, and close them."""
        most_s = min(self._config.drain_s, self._readers / RETURNS_PER_S)
        self._farewells = Retries(500, 1000 + int(1000 * most_s))
        self._ending.set()
        for feed in self._hub.feeds():
            for channel in feed.channels:
                for reader in channel.readers():
                    reader.end(self._farewells.pick(gzip=channel.gzip))

    async def _feed(self, request: web.Request) -> ElectionFeed:
        """Return the election asked for, when its state may be shown. Raises Problem."""
        feed = self._hub.feed(request.match_info["election"])
        if feed is None:
            if not self._hub.looked:
                raise Problem(503, "starting", "the record is being read", retry_after_s=2.0)
            raise Problem(404, "unknown_election", "no election of that name")
        await self._wait_settled(feed)
        return feed

    async def _wait_settled(self, feed: ElectionFeed) -> None:
        """Wait until the state may be shown. Raises Problem."""
        if not feed.settled and not await feed.wait_settled(SETTLE_S):
            raise Problem(503, "starting", "the record is being read", retry_after_s=2.0)

    # The stream.

    async def get_feed(self, request: web.Request) -> web.StreamResponse:
        """`GET …/feed`: whole state, then changes; see the contract, section 6."""
        browser = _wants(request, _EVENT_STREAM, "application/json")
        client = self._connections.client(request)
        try:
            self._require_room(client)
            feed = await self._feed(request)
            await self._wait_for(feed, _cursor(request), client)
            wish = _read_wish(request, feed)
            self._require_room(client)
            opens = self._require_selection(feed, wish, client)
        except Problem as problem:
            if problem.status in (429, 503):
                self._metrics.turned_away.inc()
                if browser:
                    return self._turn_away(problem)
            raise
        reader = take_over(request, Reader, partial(self._forget, client))
        if reader is not None:
            self._count(client)
            head = stream_head(gzip=wish.gzip)
            head += (GZIP_START if wish.gzip else b"") + self._retries.pick(gzip=wish.gzip)
            closed = self._selection_opened(client) if opens else _nothing
            readers = feed.readers(wish.selection, gzip=wish.gzip, every_s=wish.every_s)
            before = feed.maker.work
            feed.join(
                reader,
                wish.selection,
                wish.cursor,
                gzip=wish.gzip,
                every_s=wish.every_s,
                head=head,
                closed=closed,
            )
            if not wish.selection.common and readers < SHARED_BY:
                self._allowance.use(client, feed.maker.work - before)
        return web.Response()  # goes nowhere: the connection is the reader's, or gone

    def _require_room(self, client: str) -> None:
        """Raise Problem where no reader more can be taken, at all or of this address."""
        if self._ending.is_set():
            raise Problem(503, "draining", "this process is about to end", retry_after_s=1.0)
        if self._readers >= self._config.readers_max:
            raise Problem(503, "full", "no more readers can be taken here", retry_after_s=FULL_S)
        if self._readers_of.full(client):
            detail = f"{self._config.readers_per_address} streams are open from this address"
            raise Problem(429, "too_many_streams", detail, retry_after_s=FULL_S)

    def _require_selection(self, feed: ElectionFeed, wish: _Wish, client: str) -> bool:
        """Raise Problem where an unusual selection is one too many, or needs work that is not to be done for it now.

        Return whether it has to be followed for this reader first. The common selections are always served.
        """
        if wish.selection.common:
            return False
        readers = feed.readers(wish.selection, gzip=wish.gzip, every_s=wish.every_s)
        if readers < SHARED_BY and not feed.shares(wish.selection, wish.cursor):
            self._require_allowance(client)
        if readers:
            return False
        if self._selections_of.full(client):
            detail = f"{self._config.selections_per_address} selections are followed for this address"
            raise Problem(429, "too_many_selections", detail, retry_after_s=FULL_S)
        if self._selections >= self._config.selections_max:
            raise Problem(503, "full", "no more selections can be followed here", retry_after_s=FULL_S)
        return True

    def _require_allowance(self, client: str) -> None:
        """Raise Problem where as much was made for one address, or for all, as may be: what is shared is served."""
        if (wait_s := self._allowance.wait_s(client)) > 0:
            detail = "much was made for this address alone; what others read too is served at once"
            raise Problem(429, "overloaded", detail, retry_after_s=max(1.0, wait_s))
        if (wait_s := self._allowance.wait_all_s()) > 0:
            detail = "much was made for single readers; what many read is served at once"
            raise Problem(503, "overloaded", detail, retry_after_s=max(1.0, wait_s))

    def _selection_opened(self, client: str) -> Callable[[], None]:
        """Count a selection in; return what counts it out."""
        self._selections += 1
        self._selections_of.enter(client)
        return partial(self._selection_closed, client)

    def _selection_closed(self, client: str) -> None:
        self._selections -= 1
        self._selections_of.leave(client)

    def _count(self, client: str) -> None:
        self._readers += 1
        self._readers_of.enter(client)

    def _forget(self, client: str) -> None:
        self._readers -= 1
        self._readers_of.leave(client)

    def _turn_away(self, problem: Problem) -> web.Response:
        """Send a browser away so that it comes back: on any status but 200 an EventSource gives up for good."""
        least_ms = int(1000 * (problem.retry_after_s or FULL_S))
        body = retry_event(random.randint(least_ms, 3 * least_ms))  # noqa: S311 - jitter, no secret
        return web.Response(
            body=body, content_type=_EVENT_STREAM, headers={**_NO_STORE, "Connection": "close"}
        )

    async def _wait_for(self, feed: ElectionFeed, cursor: Cursor | None, client: str) -> None:
        """Wait for the place of a reader that another process brought farther; one that never comes is not ours.

        Where too many of its address wait already it is not waited for.
        """
        if cursor is None or cursor.sequence <= feed.state.sequence or self._waits_of.full(client):
            return
        await self._wait_counted(feed, cursor.sequence, client)
        await self._wait_settled(feed)

    async def _wait_counted(self, feed: ElectionFeed, sequence: int, client: str) -> bool:
        self._waits_of.enter(client)
        try:
            return await feed.wait_reached(sequence, AHEAD_S)
        finally:
            self._waits_of.leave(client)

    # Plain reading.

    async def get_elections(self, _: web.Request) -> web.Response:
        """`GET /v1/elections`: what there is."""
        if not self._hub.looked:
            raise Problem(503, "starting", "the record is being read", retry_after_s=2.0)
        feeds = self._hub.feeds()
        version = tuple((feed.edition, feed.head, feed.maker.position.sequence) for feed in feeds)
        body = self._bodies.get("elections", version, partial(_elections_body, feeds))
        return web.Response(body=body.plain, content_type=body.content_type, headers=_PUBLIC)

    async def get_election(self, request: web.Request) -> web.Response:
        """`GET /v1/elections/{e}`: the registry, and where its record is."""
        feed = await self._feed(request)
        before = to_json(_election_document(feed))[:-1] + b',"registry":'
        name, version = ("registry", feed.id), (feed.edition, before)
        body = self._bodies.get(
            name, version, lambda: self._framed(feed).body(before, b"}", "application/json")
        )
        return _tagged(request, body)

    def _framed(self, feed: ElectionFeed) -> Framed:
        held = self._registries.get(feed.id)
        if held is None or held[0] != feed.edition:
            known = {each.id for each in self._hub.feeds()}
            self._registries = {name: each for name, each in self._registries.items() if name in known}
            held = self._registries[feed.id] = feed.edition, Framed(feed.document)
        return held[1]

    async def get_area(self, request: web.Request) -> web.Response:
        """`GET …/areas/{area}`: an area and its children, as JSON or CSV."""
        feed = await self._feed(request)
        if (text := request.query.get("at_least")) is not None:
            await self._wait_at_least(feed, text, self._connections.client(request))
        registry = feed.registry
        area = registry.by_id.get(request.match_info["area"])
        if area is None:
            raise Problem(404, "unknown_area", "not an area of this election")
        form = _area_format(request)
        name = ("area", feed.id, area.id, form.name)
        return _tagged(request, self._bodies.get(name, _moment(feed), partial(_area_body, feed, area, form)))

    async def _wait_at_least(self, feed: ElectionFeed, text: str, client: str) -> None:
        sequence = _number("at_least", text, 0, 2**53)
        if feed.state.sequence < sequence:
            if self._waits_of.full(client):
                detail = "as many requests of this address wait for a place in the record as may"
                raise Problem(429, "overloaded", detail, retry_after_s=AHEAD_S)
            if not await self._wait_counted(feed, sequence, client):
                detail = f"the record is at {feed.state.sequence} here"
                raise Problem(503, "not_yet", detail, retry_after_s=1.0)
        await self._wait_settled(feed)

    async def get_publications(self, request: web.Request) -> web.StreamResponse:
        """`GET …/publications`: every publication in order, as lines or as an event stream."""
        if _wants(request, _EVENT_STREAM, _LINES):
            return await self._stream(request)
        feed = await self._feed(request)
        after = _number("after", request.query.get("after", "0"), 0, 2**53)
        limit = _number("limit", request.query.get("limit", str(LIMIT_DEFAULT)), 1, LIMIT_MAX)
        headers = {**_PUBLIC, "Vary": "Accept"}
        if after % LIMIT_DEFAULT == 0 and limit in (LIMIT_DEFAULT, LIMIT_MAX):
            body = await self._lines_body(request, feed, after, limit)
            return web.Response(body=body.plain, content_type=_LINES, headers=headers)
        client = self._connections.client(request)
        self._require_allowance(client)
        self._charge_reading(client, feed, after + 1)
        lines = await _lines(feed, after + 1, after + limit)
        joined = b"".join(lines)
        self._allowance.use(client, len(joined))
        return web.Response(body=joined, content_type=_LINES, headers=headers)

    async def _lines_body(self, request: web.Request, feed: ElectionFeed, after: int, limit: int) -> Body:
        """Return so many publications as lines: one body for all who ask for the same.

        Reading them from the record is charged to whoever asks first. Raises Problem.
        """
        if after >= feed.state.sequence:
            return Body(b"", _LINES, tag="")  # not kept: there is no end of such pages
        name = ("lines", feed.id, after, limit)
        version = (feed.edition, min(after + limit, feed.state.sequence))
        body = self._bodies.find(name, version)
        if body is None:
            self._charge_reading(self._connections.client(request), feed, after + 1)
            lines = await _lines(feed, after + 1, after + limit)
            chain = orjson.loads(lines[-1])["chain"] if lines else ""
            body = self._bodies.get(name, version, lambda: Body(b"".join(lines), _LINES, tag=chain))
        return body

    def _charge_reading(self, client: str, feed: ElectionFeed, first: int) -> None:
        """Charge a reading of the record, where a publication is not in memory. Raises Problem."""
        if not feed.archive.kept(first):
            self._require_allowance(client)
            self._allowance.use(client, RANGE_BYTES)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Send each publication, none skipped; a reader that does not keep up is waited for, not queued for."""
        client = self._connections.client(request)
        after = _number("after", request.query.get("after", "0"), 0, 2**53)
        cursor = _cursor(request)
        try:
            self._require_room(client)
            feed = await self._feed(request)
            await self._wait_for(feed, cursor, client)
            self._require_room(client)
        except Problem as problem:
            if problem.status in (429, 503):
                self._metrics.turned_away.inc()
                return self._turn_away(problem)
            raise
        if cursor is not None:
            # A cursor of another history: from the start, so that nothing of this one is missed.
            after = cursor.sequence if feed.state.holds(cursor) else 0
        try:
            self._charge_reading(client, feed, after + 1)
        except Problem as problem:
            self._metrics.turned_away.inc()
            return self._turn_away(problem)
        response = web.StreamResponse(headers={**_NO_STORE, "X-Accel-Buffering": "no"})
        response.content_type = _EVENT_STREAM
        state = feed.state
        self._count(client)
        try:
            await response.prepare(request)
            await response.write(retry_event(2500))
            while feed.state is state and not self._ending.is_set():
                after = await self._write_publications(request, response, feed, after)
            if self._ending.is_set():
                await response.write(self._farewells.pick(gzip=False))
        except (ConnectionError, TimeoutError, JournalUnavailable):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._forget(client)
        return response

    async def _write_publications(
        self, request: web.Request, response: web.StreamResponse, feed: ElectionFeed, after: int
    ) -> int:
        last = after - after % STREAM_CHUNK + STREAM_CHUNK  # whoever comes from where meets the others there
        lines = await feed.archive.lines(after + 1, last) if feed.settled else []
        if lines:
            await _write(request, response, self._events(feed, after, lines))
            return after + len(lines)
        heartbeat_s = self._config.heartbeat_s
        if not await self._reached(feed, after + 1, max(heartbeat_s - 1, heartbeat_s / 2)):
            await _write(request, response, b": still here\n\n")
        await feed.wait_settled(SETTLE_S)
        return after

    def _events(self, feed: ElectionFeed, after: int, lines: Sequence[bytes]) -> bytes:
        """Return publications as events: one body for all who are sent the same."""

        def make() -> Body:
            cursors = (Cursor(each, feed.state.prefix_at(each) or 0) for each in range(after + 1, last + 1))
            events = b"".join(map(publication_event, lines, cursors))
            return Body(events, _EVENT_STREAM, tag="")

        last = after + len(lines)
        return self._bodies.get(("events", feed.id, after), (feed.edition, last), make).plain

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

    async def get_range(self, request: web.Request) -> web.Response:
        """`GET …/publications/1-1000`: a whole range, once complete, the same for ever."""
        feed = await self._feed(request)
        first, last = _range(request.match_info["range"])
        if last > feed.state.sequence:
            detail = f"the record is at {feed.state.sequence}"
            raise Problem(404, "not_complete", detail)
        body = await self._lines_body(request, feed, first - 1, last - first + 1)
        lasting = request.query.get("chain") == body.tag
        caching = "public, max-age=31536000, immutable" if lasting else "public, max-age=1"
        headers = {**_PUBLIC, "Cache-Control": caching, "ETag": f'"{body.tag}"'}
        if matches(request, headers["ETag"]):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body.plain, content_type=_LINES, headers=headers)

    async def get_map(self, request: web.Request) -> web.Response:
        """`GET /map.geojson`: the shapes that the results page draws; none, where tiles are to be drawn."""
        return self._map.respond(request, REVALIDATE)

    async def get_transfers(self, request: web.Request) -> web.Response:
        """`GET …/transfers[/{municipality}]`: where every count is, and how late."""
        feed = await self._feed(request)
        only = request.match_info.get("municipality")
        if only is not None and only not in feed.transfers:
            raise Problem(404, "unknown_municipality", "no municipality of that name reports")
        now = datetime.now(UTC)
        version = (*_moment(feed), int(now.timestamp()))
        make = partial(_transfers_body, feed, only, now)
        body = self._bodies.get(("transfers", feed.id, only), version, make)
        return web.Response(body=body.plain, content_type=body.content_type, headers=_PUBLIC)


def _nothing() -> None:
    """Do nothing."""


@web.middleware
async def _preflight(request: web.Request, handler: Callable[[web.Request], object]) -> web.StreamResponse:
    """Answer what a browser asks before it sends a request of a page of another origin."""
    if request.method == hdrs.METH_OPTIONS:
        return web.Response(status=204, headers=_PREFLIGHT)
    response: web.StreamResponse = await handler(request)  # type: ignore[misc]
    return response


async def _let_any_origin_read(_: web.Request, response: web.StreamResponse) -> None:
    """Let pages of any origin read every answer, errors too: there is nothing here that is not public."""
    for name, value in ANY_ORIGIN.items():
        response.headers.setdefault(name, value)


def _moment(feed: ElectionFeed) -> tuple[int, int]:
    """Return what names the state that a feed shows."""
    return feed.edition, feed.state.sequence


def _elections_body(feeds: Sequence[ElectionFeed]) -> Body:
    return Body(to_json({"elections": [_election_document(feed) for feed in feeds]}), JSON, tag="")


def _area_body(feed: ElectionFeed, area: Area, form: AreaFormat) -> Body:
    return Body(feed.areas.page(area, form), form.media_type)


def _transfers_body(feed: ElectionFeed, only: str | None, now: datetime) -> Body:
    found = feed.transfers.documents(feed.backlog, feed.contacts, now, only)
    if only is not None:
        return Body(to_json(to_document(found[0])), JSON, tag="")
    document = PublicTransfers(
        election=feed.id,
        rehearsal=feed.registry.rehearsal,
        sequence=feed.state.sequence,
        server_time=now,
        transfers=found,
    )
    return Body(to_json(to_document(document)), JSON, tag="")


async def _write(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    """Write a part of a stream and wait until it is taken. Raises TimeoutError, ConnectionError."""
    handler = request.protocol
    if isinstance(handler, Handler):
        await handler.write_part(response, data, STREAM_WRITE_S)
    else:
        async with asyncio.timeout(STREAM_WRITE_S):
            await response.write(data)


def _election_document(feed: ElectionFeed) -> dict[str, object]:
    head, registry = feed.head, feed.registry
    return {
        "id": feed.id,
        "name": registry.name,
        "date": registry.document["election"].get("date"),
        "rehearsal": registry.rehearsal,
        "publish_from": head.publish_from,
        "released_at": head.released_at,
        "closed_at": head.closed_at if head.released_at is not None else None,
        "sequence": feed.maker.position.sequence,
        "chain": feed.maker.position.chain.hex(),
        "levels": list(registry.levels),
        "units": len(registry.units),
    }


def _read_wish(request: web.Request, feed: ElectionFeed) -> _Wish:
    try:
        selection = feed.select(request.query.get("levels"), request.query.get("areas"))
    except BadSelection as error:
        raise Problem(400, "bad_selection", str(error)) from None
    every_s = _number("every_s", request.query.get("every_s", "0"), 0, 60)
    if every_s not in PACES_S:
        raise Problem(400, "bad_query", f"every_s is one of {', '.join(map(str, PACES_S))}")
    return _Wish(selection, every_s, _cursor(request), _accepts_gzip(request))


def _cursor(request: web.Request) -> Cursor | None:
    """Return where a reader was; None for none and for nonsense.

    A header comes first, then `lastEventId`, which clients that cannot set headers append when they come back, so it is
    newer than a `last_event_id` that was in the address from the start.
    """
    query = request.query
    text = request.headers.get("Last-Event-ID") or query.get("lastEventId") or query.get("last_event_id")
    if not text:
        return None
    try:
        return parse_cursor(text)
    except MalformedCursor:
        return None


def _accepts_gzip(request: web.Request) -> bool:
    for offer in request.headers.get(hdrs.ACCEPT_ENCODING, "").split(","):
        name, _, parameter = offer.partition(";")
        if name.strip().lower() == "gzip":
            return parameter.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _number(name: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and least <= int(text) <= most):
        raise Problem(400, "bad_query", f"{name} is a number from {least} to {most}")
    return int(text)


def _range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if dash and all(part.isascii() and part.isdigit() and len(part) <= 16 for part in (first, last)):
        begin, end = int(first), int(last)
        if begin % RANGE == 1 and end == begin + RANGE - 1 and text == f"{begin}-{end}":
            return begin, end
    raise Problem(400, "bad_range", f"ranges are 1-{RANGE}, {RANGE + 1}-{2 * RANGE} and so on")


async def _lines(feed: ElectionFeed, first: int, last: int) -> list[bytes]:
    try:
        return await feed.archive.lines(first, last)
    except JournalUnavailable as error:
        raise Problem(503, error.code, "the record cannot be read now", retry_after_s=2.0) from error


def _area_format(request: web.Request) -> AreaFormat:
    """Return the format that the query names, else the one that the client prefers. Raises Problem."""
    name = request.query.get("format")
    if name is None:
        default, *others = FORMATS.values()
        accepted = (each for each in others if _wants(request, each.media_type, default.media_type))
        accept = request.headers.get(hdrs.ACCEPT, "")
        return max(accepted, key=lambda each: _quality(accept, each.media_type), default=default)
    if name not in FORMATS:
        raise Problem(400, "bad_query", f"format is {' or '.join(FORMATS)}")
    return FORMATS[name]


def _wants(request: web.Request, kind: str, other: str) -> bool:
    """Whether a client wants one kind of answer more than another; one that it names, more than one of any kind.

    Source: RFC 9110, section 12.5.1.
    """
    accept = request.headers.get(hdrs.ACCEPT, "")
    wanted = _quality(accept, kind)
    return wanted[0] > 0 and wanted > _quality(accept, other)


def _quality(accept: str, kind: str) -> tuple[float, bool]:
    found: dict[str, float] = {}
    for offer in accept.split(","):
        name, *parameters = (part.strip().lower() for part in offer.split(";"))
        weight = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        try:
            found[name] = float(weight)
        except ValueError:
            found[name] = 0.0
    for name in (kind, kind.partition("/")[0] + "/*", "*/*"):
        if name in found:
            return found[name], name == kind
    return 0.0, False


def _tagged(request: web.Request, body: Body) -> web.Response:
    """Return a body with a strong ETag of its own for each representation, or 304."""
    headers = {**_PUBLIC, "Vary": "Accept, Accept-Encoding"}
    return body.answer(request, headers, packed=_accepts_gzip(request))
