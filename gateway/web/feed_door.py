"""The feed door, for readers of the results: its routes. No tokens, no writes, and no access to journal tables."""

from collections.abc import Awaitable, Callable
from random import Random

from aiohttp import web

from gateway.clock import SYSTEM_CHANCE, SYSTEM_CLOCK, Clock
from gateway.config import Config
from gateway.feed.hub import Hub
from gateway.page_composition import FEED_PAGES
from gateway.telemetry.metrics import FeedMetrics
from gateway.web.answers import mirror_link
from gateway.web.area_pages import AreaPages
from gateway.web.bodies import BodyCache
from gateway.web.connections import Connections
from gateway.web.feed_documents import FeedDocuments
from gateway.web.feed_log import FeedLog
from gateway.web.feed_lookup import FeedLookup
from gateway.web.feed_request import LINES, stream_preferred
from gateway.web.feed_streams import FeedStreams
from gateway.web.feed_tables import FeedTables
from gateway.web.fixed_texts import FixedTexts
from gateway.web.health import add_health
from gateway.web.map_file import NO_MAP, read_map
from gateway.web.middleware import (
    add_security_headers,
    allow_any_origin,
    answer_preflight,
    problem_documents,
    refuse_bodies,
)
from gateway.web.pages import add_pages
from gateway.web.queries import check_queries
from gateway.web.stream_limits import StreamLimits
from gateway.web.valgresultat import VALGRESULTAT_PATHS, Valgresultat


class FeedDoor:
    """Event streams and documents of all elections that a hub follows."""

    def __init__(
        self,
        config: Config,
        hub: Hub,
        metrics: FeedMetrics,
        connections: Connections,
        *,
        clock: Clock = SYSTEM_CLOCK,
        chance: Random = SYSTEM_CHANCE,
    ) -> None:
        self._hub = hub
        self._chance = chance
        self._metrics = metrics
        self._connections = connections
        metrics.readers_max.set(config.readers_max)
        self.limits = StreamLimits(config, clock=clock)
        self.bodies = BodyCache()
        lookup = FeedLookup(hub, self.limits.waits_of)
        addresses = connections.addresses
        self._streams = FeedStreams(
            config, metrics, lookup, self.limits, addresses, self.bodies, chance=chance
        )
        drawn = read_map(config.map) if config.map is not None else NO_MAP
        texts = FixedTexts(lookup)
        self._documents = FeedDocuments(
            lookup, self.limits, addresses, self.bodies, texts, drawn, config.mirror_url, clock=clock
        )
        self._log = FeedLog(lookup, self.limits, addresses, texts, clock=clock)
        self._tables = FeedTables(lookup, self.limits, addresses, clock=clock)
        self._valgresultat = Valgresultat(
            config.valgresultat, lookup, self.limits, addresses, self.bodies, clock=clock
        )
        self._push_port = config.push_port
        self._mirror_url = config.mirror_url

    def application(self, ready: Callable[[], bool]) -> web.Application:
        """Return the routes; `ready` returns whether all workers of the door are ready."""
        problems = problem_documents(self._metrics.problems.note, chance=self._chance)
        application = web.Application(middlewares=[answer_preflight, problems, refuse_bodies, check_queries])
        application.on_response_prepare.extend((add_security_headers, allow_any_origin))
        router, documents = application.router, self._documents
        election = "/v1/elections/{election}"
        router.add_get("/v1/elections", documents.get_elections)
        router.add_get(election, documents.get_election)
        router.add_get(election + "/previous", documents.get_previous)
        feed = router.add_get(election + "/feed", self._streams.get_feed, allow_head=False)
        application.on_response_prepare.append(_link_to_mirror(feed.resource, self._mirror_url))
        router.add_get(election + "/areas", self._tables.get_results)
        router.add_get(election + "/areas/{area}", documents.get_area)
        router.add_get(election + "/corrections", self._tables.get_corrections)
        router.add_get(election + "/seats", self._tables.get_seats)
        router.add_get(election + "/publications", self._get_publications, allow_head=False)
        router.add_get(election + "/publications/{range}", documents.get_range)
        router.add_get(election + "/holds", documents.get_holds)
        router.add_get(election + "/transfers", documents.get_transfers)
        router.add_get(election + "/transfers/{municipality}", documents.get_transfers)
        self._log.add_routes(router, election)
        for path in VALGRESULTAT_PATHS:
            router.add_get(path, self._valgresultat.get)
        router.add_get("/map.geojson", documents.get_map)
        assets = add_pages(application, FEED_PAGES, push_port=self._push_port, mirror_url=self._mirror_url)
        area_pages = AreaPages(self._hub, assets, self._mirror_url)
        router.add_get("/areas/{election}", area_pages.get)
        router.add_get("/areas/{election}/{area}", area_pages.get)
        add_health(application, ready, lambda: self._hub.unusable)
        return application

    async def _get_publications(self, request: web.Request) -> web.StreamResponse:
        """`GET …/publications`: publications in order, as lines or as an event stream."""
        if stream_preferred(request.headers, LINES):
            return await self._streams.stream_publications(request)
        return await self._documents.get_publications(request)

    def refresh_gauges(self) -> None:
        """Set the gauges that are computed only when they are scraped."""
        self._hub.refresh_gauges()
        self._metrics.connections.set(len(self._connections))
        readers = sum(len(channel) for feed in self._hub.feeds() for channel in feed.channels)
        self._metrics.publication_readers.set(max(0, self.limits.readers - readers))

    def close_streams(self) -> None:
        """Close every stream, and ask readers to reconnect, spread over time."""
        self._streams.close([channel for feed in self._hub.feeds() for channel in feed.channels])


def _link_to_mirror(
    feed: web.AbstractResource | None, mirror_url: str | None
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return a signal of `on_response_prepare` that names the mirror in every answer of the feed, refusals included.

    The head of a stream is not aiohttp's, so FeedStreams adds the header there.
    """
    headers = mirror_link(mirror_url)

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        if headers and request.match_info.route.resource is feed:
            response.headers.update(headers)

    return add
