"""The pages as files of a mirror: what they name exists, at every depth, and nothing needs a door."""

import asyncio
import re
from pathlib import PurePosixPath
from urllib.parse import urljoin

import pytest

from gateway.mirror.files import StoredFile
from gateway.mirror.page_files import MAP, NO_MAP, page_files
from gateway.mirror.pages import write_pages
from gateway.page_composition import DIRECTORY, MIRROR_PAGES
from tests.client.virtual import run
from tests.mirror.written import MemoryTarget

PLACES = {
    "index.html": ("", "index.html"),
    "transfers.html": ("transfers.html", "transfers"),
    "verify.html": ("verify.html", "verify"),
    "embed.html": ("embed.html", "embed"),
    "election.html": ("areas/no-storting-2025",),
    "area.html": ("areas/no-storting-2025/0301",),
}
"""The files of the pages, and the addresses below a mirror at which web servers show them."""
ROOTS = ("https://cdn.example/", "https://cdn.example/some/path/")
NAMED = re.compile(r'(?:href|src)="([^"#]*)"')
SCRIPT = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>|\son[a-z]+=")
DOOR_ADDRESSES = re.compile(r"""["'`]/(v1|static|areas|map\.geojson)\b""")


def pages() -> list[StoredFile]:
    return [each for each in page_files(2) if each.path.endswith(".html")]


def static_files() -> list[StoredFile]:
    return [each for each in page_files(2) if each.path.startswith("static/")]


def test_everything_that_a_page_names_is_a_file_of_the_mirror_below_any_path() -> None:
    paths = {each.path for each in page_files(2)}
    assert {each for each in paths if not each.startswith("static/")} == {*PLACES, MAP}
    for page in pages():
        for root in ROOTS:
            for place in PLACES[page.path]:
                named = [
                    urljoin(root + place, each)
                    for each in NAMED.findall(page.body.decode())
                    if each[:5] != "data:"
                ]
                assert len(named) >= 3
                found = [each.removeprefix(root) for each in named]
                assert not [each for each in found if each and each not in paths], (page.path, place)


def test_pages_name_their_own_place_and_have_a_policy_without_inline_scripts() -> None:
    for page in pages():
        text = page.body.decode()
        depth = {"election.html": "../", "area.html": "../../"}.get(page.path, "")
        assert f'<meta name="valgnatt-files" content="{depth}">' in text
        (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
        assert "script-src &#x27;self&#x27;" in policy
        assert "frame-ancestors" not in policy
        assert not SCRIPT.search(page.body)
        assert page.max_age_s == 2
    assert all(each.max_age_s is None for each in static_files())


def test_only_the_module_of_addresses_knows_those_of_a_door() -> None:
    """So that a page which reads files does not request anything from a door by mistake."""
    scripts = {PurePosixPath(each.path).name for each in static_files() if each.path.endswith(".js")}
    found = {
        name
        for name in scripts
        if (DIRECTORY / name).exists() and DOOR_ADDRESSES.search((DIRECTORY / name).read_text())
    }
    assert found == {"document_urls.js", "feed.js", "shell.js", "address.js"}
    assert "/docs" not in MIRROR_PAGES.pages


def test_no_page_comes_before_the_files_that_it_names_and_there_always_is_a_map() -> None:
    files = page_files(2, b'{"type":"FeatureCollection","features":[1]}')
    kinds = [each.max_age_s is None for each in files]
    assert kinds == sorted(kinds, reverse=True)
    bodies = {each.path: each.body for each in files}
    assert b"[1]" in bodies[MAP]
    assert {each.path: each.body for each in page_files(2)}[MAP] == NO_MAP


def test_pages_that_are_open_find_the_files_of_their_version_for_a_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They load parts of themselves only when these are used, and the mirror may have a newer version by then."""

    async def no_map(_: str) -> None:
        return None

    monkeypatch.setattr("gateway.mirror.pages._map", no_map)

    async def upgrade() -> None:
        target = MemoryTarget()
        older = "static/0123456789ab/seats_view.js"
        await target.write([StoredFile(older, b"", "text/javascript", None)])
        task = asyncio.create_task(write_pages("http://gateway.example", target, 2))
        await asyncio.sleep(20 * 3600)
        assert older in target.files
        await task
        assert set(target.files) == {file.path for file in page_files(2)}

    run(upgrade())
