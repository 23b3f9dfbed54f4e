"""Tables of the feed door: the results of a level, and corrections."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

from aiohttp import web

from gateway.election.registry import Area
from gateway.errors import Overloaded
from gateway.feed.results import ResultTable, TableTooLarge
from gateway.feed.selection import Selection
from gateway.feed.stream import ElectionFeed
from gateway.web.answers import Problem
from gateway.web.bodies import Body, BodyCache
from gateway.web.client_address import ClientAddresses
from gateway.web.feed_documents import tagged
from gateway.web.feed_lookup import FeedLookup
from gateway.web.feed_request import AreaRequest, read_area_request
from gateway.web.stream_limits import StreamLimits
from gateway.web.turns import SLICE_S, Turns
from gateway.wire.areas import JSON
from gateway.wire.corrections import corrections_csv, corrections_json, last_correction
from gateway.wire.results import RESULT_FORMATS

TABLES_MAX = 64 << 20
"""Bytes of the tables that are cached, unless a single one exceeds that."""
MAKE_MAX_S = 10.0
"""How long a request waits for its table, in seconds."""


class _Wanted(NamedTuple):
    """A table that is requested, of an election as of a generation and sequence."""

    feed: ElectionFeed
    generation: int
    sequence: int
    selection: Selection
    level: str
    request: AreaRequest

    @property
    def name(self) -> Hashable:
        return self.feed.id, self.level, self.request.area, self.request.form.name, self.request.mark


class FeedTables:
    """Handlers of requests for tables. Invariants:

    * A table is made once for all clients that request it at the same time, and is as new as each of their requests.
    * At most one table of common selections, and one other, are made at a time, in slices.
    """

    def __init__(
        self, lookup: FeedLookup, limits: StreamLimits, addresses: ClientAddresses, bodies: BodyCache
    ) -> None:
        self._lookup = lookup
        self._limits = limits
        self._addresses = addresses
        self._bodies = bodies
        self._tables = BodyCache(TABLES_MAX)
        self._turns = Turns()
        self._making = {common: asyncio.Lock() for common in (True, False)}

    async def get_results(self, request: web.Request) -> web.Response:
        """`GET …/areas`: the areas of a level with their totals, and each party's votes and share."""
        feed = await self._lookup.find(request)
        asked = read_area_request(request.headers, request.query)
        level = request.query.get("level")
        if level is None or level not in feed.registry.levels:
            raise Problem(400, "bad_query", f"level must be one of {', '.join(feed.registry.levels)}")
        area = _area(feed, request.query.get("area"))
        selection = feed.select(level, None if area is None else area.id)
        wanted = _Wanted(feed, feed.generation, feed.state.sequence, selection, level, asked)
        body = self._cached(wanted)
        if body is None:
            body = await self._make(wanted, self._addresses.of_request(request))
        return tagged(request, body)

    async def get_corrections(self, request: web.Request) -> web.Response:
        """`GET …/corrections`: corrections of figures that were public, the largest first."""
        feed = await self._lookup.find(request)
        asked = read_area_request(request.headers, request.query)
        area = _area(feed, request.query.get("area")) or feed.registry.root
        name = ("corrections", feed.id, area.id, asked.form.name, asked.mark)
        version = (feed.generation, last_correction(feed.state))
        return tagged(request, self._bodies.get(name, version, partial(_corrections, feed, area, asked)))

    def _cached(self, wanted: _Wanted) -> Body | None:
        """Return a table that is as new as the request; None if none is cached."""
        match self._tables.newest(wanted.name):
            case ((wanted.generation, int(sequence)), body) if sequence >= wanted.sequence:
                return body
        return None

    async def _make(self, wanted: _Wanted, client: str) -> Body:
        """Make a table, or wait for another request that makes it. Raises Problem."""
        common = wanted.selection.common
        async with _limited(), self._making[common]:
            body = self._cached(wanted)
            if body is not None:
                return body
            if not common:
                self._limits.require_allowance(client)
            table = await self._run(wanted, client)
            if not common:
                self._limits.allowance.use(client, len(table.plain))
            form = wanted.request.form
            body = Body(table.plain, form.media_type, tag=table.tag, compress=lambda _: table.packed)
            return self._tables.get(wanted.name, (wanted.generation, table.sequence), lambda: body)

    async def _run(self, wanted: _Wanted, client: str) -> ResultTable:
        """Make a table, again if the state may not be shown at its end. Raises Problem."""
        feed, asked = wanted.feed, wanted.request
        form = RESULT_FORMATS[asked.form.name]
        while True:
            await self._lookup.wait_settled(feed)
            if feed.generation != wanted.generation:
                raise Problem(503, "starting", "the record is being loaded again", retry_after_s=1.0)
            steps = feed.results.steps(wanted.selection, wanted.level, asked.area, form, asked.mark)
            try:
                async with self._turns.work(client, SLICE_S) as work:
                    table = await work.run(steps)
            except TableTooLarge as error:
                raise Problem(400, "bad_selection", f"{error}; name an area") from None
            if table is not None:
                return table
            await asyncio.sleep(0)


@asynccontextmanager
async def _limited() -> AsyncIterator[None]:
    """Raise Problem after MAKE_MAX_S."""
    try:
        async with asyncio.timeout(MAKE_MAX_S):
            yield
    except TimeoutError:
        raise Problem.of(Overloaded("the table could not be made in time", 2.0)) from None


def _area(feed: ElectionFeed, name: str | None) -> Area | None:
    """Return the area that a query names; None if it names none. Raises Problem."""
    if name is None:
        return None
    area = feed.registry.by_id.get(name)
    if area is None:
        raise Problem(400, "bad_selection", "area is not an area of this election")
    return area


def _corrections(feed: ElectionFeed, area: Area, asked: AreaRequest) -> Body:
    make = corrections_json if asked.form is JSON else corrections_csv
    return Body(asked.mark + make(feed.state, area), asked.form.media_type)
