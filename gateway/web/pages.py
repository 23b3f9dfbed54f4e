"""The web pages of the doors. Feed door: results, transfers, the API. Push door: the pages for officers and operators.

They are static files, read once when a worker starts, and composed by `page_composition.py`. The pages of a door
request their data from their own origin, like any other client; those of the feed door read a mirror instead while
their stream cannot be used, if the gateway names one. This module is independent of elections.
"""

import gzip
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from gateway.page_composition import (
    CONTENT_TYPES,
    POLICY,
    TEXTS,
    Assets,
    DoorPages,
    compose,
    metadata,
    mirror_metadata,
    policy_with_mirror,
    read_sources,
)
from gateway.web.answers import Problem
from gateway.web.bodies import Body
from gateway.web.negotiation import gzip_accepted

REVALIDATE = "no-cache"
"""`Cache-Control` of what may change at any time: cached, but checked by its ETag before each use."""
_IMMUTABLE = "public, max-age=31536000, immutable"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class StaticFile:
    """A file as it is served, compressed once, as small as possible, before the first request for it."""

    def __init__(self, name: str, content: bytes, policy: str = POLICY) -> None:
        content_type = CONTENT_TYPES[Path(name).suffix]
        self._policy = policy
        self._body = Body(content, content_type, compress=partial(gzip.compress, compresslevel=9, mtime=0))
        self._body.compressed()

    def respond(self, request: web.Request, caching: str) -> web.Response:
        """Return the file, or 304 if the client has it. `caching` is the value of `Cache-Control`."""
        headers = {
            "Cache-Control": caching,
            "Vary": "Accept-Encoding",
            "Content-Security-Policy": self._policy,
        }
        return self._body.answer(request, headers, gzip=gzip_accepted(request.headers))


class DoorFiles(NamedTuple):
    """What the pages of a door consist of."""

    served: Mapping[str, StaticFile]
    """Pages and documents by path."""
    static: Mapping[str, StaticFile]
    """The files below `/static` by name."""
    assets: Assets


def read_files(door: DoorPages, texts: Path, push_port: int, mirror_url: str | None) -> DoorFiles:
    """Read, compose and compress everything that the pages of a door consist of, see `add_pages`."""
    sources, assets = read_sources(door, texts, mirror_metadata(mirror_url))
    served: dict[str, StaticFile] = {}
    for path, page in door.pages.items():
        about = metadata(page.title, page.description)
        if push_port and page.name == "docs":
            about += f'\n<meta name="push-port" content="{push_port}">'
        policy = policy_with_mirror(page.policy, mirror_url)
        served[path] = StaticFile(f"{page.name}.html", compose(door, path, assets, about), policy)
    for document in door.documents:
        served[f"/{document.name}"] = StaticFile(document.name, document.read_bytes())
    policy = policy_with_mirror(POLICY, mirror_url)  # that of a worker is the one of its script
    static = {name: StaticFile(name, body, policy) for name, body in sources.items()}
    return DoorFiles(served, static, assets)


def add_pages(
    application: web.Application,
    door: DoorPages,
    texts: Path = TEXTS,
    *,
    push_port: int = 0,
    mirror_url: str | None = None,
) -> Assets:
    """Add routes for the pages of a door, their static files, and its other documents.

    `texts` is the folder with the languages. `push_port` is the port of the push door, for the samples of the API page;
    0 if it is not known. `mirror_url` is the mirror that the pages read while they cannot use their stream. Raises
    ValueError if a file in `texts` does not name its language.
    """
    served, static, assets = read_files(door, texts, push_port, mirror_url)
    for path, file in served.items():
        application.router.add_get(path, _serve(file))

    async def get_static(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in static:
            raise Problem.of_code("not_found", "no such file")
        current = request.match_info["version"] == assets.version
        return static[name].respond(request, _IMMUTABLE if current else REVALIDATE)

    application.router.add_get("/static/{version}/{name:.+}", get_static)
    return assets


def _serve(file: StaticFile) -> Handler:
    async def get(request: web.Request) -> web.StreamResponse:
        return file.respond(request, REVALIDATE)

    return get
