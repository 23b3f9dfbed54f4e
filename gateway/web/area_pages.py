"""The results page at the path of an election or an area, with metadata for previews of links to it.

The metadata contains names from the registry of the election and never figures: other services may keep previews
indefinitely, and make them before the release. The names are in the language of the address (`?lang=`). For an election
or area that does not exist, the same page without names is sent with status 404: it explains this in the reader's
language, and repeats nothing of the request.
"""

from http import HTTPStatus

from aiohttp import web

from gateway.election.names import name_in
from gateway.feed.hub import Hub
from gateway.page_composition import (
    FEED_PAGES,
    RESULTS_DESCRIPTION,
    RESULTS_POLICY,
    RESULTS_TITLE,
    Assets,
    compose,
    metadata,
    policy_with_mirror,
)
from gateway.web.bodies import Body, PrecompressedText
from gateway.web.negotiation import gzip_accepted
from gateway.web.pages import REVALIDATE

RETRY_AFTER_S = 2
_REHEARSAL = "ØVELSE · REHEARSAL"
_MARK = "<!--metadata-->"


class AreaPages:
    """The page of each area, of all elections that a hub follows."""

    def __init__(self, hub: Hub, assets: Assets, mirror_url: str | None) -> None:
        self._hub = hub
        self._policy = policy_with_mirror(RESULTS_POLICY, mirror_url)
        before, _, after = compose(FEED_PAGES, "/", assets, _MARK).partition(_MARK.encode())
        self._before = before
        self._after = PrecompressedText(after)
        self._unknown = self._body(RESULTS_TITLE)

    async def get(self, request: web.Request) -> web.Response:
        """`GET /areas/{election}[/{area}]`."""
        place = request.match_info["election"], request.match_info.get("area")
        title = self._title(*place, request.query.get("lang", ""))
        headers = {
            "Cache-Control": REVALIDATE,
            "Vary": "Accept-Encoding",
            "Content-Security-Policy": self._policy,
        }
        gzip = gzip_accepted(request.headers)
        if title is not None:
            return self._body(title).answer(request, headers, gzip=gzip)
        status = HTTPStatus.NOT_FOUND
        if not self._hub.heads_read:
            status = HTTPStatus.SERVICE_UNAVAILABLE
            headers["Retry-After"] = str(RETRY_AFTER_S)
        body = self._unknown
        headers["Cache-Control"] = "no-store"
        if gzip:
            headers["Content-Encoding"] = "gzip"
        content = body.compressed() if gzip else body.plain
        return web.Response(
            body=content, status=status, content_type=body.content_type, charset="utf-8", headers=headers
        )

    def _body(self, title: str) -> Body:
        before = self._before + metadata(title, RESULTS_DESCRIPTION).encode()
        return self._after.between(before, b"", "text/html")

    def _title(self, election: str, area: str | None, language: str) -> str | None:
        """Return the names of an election and an area in a language; None if one does not exist."""
        feed = self._hub.feed(election)
        if feed is None or (area is not None and area not in feed.registry.by_id):
            return None
        registry = feed.registry
        names = [name_in(language, registry.name, registry.names)]
        if area is not None:
            named = registry.by_id[area]
            names.insert(0, name_in(language, named.name, named.names))
        if registry.rehearsal:
            names.insert(0, _REHEARSAL)
        return " · ".join(names)
