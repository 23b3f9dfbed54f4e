"""Documents of one election in the shape of valgresultat.no, on the feed door, if a setting names the election."""

from functools import partial

from aiohttp import web

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.election.registry import Area
from gateway.feed.stream import ElectionFeed
from gateway.web.answers import JSON, Problem
from gateway.web.bodies import Body, BodyCache
from gateway.web.client_address import ClientAddresses
from gateway.web.feed_documents import CHILDREN_MAX, tagged
from gateway.web.feed_lookup import FeedLookup
from gateway.web.stream_limits import StreamLimits
from gateway.web.turns import in_slices
from gateway.wire.json import to_json
from gateway.wire.valgresultat.documents import Documents
from gateway.wire.valgresultat.places import Places

_ROOT = "/api/{year}/{type}"
_STEPS = ("county", "municipality", "unit")
VALGRESULTAT_PATHS = tuple(_ROOT + "".join(f"/{{{step}}}" for step in _STEPS[:depth]) for depth in range(4))
TYPE_DEFAULT = "st"
"""The type of a parliamentary election in paths."""


class Valgresultat:
    """Handler of these documents. Each is made once per change.

    Those of units are charged to the client that requests them first; the others are for everybody.
    """

    def __init__(
        self,
        setting: str | None,
        lookup: FeedLookup,
        limits: StreamLimits,
        addresses: ClientAddresses,
        bodies: BodyCache,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`setting` is an election, optionally with its type in paths after a colon; None if nothing is shown."""
        self._election, _, kind = (setting or "").partition(":")
        self._kind = kind or TYPE_DEFAULT
        self._lookup = lookup
        self._limits = limits
        self._addresses = addresses
        self._bodies = bodies
        self._clock = clock
        self._made: tuple[int, Places, Documents] | None = None
        """Generation of the election's state, and what depends on it."""

    async def get(self, request: web.Request) -> web.Response:
        """`GET /api/{year}/{type}[/{county}[/{municipality}[/{unit}]]]`: the document of an area."""
        if not self._election:
            raise Problem.of_code("unknown_election", "no election is shown here: --valgresultat is not set")
        feed = await self._lookup.find_election(self._election)
        places, documents = self._documents(feed)
        asked = request.match_info
        if (asked["year"], asked["type"]) != (places.year, places.kind):
            raise Problem.of_code(
                "unknown_election", f"the only election here is {places.year}/{places.kind}"
            )
        area = places.find([asked[step] for step in _STEPS if step in asked])
        if area is None:
            detail = "this election has no area at this path; each part is a code, a name or an identifier"
            raise Problem(404, "unknown_area", detail)
        body = self._cached(feed, documents, area)
        if body is None:
            if len(area.children) > CHILDREN_MAX:
                detail = f"the area has more than {CHILDREN_MAX} children, too many for this format"
                raise Problem(400, "bad_selection", detail)
            if documents.depends_on_all(area):
                await self._refresh_seats(feed)
            body = self._made_now(request, feed, area)
        return tagged(request, body)

    async def _refresh_seats(self, feed: ElectionFeed) -> None:
        """Compute seats in slices, so that there is little left to do for a document. Raises Problem."""
        generation, seats = feed.generation, feed.state.seats
        if seats is None:
            return
        await in_slices(seats.refresh(), clock=self._clock)
        await self._lookup.wait_settled(feed)
        if feed.generation != generation:
            raise Problem(503, "starting", "the record is being loaded again", retry_after_s=1.0)

    def _documents(self, feed: ElectionFeed) -> tuple[Places, Documents]:
        if self._made is None or self._made[0] != feed.generation:
            places = Places(feed.registry, self._kind)
            self._made = feed.generation, places, Documents(feed.state, places)
        return self._made[1:]

    def _cached(self, feed: ElectionFeed, documents: Documents, area: Area) -> Body | None:
        return self._bodies.find(*_named(feed, documents, area))

    def _made_now(self, request: web.Request, feed: ElectionFeed, area: Area) -> Body:
        """Return a document of the present state. Raises Problem."""
        _, documents = self._documents(feed)
        name, version = _named(feed, documents, area)
        client = self._addresses.of_request(request) if area.is_unit else None
        if client is not None:
            self._limits.require_allowance(client)
        body = self._bodies.get(name, version, partial(_body, documents, area))
        if client is not None:
            self._limits.allowance.use(client, len(body.plain))
        return body


def _named(feed: ElectionFeed, documents: Documents, area: Area) -> tuple[tuple[str, str], tuple[int, int]]:
    """Return the name and the version of a document."""
    return ("valgresultat", area.id), (feed.generation, documents.version(area))


def _body(documents: Documents, area: Area) -> Body:
    return Body(to_json(documents.document(area)), JSON)
