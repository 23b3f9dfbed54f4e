"""The web pages as files of a mirror: the results, the transfers, the signed record, and the frame for other pages.

They read the files beside them, and make no request to another origin. Their addresses are relative, so a mirror may be
below any path. The results page exists three times, with addresses relative to where a web server shows it:

    index.html      at `/`, and with the query `?election=ELECTION&area=AREA`, which needs no rule of the web server
    election.html   at `/areas/ELECTION`
    area.html       at `/areas/ELECTION/AREA`

`deploy/mirror/origin.conf` has the rules for the last two, and the headers that a file cannot have.
"""

import html
from collections.abc import Iterator
from pathlib import PurePath

from gateway.mirror.files import StoredFile
from gateway.page_composition import (
    CONTENT_TYPES,
    MIRROR_PAGES,
    DoorPages,
    Sources,
    address,
    compose,
    metadata,
    read_sources,
)

MAP = "map.geojson"
NO_MAP = b'{"type":"FeatureCollection","features":[]}'
"""What pages read as the map of a mirror that has none."""
_RESULTS = "/"
_AREA_PAGES = {"election.html": "../", "area.html": "../../"}
"""The files of the results page below `/areas/`, and where the mirror begins from there."""
_OF_DOORS, _OF_FILES = 'data-t="foot"', 'data-t="footFiles"'
"""The sentence at the end of the results page: which source it reads."""
_BY_HEADER = "frame-ancestors"
"""The directive that browsers ignore in a page. Source: W3C Content Security Policy Level 3, the meta element."""


def page_files(max_age_s: int, map_body: bytes | None = None) -> list[StoredFile]:
    """Return all files of the pages, the static ones first, so that no page names one that does not exist yet.

    `max_age_s` is how long caches may keep a page. `map_body` is the map of the feed door, if it has one.
    """
    sources = read_sources(MIRROR_PAGES)
    version = sources.assets.version
    static = [
        StoredFile(f"static/{version}/{name}", body, _media_type(name), None)
        for name, body in sources.files.items()
    ]
    pages = [StoredFile(name, body, _media_type(name), max_age_s) for name, body in _pages(sources)]
    return [*static, StoredFile(MAP, map_body or NO_MAP, _media_type(MAP), max_age_s), *pages]


def _media_type(name: str) -> str:
    return f"{CONTENT_TYPES[PurePath(name).suffix]}; charset=utf-8"


def _pages(sources: Sources) -> Iterator[tuple[str, bytes]]:
    for path in MIRROR_PAGES.pages:
        yield address(MIRROR_PAGES, path), _composed(MIRROR_PAGES, path, sources)
    for name, root in _AREA_PAGES.items():
        yield name, _composed(MIRROR_PAGES._replace(root=root), _RESULTS, sources)


def _composed(door: DoorPages, path: str, sources: Sources) -> bytes:
    page = door.pages[path]
    policy = "; ".join(each for each in page.policy.split("; ") if not each.startswith(_BY_HEADER))
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">'
        f'\n<meta name="valgnatt-files" content="{door.root}">'
    )
    assets = sources.assets._replace(metadata=head)
    composed = compose(door, path, assets, metadata(page.title, page.description))
    return composed.replace(_OF_DOORS.encode(), _OF_FILES.encode())
