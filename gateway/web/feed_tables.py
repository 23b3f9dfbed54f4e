"""Tables of the feed door: the results of a level, and corrections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple, TypeVar

from aiohttp import web

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.election.registry import Area
from gateway.errors import Overloaded
from gateway.feed.compression import gzip_steps
from gateway.feed.results import SMALL_BYTES, ResultTable, TableTooLarge
from gateway.feed.selection import Selection
from gateway.feed.stream import ElectionFeed
from gateway.web.answers import Problem
from gateway.web.bodies import Body, BodyCache
from gateway.web.client_address import ClientAddresses
from gateway.web.feed_documents import tagged
from gateway.web.feed_lookup import FeedLookup
from gateway.web.feed_request import AreaRequest, read_area_request
from gateway.web.stream_limits import StreamLimits
from gateway.web.turns import in_slices
from gateway.wire.areas import JSON, TABLE_FORMATS
from gateway.wire.corrections import corrections_of, csv_steps, json_steps
from gateway.wire.results import RESULT_FORMATS
from gateway.wire.seats import csv_steps as seats_csv
from gateway.wire.seats import json_steps as seats_json
from gateway.wire.seats import seat_table

TABLES_MAX = 64 << 20
"""Bytes of the cached tables; a single larger one is cached alone."""
MAKE_MAX_S = 30.0
"""How long a request waits for its table, in seconds."""

T = TypeVar("T")


class _Wanted(NamedTuple):
    """A table that is requested, of an election as of a generation and at least as new as a sequence."""

    name: Hashable
    feed: ElectionFeed
    generation: int
    sequence: int
    asked: AreaRequest


class FeedTables:
    """Handlers of requests for tables. Invariants:

    * A table is made once for all clients that request it at the same time, and is as new as each of their requests.
    * At most one table of each kind of `_making` is made at a time, in slices.
    """

    def __init__(
        self,
        lookup: FeedLookup,
        limits: StreamLimits,
        addresses: ClientAddresses,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._lookup = lookup
        self._clock = clock
        self._limits = limits
        self._addresses = addresses
        self._tables = BodyCache(TABLES_MAX)
        """The version of a table is its generation and sequence."""
        self._making = {kind: asyncio.Lock() for kind in ("common", "other", "corrections", "seats")}

    async def get_results(self, request: web.Request) -> web.Response:
        """`GET …/areas`: the areas of a level with their totals, and each party's votes and share."""
        feed = await self._lookup.find(request)
        asked = read_area_request(request.headers, request.query, TABLE_FORMATS)
        level = request.query.get("level")
        if level is None or level not in feed.registry.levels:
            raise Problem(400, "bad_query", f"level must be one of {', '.join(feed.registry.levels)}")
        area = _area(feed, asked)
        selection = feed.select(level, None if area is None else area.id)
        name = ("results", feed.id, level, asked)
        wanted = _Wanted(name, feed, feed.generation, feed.state.sequence, asked)
        client = self._addresses.of_request(request)
        kind = "common" if selection.common else "other"
        make = partial(self._make_results, wanted, selection, level, client)
        return tagged(request, await self._shared(wanted, kind, make))

    async def get_corrections(self, request: web.Request) -> web.Response:
        """`GET …/corrections`: corrections of figures that were public, the largest first."""
        feed = await self._lookup.find(request)
        asked = read_area_request(request.headers, request.query, TABLE_FORMATS)
        area = _area(feed, asked) or feed.registry.root
        name = ("corrections", feed.id, asked)
        wanted = _Wanted(name, feed, feed.generation, feed.state.corrections.changed, asked)
        make = partial(self._make_corrections, wanted, area)
        return tagged(request, await self._shared(wanted, "corrections", make))

    async def get_seats(self, request: web.Request) -> web.Response:
        """`GET …/seats`: the seats of all districts and of the whole election."""
        feed = await self._lookup.find(request)
        asked = read_area_request(request.headers, request.query, TABLE_FORMATS)
        if feed.registry.apportionment is None:
            raise Problem(404, "no_seats", "the registry of this election does not say how seats are given")
        if (text := request.query.get("at_least")) is not None:
            await self._lookup.wait_at_least(feed, text, self._addresses.of_request(request))
        wanted = _Wanted(("seats", feed.id, asked), feed, feed.generation, feed.state.sequence, asked)
        return tagged(request, await self._shared(wanted, "seats", partial(self._make_seats, wanted)))

    async def _shared(
        self, wanted: _Wanted, kind: str, make: Callable[[], Awaitable[tuple[int, Body]]]
    ) -> Body:
        """Return a cached table, or make it, or wait for another request that makes it. Raises Problem."""
        body = self._cached(wanted)
        if body is not None:
            return body
        async with _limited(), self._making[kind]:
            body = self._cached(wanted)
            if body is not None:
                return body
            sequence, made = await make()
            return self._tables.get(wanted.name, (wanted.generation, sequence), lambda: made)

    def _cached(self, wanted: _Wanted) -> Body | None:
        """Return a table that is as new as the request; None if none is cached."""
        match self._tables.newest(wanted.name):
            case ((wanted.generation, int(sequence)), body) if sequence >= wanted.sequence:
                return body
        return None

    async def _make_results(
        self, wanted: _Wanted, selection: Selection, level: str, client: str
    ) -> tuple[int, Body]:
        """Make a table, again if the state may not be shown at its end. Raises Problem."""
        if not selection.common:
            self._limits.require_allowance(client)
        form, mark, area = RESULT_FORMATS[wanted.asked.form.name], wanted.asked.mark, wanted.asked.area
        table: ResultTable | None = None
        while table is None:
            await asyncio.sleep(0)
            await self._wait_settled(wanted)
            steps = wanted.feed.results.steps(selection, level, area, form, mark)
            try:
                table = await in_slices(steps, clock=self._clock)
            except TableTooLarge as error:
                raise Problem(400, "bad_selection", f"{error}; name an area") from None
        if not selection.common:
            self._limits.allowance.use(client, len(table.plain))
        packed = table.packed
        compress = None if packed is None else lambda _: packed
        return table.sequence, Body(table.plain, form.media_type, tag=table.tag, compress=compress)

    async def _make_corrections(self, wanted: _Wanted, area: Area) -> tuple[int, Body]:
        await self._wait_settled(wanted)
        corrections = corrections_of(wanted.feed.state, area)
        form = wanted.asked.form
        steps = json_steps(corrections) if form is JSON else csv_steps(corrections)
        text = await in_slices(steps, clock=self._clock)
        return corrections.sequence, Body(wanted.asked.mark + text, form.media_type)

    async def _make_seats(self, wanted: _Wanted) -> tuple[int, Body]:
        await self._wait_settled(wanted)
        seats = wanted.feed.state.seats
        assert seats is not None
        await in_slices(seats.refresh(), clock=self._clock)
        await self._wait_settled(wanted)
        table = seat_table(wanted.feed.state)
        form = wanted.asked.form
        steps = seats_json(table) if form is JSON else seats_csv(table)
        text = await in_slices(steps, clock=self._clock)
        plain = wanted.asked.mark + text
        is_large = len(plain) > SMALL_BYTES
        packed = await in_slices(gzip_steps(plain), clock=self._clock) if is_large else None
        compress = None if packed is None else lambda _: packed
        return table.sequence, Body(plain, form.media_type, compress=compress)

    async def _wait_settled(self, wanted: _Wanted) -> None:
        """Wait until the state may be shown. Raises Problem if it is another one than the request was for."""
        await self._lookup.wait_settled(wanted.feed)
        if wanted.feed.generation != wanted.generation:
            raise Problem(503, "starting", "the record is being loaded again", retry_after_s=1.0)


@asynccontextmanager
async def _limited() -> AsyncIterator[None]:
    """Raise Problem after MAKE_MAX_S."""
    try:
        async with asyncio.timeout(MAKE_MAX_S):
            yield
    except TimeoutError:
        raise Problem.of(Overloaded("the table could not be made in time", 2.0)) from None


def _area(feed: ElectionFeed, asked: AreaRequest) -> Area | None:
    """Return the area that a query names; None if it names none. Raises Problem."""
    if asked.area is None:
        return None
    area = feed.registry.by_id.get(asked.area)
    if area is None:
        raise Problem(400, "bad_selection", "area is not an area of this election")
    return area
