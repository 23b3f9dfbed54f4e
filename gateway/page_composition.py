"""The web pages as they are composed: which pages there are, their files, and a layout around the main part of each.

Each page is a main part within a common layout. A door, or a mirror, has only the files of its own pages: scripts, the
modules that these import, and style sheets. The version of all these files together is part of their addresses, so
that browsers may cache them indefinitely and never mix two versions. Each language is one file in `pages/texts/`, and
each page lists the languages. Knows nothing of HTTP (`web/pages.py`, `mirror/page_files.py`).
"""

import hashlib
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import NamedTuple
from urllib.parse import quote, urlsplit

_WEB = Path(__file__).with_name("web")
DIRECTORY = _WEB / "pages"
TEXTS = DIRECTORY / "texts"
"""The texts of the pages, `TAG.js` for each language: a tag of BCP 47."""
OPENAPI = _WEB / "openapi.yaml"
OPENAPI_JSON = _WEB / "openapi.json"
"""The same document, for the API page; `make openapi` writes it."""
ASYNCAPI = _WEB / "asyncapi.yaml"

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
    suffix: str = ""
    """What the addresses of pages end with, where they are files; the first one is `index` then."""
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
MIRROR_PAGES = DoorPages(
    pages={path: page for path, page in FEED_PAGES.pages.items() if path != "/docs"},
    noscript="mirror_noscript.html",
    texts=FEED_PAGES.texts,
    suffix=".html",
    root="",
)
"""The pages that can be files of a mirror: all but that of the API, which makes requests of every kind."""
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
CONTENT_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".yaml": "application/yaml",
    ".geojson": "application/geo+json",
}


class Assets(NamedTuple):
    """What the pages of a door have in common."""

    version: str
    """The version of all static files together."""
    languages: Mapping[str, str]
    """What the languages call themselves, by tag."""
    metadata: str = ""
    """What the heads of all pages state in addition, as HTML."""


class Sources(NamedTuple):
    """The static files of the pages of a door."""

    files: Mapping[str, bytes]
    """Their contents by name, that of a folder included."""
    assets: Assets


def read_sources(door: DoorPages, texts: Path = TEXTS, metadata: str = "") -> Sources:
    """Read all static files of the pages of a door.

    `texts` is the folder with the languages, and `metadata` what the heads of all pages state in addition. Raises
    ValueError if a file in `texts` does not name its language.
    """
    translations = {path.stem: path.read_bytes() for path in texts.glob("*.js")}
    languages = _by_name(translations)
    files = {path.name: path.read_bytes() for path in static_files(door)}
    files |= {f"{TEXTS.name}/{tag}.js": translations[tag] for tag in languages}
    for folder in door.texts:
        files |= {f"{folder.name}/{path.name}": path.read_bytes() for path in sorted(folder.glob("*.js"))}
    version = hashlib.sha256(b"\0".join(files.values())).hexdigest()[:12]
    return Sources(files, Assets(version, languages, metadata))


def mirror_metadata(mirror_url: str | None) -> str:
    """Return what the heads of pages state about the mirror of their door; "" without one."""
    return f'<meta name="valgnatt-mirror" content="{html.escape(mirror_url)}">' if mirror_url else ""


def policy_with_mirror(policy: str, mirror_url: str | None) -> str:
    """Return a policy that allows requests to the origin of a mirror; `Config` restricts the characters of its URL.

    Source: W3C Content Security Policy Level 3, host-source.
    """
    if mirror_url is None:
        return policy
    url = urlsplit(mirror_url)
    return policy.replace("connect-src 'self'", f"connect-src 'self' {url.scheme}://{url.netloc}")


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
        f'<a href="{address(door, each)}"{_CURRENT if each == path else ""} data-keep data-t="{linked.link_key}">'
        f"{linked.link_text}</a>"
        for each, linked in door.pages.items()
        if linked.link_key
    )
    styles = (_STYLE_SHEET, *(own.name for own in _own_style_sheet(page)))
    head = Template((DIRECTORY / _HEAD).read_text().strip()).substitute(
        metadata=f"{about}\n{assets.metadata}".rstrip(),
        icon=_ICON,
        styles="\n".join(f'<link rel="stylesheet" href="{static}/{name}">' for name in styles),
        script=f"{static}/{page.name}.js",
    )
    layout = Template((DIRECTORY / page.layout).read_text())
    return layout.substitute(
        head=head,
        languages=html.escape(json.dumps(dict(assets.languages), ensure_ascii=False)),
        home=address(door, next(iter(door.pages))),
        links=" ".join(links),
        noscript=(DIRECTORY / door.noscript).read_text().strip(),
        main=(DIRECTORY / f"{page.name}.html").read_text(),
    ).encode()


def address(door: DoorPages, path: str) -> str:
    """Return the address of a page from the pages of its door."""
    if not door.suffix:
        return door.root + path[1:]
    return f"{door.root}{path[1:] or 'index'}{door.suffix}"
