"""The pages of the feed door: results, transfers and the API's description, for people.

They are plain files, read once when a worker starts, and need nothing from anywhere else: what they show they read
from this door, as any reader does. Files are named under the version of all of them together, so that a browser keeps
them for good and never mixes those of two versions. Knows nothing of elections.
"""

import gzip
import hashlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import hdrs, web

from gateway.web.answers import Problem

DIRECTORY = Path(__file__).with_name("pages")
OPENAPI = Path(__file__).with_name("openapi.yaml")
ASYNCAPI = Path(__file__).with_name("asyncapi.yaml")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere, nothing written into a page. Source: W3C Content Security Policy Level 3."""

PLACES = {"/": "index.html", "/transfers": "transfers.html", "/docs": "docs.html"}
"""Which page is where."""

_KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".yaml": "application/yaml",
    ".geojson": "application/geo+json",
}
_LASTING = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
_LEAST_PACKED = 1000
"""Bytes from which packing is worth its while."""

_GZIP = re.compile(r"gzip(;q=(1(\.0{0,3})?|0\.\d{0,2}[1-9]\d{0,2}))?")
"""Offered, and not with weight 0. Source: RFC 9110, section 12.4.2."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class StaticFile:
    """A file as it is sent: plain and packed, with a strong ETag for each."""

    def __init__(self, name: str, body: bytes) -> None:
        self._kind = _KINDS[Path(name).suffix]
        self._plain = body
        self._packed = gzip.compress(body, 9, mtime=0) if len(body) >= _LEAST_PACKED else None
        self._digest = hashlib.sha256(body).hexdigest()[:32]

    def answer(self, request: web.Request, caching: str) -> web.Response:
        """Return it, or 304 to who holds it already."""
        packed = self._packed if _accepts_gzip(request) else None
        etag = f'"{self._digest}{"-gzip" if packed is not None else ""}"'
        headers = {
            "ETag": etag,
            "Cache-Control": caching,
            "Vary": "Accept-Encoding",
            "Content-Security-Policy": POLICY,
        }
        if etag in _held(request):
            return web.Response(status=304, headers=headers)
        if packed is not None:
            headers["Content-Encoding"] = "gzip"
        body = self._plain if packed is None else packed
        return web.Response(body=body, content_type=self._kind, charset="utf-8", headers=headers)


def add_pages(application: web.Application) -> None:
    """Add the pages, the files they are made of, and the API's description."""
    found = {path.name: path.read_bytes() for path in sorted(DIRECTORY.iterdir()) if path.suffix in _KINDS}
    version = hashlib.sha256(b"\0".join(found.values())).hexdigest()[:12]
    below = f'"/static/{version}/'.encode()
    for name in PLACES.values():
        found[name] = found[name].replace(b'"/static/', below)
    files = {name: StaticFile(name, body) for name, body in found.items()}

    async def get_static(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in files or name.endswith(".html"):
            raise Problem(404, "not_found", "no such file")
        lasting = request.match_info["version"] == version
        return files[name].answer(request, _LASTING if lasting else ASK_AGAIN)

    for place, name in PLACES.items():
        application.router.add_get(place, _whole(files[name]))
    application.router.add_get("/static/{version}/{name}", get_static)
    for described in (OPENAPI, ASYNCAPI):
        application.router.add_get(
            f"/{described.name}", _whole(StaticFile(described.name, described.read_bytes()))
        )


def _whole(file: StaticFile) -> Handler:
    async def get(request: web.Request) -> web.StreamResponse:
        return file.answer(request, ASK_AGAIN)

    return get


def _held(request: web.Request) -> set[str]:
    """Return the ETags that the client holds. Source: RFC 9110, section 13.1.2."""
    listed = request.headers.get(hdrs.IF_NONE_MATCH, "").split(",")
    return {each.strip().removeprefix("W/") for each in listed}


def _accepts_gzip(request: web.Request) -> bool:
    offers = request.headers.get(hdrs.ACCEPT_ENCODING, "").lower().replace(" ", "").split(",")
    return any(_GZIP.fullmatch(offer) for offer in offers)
