"""The documents of the feed door: elections, areas, pages of publications, transfers and the map."""

import asyncio
from collections.abc import Hashable, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

import orjson
from aiohttp import web

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.election.log_record import LogHead
from gateway.election.registry import Area
from gateway.errors import JournalUnavailable
from gateway.feed.archive import Archive
from gateway.feed.stream import ElectionFeed
from gateway.web.answers import JSON, Problem
from gateway.web.bodies import Body, BodyCache, body_steps
from gateway.web.client_address import ClientAddresses
from gateway.web.feed_lookup import FeedLookup
from gateway.web.feed_request import (
    LINES,
    SEQUENCE_MAX,
    AreaRequest,
    read_area_request,
    read_number,
    read_range,
    refuse_unused,
)
from gateway.web.fixed_texts import FixedTexts
from gateway.web.map_file import Map
from gateway.web.negotiation import gzip_accepted
from gateway.web.pages import REVALIDATE, StaticFile
from gateway.web.queries import refuse_those
from gateway.web.stream_limits import StreamLimits
from gateway.web.turns import in_slices
from gateway.wire.areas import TABLE_FORMATS
from gateway.wire.json import to_json
from gateway.wire.transfers import PublicTransfers, to_document

CHILDREN_MAX = 2_000
"""Children of an area in a document of EML or NIST."""
VERBOSE_MAX = 16 << 20
"""Bytes of such a document: with CHILDREN_MAX, there is room for 20 parties in two categories."""
LIMIT_DEFAULT, LIMIT_MAX = 100, 1000
"""Publications per page."""

_PUBLIC = {"Cache-Control": "public, max-age=1"}


