"""The web pages of the doors. Feed door: results, transfers, the API. Push door: the pages for officers and operators.

They are static files, read once when a worker starts. Each page is a main part within a common layout. The pages of a
door request their data from their own origin, like any other client. A door serves only the files of its own pages:
scripts, the modules that these import, and style sheets. The version of all these files together is part of their
addresses, so that browsers may cache them indefinitely and never mix two versions. Each language is one file in
`pages/texts/`, and each page lists the languages. This module is independent of elections.
"""

import gzip
import hashlib
import html
import json
import re
from collections.abc import Awaitable, Callable, Mapping
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
TEXTS = DIRECTORY / "texts"
"""The texts of the pages, `TAG.js` for each language: a tag of BCP 47."""
OPENAPI = Path(__file__).with_name("openapi.yaml")
OPENAPI_JSON = Path(__file__).with_name("openapi.json")
"""The same document, for the API page; `make openapi` writes it."""
ASYNCAPI = Path(__file__).with_name("asyncapi.yaml")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; worker-src 'none'"
)
"""Allow nothing from other origins, no inline scripts or styles, and no workers. Source: W3C Content Security Policy
Level 3."""
RESULTS_POLICY = POLICY.replace("worker-src 'none'", "worker-src 'self'")
"""The same, and a worker of the page itself: it reads the record for the night as it was."""
STRICT_POLICY = f"{POLICY}; require-trusted-types-for 'script'; trusted-types 'none'"
"""The same as POLICY, and no script can turn a text into elements or code. Source: W3C Trusted Types."""
EMBED_POLICY = POLICY.replace("frame-ancestors 'none'", "frame-ancestors *")
"""The same as POLICY, but pages of any origin may show the page in a frame. Clicks in it cannot do any harm."""


class Page(NamedTuple):
    """A page: `NAME.html` is its main part, `NAME.js` its script, `NAME.css` its own style sheet, if there is one."""

    name: str
    title: str
    description: str
    link_key: str = ""
    """Key of the text of the link to it (`texts/`); "": no page links to it."""
    link_text: str = ""
    """Text of the link until the script has run."""
    layout: str = "layout.html"
    policy: str = POLICY


class DoorPages(NamedTuple):
    """The pages of a door and what they need."""

    pages: Mapping[str, Page]
    """By path, in the order of the links to them; the name of the product links to the first one."""
    noscript: str
    """The file with what a browser without scripts shows."""
    texts: tuple[Path, ...] = ()
    """Folders beside `TEXTS` with further texts, `TAG.js` for each language."""
    documents: tuple[Path, ...] = ()
    """Files that are served below `/`."""
    read: tuple[Path, ...] = ()
    """Files other than scripts and style sheets that a script reads, served beside it."""
    root: str = "/"
    """What the addresses of files and of other pages begin with; "": they are relative, as all pages are beside one
    another and a proxy may serve the door below some path."""


RESULTS_TITLE = "Valgnatt"
RESULTS_DESCRIPTION = "Valgresultater, direkte. Election results, live."

FILE_TEXTS = DIRECTORY / "file_texts"
"""What may be wrong with a file with counts; only the page for it needs these."""
SEAT_TEXTS = DIRECTORY / "seat_texts"
"""The texts about seats; only elections with seats need these."""
PROOF_TEXTS = DIRECTORY / "proof_texts"
"""The texts about the signed record; only the page about it needs these."""
HOLD_TEXTS = DIRECTORY / "hold_texts"
"""The texts about held reports and their rules; only the pages of the push door need these."""

FEED_PAGES = DoorPages(
    pages={
        "/": Page(
            "results", RESULTS_TITLE, RESULTS_DESCRIPTION, "results", "Resultater", policy=RESULTS_POLICY
        ),
        "/transfers": Page(
            "transfers",
            "Valgnatt",
            "Hvor er tellingene? Where are the counts?",
            "transfers",
            "Overføringer",
        ),
        "/docs": Page("docs", "Valgnatt · API", "API", "api", "API"),
        "/verify": Page(
            "verify",
            RESULTS_TITLE,
            "Etterprøv resultatene. Verify the results.",
            "verify",
            "Etterprøv",
            policy=STRICT_POLICY,
        ),
        "/embed": Page(
            "embed", RESULTS_TITLE, RESULTS_DESCRIPTION, layout="embed_layout.html", policy=EMBED_POLICY
        ),
    },
    noscript="feed_noscript.html",
    texts=(SEAT_TEXTS, PROOF_TEXTS),
    documents=(OPENAPI, ASYNCAPI),
    read=(OPENAPI_JSON,),
)
PUSH_PAGES = DoorPages(
    pages={
        "/count": Page(
            "count",
            "Valgnatt",
            "Send inn tellinger. Report counts.",
            "countPage",
            "Send inn tellinger",
            policy=STRICT_POLICY,
        ),
        "/operator": Page(
            "operator",
            "Valgnatt",
            "Driftstavle for valgnatten. The operator's board.",
            "operatorPage",
            "Driftstavle",
            policy=STRICT_POLICY,
        ),
    },
    noscript="push_noscript.html",
    texts=(FILE_TEXTS, HOLD_TEXTS),
    root="",
)

