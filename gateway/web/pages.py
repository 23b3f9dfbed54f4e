"""The web pages of the feed door: results, transfers and the description of the API.

They are static files, read once when a worker starts. A page is the common layout around a main part of its own. All
that the pages show they read from this door, like any other client, and nothing comes from another host. Scripts and
style sheets are served under a version of all files together, so that a browser caches them for good and never mixes
two versions. This module knows nothing of elections.
"""

import gzip
import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from string import Template
from typing import NamedTuple
from urllib.parse import quote

from aiohttp import web

from gateway.web.answers import Problem
from gateway.web.bodies import Body
from gateway.web.negotiation import gzip_accepted

DIRECTORY = Path(__file__).with_name("pages")
OPENAPI = Path(__file__).with_name("openapi.yaml")
OPENAPI_JSON = Path(__file__).with_name("openapi.json")
"""The same document, for the API page; `make openapi` writes it."""
ASYNCAPI = Path(__file__).with_name("asyncapi.yaml")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Allow nothing from other origins and no inline scripts or styles. Source: W3C Content Security Policy Level 3."""


class Page(NamedTuple):
    """A page: `NAME.html` is its main part and `NAME.js` its script; the rest is the layout."""

    name: str
    title: str
    description: str
    link_key: str
    """Key of the text of the link to it (`texts.js`)."""
    link_text: str
    """Text of the link until the script has run."""


PAGES = {
    "/": Page(
        "results", "Valgnatt", "Valgresultater, direkte. Election results, live.", "results", "Resultater"
    ),
    "/transfers": Page(
        "transfers",
        "Valgnatt",
        "Er alle tellinger framme? Is every count through?",
        "transfers",
        "Overføringer",
    ),
    "/docs": Page("docs", "Valgnatt · API", "API", "api", "API"),
}
"""Pages by path, in the order of the links to them."""

_LAYOUT = "layout.html"
_ICON = "data:image/svg+xml," + quote(
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><rect width='16' height='16' rx='3' fill='#1a4f8b'/>"
    "<path d='M3 9l3 3 7-8' fill='none' stroke='white' stroke-width='2'/></svg>",
    safe=" '/:=",
)
_CURRENT = ' aria-current="page"'
_CONTENT_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".yaml": "application/yaml",
    ".geojson": "application/geo+json",
}
REVALIDATE = "no-cache"
"""`Cache-Control` of what may change at any time: cached, but checked by its ETag before each use."""
_IMMUTABLE = "public, max-age=31536000, immutable"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class StaticFile:
    """A file as it is served, compressed once, as small as possible, before the first request for it."""

    def __init__(self, name: str, content: bytes) -> None:
        content_type = _CONTENT_TYPES[Path(name).suffix]
        self._body = Body(content, content_type, compress=partial(gzip.compress, compresslevel=9, mtime=0))
        self._body.compressed()

    def respond(self, request: web.Request, caching: str) -> web.Response:
        """Return the file, or 304 if the client has it. `caching` is the value of `Cache-Control`."""
        headers = {"Cache-Control": caching, "Vary": "Accept-Encoding", "Content-Security-Policy": POLICY}
        return self._body.answer(request, headers, gzip=gzip_accepted(request.headers))


def add_pages(application: web.Application) -> None:
    """Add routes for the pages, their static files and the descriptions of the API."""
    paths = [path for path in sorted(DIRECTORY.iterdir()) if path.suffix in _CONTENT_TYPES]
    sources = {path.name: path.read_bytes() for path in (*paths, OPENAPI_JSON)}
    version = hashlib.sha256(b"\0".join(sources.values())).hexdigest()[:12]
    layout = Template(sources[_LAYOUT].decode())
    for path, page in PAGES.items():
        html = _compose(layout, path, sources[f"{page.name}.html"].decode(), version)
        application.router.add_get(path, _serve(StaticFile(f"{page.name}.html", html)))
    for document in (OPENAPI, ASYNCAPI):
        file = StaticFile(document.name, document.read_bytes())
        application.router.add_get(f"/{document.name}", _serve(file))
    files = {name: StaticFile(name, body) for name, body in sources.items() if not name.endswith(".html")}

    async def get_static(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in files:
            raise Problem.of_code("not_found", "no such file")
        current = request.match_info["version"] == version
        return files[name].respond(request, _IMMUTABLE if current else REVALIDATE)

    application.router.add_get("/static/{version}/{name}", get_static)


def _compose(layout: Template, path: str, main: str, version: str) -> bytes:
    """Return a page: the layout around its main part, with the static files of a version."""
    page = PAGES[path]
    links = (
        f'<a href="{each}"{_CURRENT if each == path else ""} data-keep data-t="{linked.link_key}">'
        f"{linked.link_text}</a>"
        for each, linked in PAGES.items()
    )
    return layout.substitute(
        title=page.title,
        description=page.description,
        icon=_ICON,
        static=f"/static/{version}",
        script=f"{page.name}.js",
        links=" ".join(links),
        main=main,
    ).encode()


def _serve(file: StaticFile) -> Handler:
    async def get(request: web.Request) -> web.StreamResponse:
        return file.respond(request, REVALIDATE)

    return get