class FeedDocuments:
    """Handlers of plain requests; what is the same for several clients is made once, in `bodies`."""

    def __init__(
        self,
        lookup: FeedLookup,
        limits: StreamLimits,
        addresses: ClientAddresses,
        bodies: BodyCache,
        texts: FixedTexts,
        drawn: Map,
        mirror_url: str | None,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._lookup = lookup
        self._clock = clock
        self._limits = limits
        self._addresses = addresses
        self._bodies = bodies
        self._texts = texts
        self._mirror_url = mirror_url
        self._making = asyncio.Lock()
        self._map = StaticFile("map.geojson", drawn.body)

    async def get_elections(self, _: web.Request) -> web.Response:
        """`GET /v1/elections`: every election and the position of its record."""
        feeds = self._lookup.all()
        version = tuple(
            (feed.generation, feed.head, feed.log.head, feed.maker.position.sequence) for feed in feeds
        )
        body = self._bodies.get("elections", version, partial(_elections_body, feeds, self._mirror_url))
        return web.Response(body=body.plain, content_type=body.content_type, headers=_PUBLIC)

    async def get_election(self, request: web.Request) -> web.Response:
        """`GET /v1/elections/{e}`: the registry, and the position of the record."""
        feed = await self._lookup.find(request)
        before = to_json(_election_document(feed))[:-1] + b',"registry":'
        name, version = ("registry", feed.id), (feed.generation, before)
        text = self._texts.get("registry", feed, feed.documents.registry)
        return tagged(request, self._bodies.get(name, version, lambda: text.between(before, b"}", JSON)))

    async def get_previous(self, request: web.Request) -> web.Response:
        """`GET …/previous`: the previous election."""
        feed = await self._lookup.find(request)
        document = feed.documents.previous
        if document is None:
            raise Problem(404, "no_previous", "this election has no previous election to compare with")
        text = self._texts.get("previous", feed, document)
        name = ("previous", feed.id)
        return tagged(request, self._bodies.get(name, feed.generation, lambda: text.between(b"", b"", JSON)))

    async def get_area(self, request: web.Request) -> web.Response:
        """`GET …/areas/{area}`: an area and its children, in one of FORMATS."""
        feed = await self._lookup.find(request)
        if (text := request.query.get("at_least")) is not None:
            await self._lookup.wait_at_least(feed, text, self._addresses.of_request(request))
        area = feed.registry.by_id.get(request.match_info["area"])
        if area is None:
            raise Problem(404, "unknown_area", "this election has no area with this identifier")
        asked = read_area_request(request.headers, request.query)
        name = ("area", feed.id, area.id, asked.form.name, asked.mark)
        version = (feed.generation, feed.state.sequence)
        if asked.form.name not in TABLE_FORMATS:
            return tagged(request, await self._verbose(feed, area, asked, name))
        return tagged(request, self._bodies.get(name, version, partial(_area_body, feed, area, asked)))

    async def _verbose(self, feed: ElectionFeed, area: Area, asked: AreaRequest, name: Hashable) -> Body:
        """Return a document of a verbose format, made in slices, except that it is put together. Raises Problem."""
        wanted = feed.state.sequence
        if (body := self._bodies.find(name, (feed.generation, wanted))) is not None:
            return body
        if len(area.children) > CHILDREN_MAX:
            raise _too_long(f"more than {CHILDREN_MAX} children")
        generation = feed.generation
        async with self._making:
            match self._bodies.newest(name):  # another request has made it meanwhile
                case ((made_of, int(sequence)), body) if made_of == generation and sequence >= wanted:
                    return body
            if not await in_slices(feed.areas.refresh(area, asked.form, VERBOSE_MAX), clock=self._clock):
                raise _too_long(f"more than {VERBOSE_MAX >> 20} MiB")
            await self._lookup.wait_settled(feed)
            if feed.generation != generation:
                raise Problem(503, "starting", "the record is being loaded again", retry_after_s=1.0)
            version = (generation, feed.state.sequence)
            page = asked.mark + feed.areas.page(area, asked.form)
            made = await in_slices(body_steps(page, asked.form.media_type), clock=self._clock)
            return self._bodies.get(name, version, lambda: made)

    async def get_publications(self, request: web.Request) -> web.Response:
        """`GET …/publications`: a page of publications in order, as lines."""
        refuse_unused(request.query, "last_event_id", "lastEventId", use="an event stream")
        feed = await self._lookup.find(request)
        body = await self._page(request, self._publications(feed))
        return web.Response(body=body.plain, content_type=LINES, headers={**_PUBLIC, "Vary": "Accept"})

    async def get_range(self, request: web.Request) -> web.Response:
        """`GET …/publications/1-1000`: a whole range, which never changes once it is complete."""
        feed = await self._lookup.find(request)
        first, last = read_range(request.match_info["range"])
        if last > feed.state.sequence:
            detail = f"this range is not complete; the record has {feed.state.sequence} publications"
            raise Problem(404, "not_complete", detail)
        body = await self._shared(request, self._publications(feed), first - 1, last - first + 1)
        immutable = request.query.get("chain") == body.tag
        caching = "public, max-age=31536000, immutable" if immutable else "public, max-age=1"
        return body.answer(request, {"Cache-Control": caching}, gzip=False, charset=None)

    async def get_holds(self, request: web.Request) -> web.Response:
        """`GET …/holds`: a page of the list of holds in order, as lines; empty before the release."""
        refuse_those(request, ["state"], "push")
        feed = await self._lookup.find(request)
        holds = feed.holds
        if not holds.number and feed.head.hold_lines:
            raise Problem(503, "starting", "the list of holds is still being loaded", retry_after_s=1.0)
        last = holds.number if feed.hidden_until is None else 0
        lines = _Lines("holds", feed, holds.generation, holds.archive, last)
        body = await self._page(request, lines)
        return body.answer(request, _PUBLIC, gzip=False, charset=None)

    @staticmethod
    def _publications(feed: ElectionFeed) -> "_Lines":
        return _Lines("lines", feed, feed.generation, feed.archive, feed.state.sequence)

    async def _page(self, request: web.Request, lines: "_Lines") -> Body:
        """Return the page of lines that the query asks for. Raises Problem."""
        after = read_number("after", request.query.get("after", "0"), 0, SEQUENCE_MAX)
        limit = read_number("limit", request.query.get("limit", str(LIMIT_DEFAULT)), 1, LIMIT_MAX)
        if after % LIMIT_DEFAULT == 0 and limit in (LIMIT_DEFAULT, LIMIT_MAX):
            return await self._shared(request, lines, after, limit)
        client = self._addresses.of_request(request)
        self._limits.require_allowance(client)
        self._limits.charge_range(client, lines.archive, after + 1)
        found = await lines.read(after, limit)
        joined = b"".join(found)
        self._limits.allowance.use(client, len(joined))
        return Body(joined, LINES, tag=_last_chain(found))

    async def _shared(self, request: web.Request, lines: "_Lines", after: int, limit: int) -> Body:
        """Return a page of lines: one body for all clients that request it. Raises Problem.

        Reading it from the record is charged to the client that requests it first.
        """
        if after >= lines.last:
            return Body(b"", LINES, tag="")  # not cached: the number of such pages has no bound
        name = (lines.name, lines.feed.id, after, limit)
        version = (lines.generation, min(after + limit, lines.last))
        body = self._bodies.find(name, version)
        if body is None:
            client = self._addresses.of_request(request)
            self._limits.charge_range(client, lines.archive, after + 1)
            found = await lines.read(after, limit)
            body = self._bodies.get(
                name, version, lambda: Body(b"".join(found), LINES, tag=_last_chain(found))
            )
        return body

    async def get_transfers(self, request: web.Request) -> web.Response:
        """`GET …/transfers[/{municipality}]`: where the reports of each municipality are, and how late."""
        feed = await self._lookup.find(request)
        only = request.match_info.get("municipality")
        if only is not None and only not in feed.transfers:
            detail = "this election has no reporting municipality with this identifier"
            raise Problem(404, "unknown_municipality", detail)
        now = self._clock.now()
        version = (feed.generation, feed.state.sequence, feed.hidden_until, int(now.timestamp()))
        make = partial(_transfers_body, feed, only, now)
        body = self._bodies.get(("transfers", feed.id, only), version, make)
        return web.Response(body=body.plain, content_type=body.content_type, headers=_PUBLIC)

    async def get_map(self, request: web.Request) -> web.Response:
        """`GET /map.geojson`: the shapes that the results page draws; none if it draws tiles instead."""
        return self._map.respond(request, REVALIDATE)


class _Lines(NamedTuple):
    """Lines that can be read in pages: publications, or the list of holds."""

    name: str
    feed: ElectionFeed
    generation: Hashable
    """Changes when the lines begin anew."""
    archive: Archive
    last: int
    """Number of the last line that may be shown."""

    async def read(self, after: int, most: int) -> list[bytes]:
        """Return up to `most` lines after a number. Raises Problem."""
        try:
            return await self.archive.lines(after + 1, min(after + most, self.last))
        except JournalUnavailable as error:
            problem = JournalUnavailable.because("the record is temporarily unavailable", 2.0)
            raise Problem.of(problem) from error


def _last_chain(lines: Sequence[bytes]) -> str:
    """Return the chain through the last of some lines: it identifies a page, whose first line the address names."""
    chain: str = orjson.loads(lines[-1])["chain"] if lines else ""
    return chain


def tagged(request: web.Request, body: Body) -> web.Response:
    """Return a body with a strong ETag for each representation, or 304."""
    headers = {**_PUBLIC, "Vary": "Accept, Accept-Encoding"}
    return body.answer(request, headers, gzip=gzip_accepted(request.headers))


def _elections_body(feeds: Sequence[ElectionFeed], mirror_url: str | None) -> Body:
    document: dict[str, object] = {"elections": [_election_document(feed) for feed in feeds]}
    return Body(to_json(document | ({"mirror": mirror_url} if mirror_url is not None else {})), JSON, tag="")


def _election_document(feed: ElectionFeed) -> dict[str, object]:
    head, registry = feed.head, feed.registry
    return {
        "id": feed.id,
        "name": registry.name,
        **({"names": registry.names} if registry.names else {}),
        "date": registry.document["election"].get("date"),
        "rehearsal": registry.rehearsal,
        "publish_from": head.publish_from,
        "released_at": head.released_at,
        "closed_at": head.closed_at if head.released_at is not None else None,
        "sequence": feed.maker.position.sequence,
        "chain": feed.maker.position.chain.hex(),
        "levels": list(registry.levels),
        "units": len(registry.units),
        "log": _log_document(feed.log.head),
        **({"previous": feed.previous.header()} if feed.previous is not None else {}),
    }


def _log_document(head: LogHead | None) -> dict[str, object] | None:
    if head is None:
        return None
    return {
        "origin": head.origin,
        "vkeys": head.vkeys,
        "history": head.history,
        "witnesses": head.witnesses,
    }


def _area_body(feed: ElectionFeed, area: Area, asked: AreaRequest) -> Body:
    return Body(asked.mark + feed.areas.page(area, asked.form), asked.form.media_type)


def _too_long(why: str) -> Problem:
    detail = f"the area has {why}, which is too much for this format; json and csv have no such bound"
    return Problem(400, "bad_selection", detail)


def _transfers_body(feed: ElectionFeed, only: str | None, now: datetime) -> Body:
    found = feed.transfers.documents(feed.backlog, feed.contacts, feed.held, now, only)
    if only is not None:
        one = {**to_document(found[0]), "hidden_until": feed.hidden_until}
        return Body(to_json(one), JSON, tag="")
    document = PublicTransfers(
        election=feed.id,
        rehearsal=feed.registry.rehearsal,
        sequence=feed.state.sequence,
        server_time=now,
        transfers=found,
        hidden_until=feed.hidden_until,
    )
    return Body(to_json(to_document(document)), JSON, tag="")