_HEAD = "head.html"
"""What the heads of all pages have in common."""
_STYLE_SHEET = "app.css"
_IMPORT = re.compile(r'(?:from |import |import\(|new URL\()"\./(\w+\.js)"')
"""An import of another script, or the address of a worker; all but the texts, which the reader's language selects, are
in one directory."""
_LANGUAGE = re.compile(r'^export const NAME = "([^"\\]+)";$', re.MULTILINE)
"""What a language calls itself, in the file of its texts."""
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

    def __init__(self, name: str, content: bytes, policy: str = POLICY) -> None:
        content_type = _CONTENT_TYPES[Path(name).suffix]
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


class Assets(NamedTuple):
    """What the pages of a door have in common."""

    version: str
    """The version of all static files together."""
    languages: Mapping[str, str]
    """What the languages call themselves, by tag."""


def add_pages(
    application: web.Application, door: DoorPages, texts: Path = TEXTS, *, push_port: int = 0
) -> Assets:
    """Add routes for the pages of a door, their static files, and its other documents.

    `texts` is the folder with the languages. `push_port` is the port of the push door, for the samples of the API page;
    0 if it is not known. Raises ValueError if a file in `texts` does not name its language.
    """
    translations = {path.stem: path.read_bytes() for path in texts.glob("*.js")}
    languages = _by_name(translations)
    sources = {path.name: path.read_bytes() for path in static_files(door)}
    sources |= {f"{TEXTS.name}/{tag}.js": translations[tag] for tag in languages}
    for folder in door.texts:
        sources |= {f"{folder.name}/{path.name}": path.read_bytes() for path in sorted(folder.glob("*.js"))}
    version = hashlib.sha256(b"\0".join(sources.values())).hexdigest()[:12]
    assets = Assets(version, languages)
    for path, page in door.pages.items():
        about = metadata(page.title, page.description)
        if push_port and page.name == "docs":
            about += f'\n<meta name="push-port" content="{push_port}">'
        composed = compose(door, path, assets, about)
        application.router.add_get(path, _serve(StaticFile(f"{page.name}.html", composed, page.policy)))
    for document in door.documents:
        file = StaticFile(document.name, document.read_bytes())
        application.router.add_get(f"/{document.name}", _serve(file))
    files = {name: StaticFile(name, body) for name, body in sources.items()}

    async def get_static(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in files:
            raise Problem.of_code("not_found", "no such file")
        current = request.match_info["version"] == version
        return files[name].respond(request, _IMMUTABLE if current else REVALIDATE)

    application.router.add_get("/static/{version}/{name:.+}", get_static)
    return assets


def static_files(door: DoorPages) -> list[Path]:
    """Return the style sheets and scripts of the pages of a door, all that these import and read, sorted."""
    found = {DIRECTORY / _STYLE_SHEET, *door.read}
    left = []
    for page in door.pages.values():
        left.append(DIRECTORY / f"{page.name}.js")
        found.update(_own_style_sheet(page))
    while left:
        script = left.pop()
        if script not in found:
            found.add(script)
            left += (DIRECTORY / name for name in _IMPORT.findall(script.read_text()))
    return sorted(found)


def _by_name(translations: Mapping[str, bytes]) -> dict[str, str]:
    """Return the names of languages by tag, in the order of the names."""
    names = {}
    for tag, source in translations.items():
        found = _LANGUAGE.search(source.decode())
        if found is None:
            raise ValueError(f'{TEXTS.name}/{tag}.js does not name its language: export const NAME = "…";')
        names[tag] = found[1]
    return dict(sorted(names.items(), key=lambda each: each[1].casefold()))


def _own_style_sheet(page: Page) -> list[Path]:
    path = DIRECTORY / f"{page.name}.css"
    return [path] if path.exists() else []


def metadata(title: str, description: str) -> str:
    """Return what the head of a page states about it, also for previews of links. Source: The Open Graph protocol."""
    of = {
        "og:title": title,
        "og:description": description,
        "og:site_name": RESULTS_TITLE,
        "og:type": "website",
    }
    return "\n".join(
        (
            f"<title>{html.escape(title)}</title>",
            f'<meta name="description" content="{html.escape(description)}">',
            *(f'<meta property="{name}" content="{html.escape(content)}">' for name, content in of.items()),
        )
    )


def compose(door: DoorPages, path: str, assets: Assets, about: str) -> bytes:
    """Return a page: the layout around its main part, with its metadata, its static files and the list of languages."""
    page = door.pages[path]
    static = f"{door.root}static/{assets.version}"
    links = (
        f'<a href="{door.root}{each[1:]}"{_CURRENT if each == path else ""} data-keep data-t="{linked.link_key}">'
        f"{linked.link_text}</a>"
        for each, linked in door.pages.items()
        if linked.link_key
    )
    styles = (_STYLE_SHEET, *(own.name for own in _own_style_sheet(page)))
    head = Template((DIRECTORY / _HEAD).read_text().strip()).substitute(
        metadata=about,
        icon=_ICON,
        styles="\n".join(f'<link rel="stylesheet" href="{static}/{name}">' for name in styles),
        script=f"{static}/{page.name}.js",
    )
    layout = Template((DIRECTORY / page.layout).read_text())
    return layout.substitute(
        head=head,
        languages=html.escape(json.dumps(dict(assets.languages), ensure_ascii=False)),
        home=door.root + next(iter(door.pages))[1:],
        links=" ".join(links),
        noscript=(DIRECTORY / door.noscript).read_text().strip(),
        main=(DIRECTORY / f"{page.name}.html").read_text(),
    ).encode()


def _serve(file: StaticFile) -> Handler:
    async def get(request: web.Request) -> web.StreamResponse:
        return file.respond(request, REVALIDATE)

    return get
