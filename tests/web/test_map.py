"""A map instead of tiles: which files are accepted, what is served, and what a real browser draws."""

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from gateway.journal.administration import administration
from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import GeneratedElection
from gateway.web.map_file import ERRORS_MAX, SIZE_MAX, BadMap, read_map
from tests.conftest import Database
from tests.counts import variants
from tests.running import Gateway, Sender, running, served
from tests.web.browsing import Visitor, http_on_session_loop, needs_chromium, session_loop, visiting
from tests.web.conftest import make_database
from tests.web.doors import COUNTRY, HERE, a_registry, a_report, ask, pushed, shown

ON_MAP = ("0101", "0201", "0202", "0203", "0602", "0603")
"""All municipalities of the small election but HERE."""


def square(x: float, y: float, size: float = 1.0) -> list[list[float]]:
    return [[x, y], [x + size, y], [x + size, y + size], [x, y + size], [x, y]]


def a_feature(name: Any, *rings: list[list[float]], **members: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "properties": {"kommunenummer": name, "navn": "Somewhere", "population": 12},
        "geometry": {"type": "Polygon", "coordinates": list(rings)},
        **members,
    }


def a_map() -> dict[str, Any]:
    """Three by two squares at 60° north: one by its number, one by `id`, one of two parts with a hole, one unknown."""
    features = [a_feature(name, square(5 + place % 3, 60 + place // 3)) for place, name in enumerate(ON_MAP)]
    features[0] = a_feature(101, *features[0]["geometry"]["coordinates"])
    features[1] = a_feature("x", *features[1]["geometry"]["coordinates"], id="0201")
    parts = [[square(7, 60, 0.9), square(7.3, 60.3, 0.1)], [square(8.1, 60, 0.2)]]
    features[2]["geometry"] = {"type": "MultiPolygon", "coordinates": parts}
    return {"type": "FeatureCollection", "features": [*features, a_feature("9999", square(5, 63))]}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("map") / "municipalities.geojson"
    path.write_text(json.dumps(a_map()))
    return path


# Files.


def test_a_map_is_reduced_to_what_is_drawn(file: Path) -> None:
    """To shapes and the identifiers of their areas; nothing else in the file is served."""
    read = read_map(file)
    assert read.shapes[:2] == (("0101", "101"), ("0201", "x"))
    assert read.unknown_shapes(["0101", "0201", "0202", "0203", "0602", "0603", "vl"]) == ["9999"]
    served = json.loads(read.body)
    assert [set(feature) for feature in served["features"]] == [{"type", "properties", "geometry"}] * 7
    assert served["features"][1]["properties"] == {"ids": ["0201", "x"]}
    parts = served["features"][2]["geometry"]["coordinates"]
    assert [[len(ring) for ring in rings] for rings in parts] == [[5, 5], [5]]
    assert parts[1] == [[[8.1, 60.0], [8.3, 60.0], [8.3, 60.2], [8.1, 60.2], [8.1, 60.0]]]


def test_coordinates_are_rounded_to_a_metre(tmp_path: Path) -> None:
    """More would not be visible; heights are dropped."""
    path = tmp_path / "fine.geojson"
    ring = [[5.123456789, 60.0, 12.5], [6, 60], [6, 61], [5.123456789, 60.0, 12.5]]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [a_feature("0101", ring)]}))
    (shape,) = json.loads(read_map(path).body)["features"]
    assert shape["geometry"]["coordinates"] == [[[5.12346, 60.0], [6.0, 60.0], [6.0, 61.0], [5.12346, 60.0]]]


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = copy.deepcopy(a_map())
    change(document)
    return json.dumps(document).encode()


def point(document: dict[str, Any]) -> None:
    document["features"][1]["geometry"] = {"type": "Point", "coordinates": [5, 60]}


def nowhere(document: dict[str, Any]) -> None:
    document["features"][3]["geometry"]["coordinates"][0][2] = ["a", 60]


def nameless(document: dict[str, Any]) -> None:
    document["features"][0]["properties"] = {"navn": "Somewhere"}


MISTAKES: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "empty": (b"", ("not JSON",)),
    "cut off": (changed(lambda _: None)[:-20], ("not JSON",)),
    "another kind": (b'{"type": "Topology"}', ("FeatureCollection",)),
    "an array": (b"[]", ("FeatureCollection",)),
    "no features": (b'{"type": "FeatureCollection", "features": []}', ("no features",)),
    "no feature": (changed(lambda document: document["features"].append(5)), ("features[7]", "not a Feature")),
    "a point": (changed(point), ("features[1]", "Point", "Polygon or MultiPolygon")),
    "no position": (changed(nowhere), ("features[3]", "['a', 60]")),
    "no name": (changed(nameless), ("features[0]", "kommunenummer")),
    "no geometry": (changed(lambda document: document["features"][0].pop("geometry")), ("missing",)),
    "too large": (b" " * (SIZE_MAX + 1), ("larger than 16 MiB",)),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_file_that_cannot_be_drawn_is_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    """The message names the file and the feature."""
    content, words = MISTAKES[name]
    path = tmp_path / "wrong.geojson"
    path.write_bytes(content)
    with pytest.raises(BadMap) as raised:
        read_map(path)
    for word in (str(path), *words):
        assert word in str(raised.value)


def test_every_error_is_listed_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "wrong.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [1] * 50}))
    with pytest.raises(BadMap, match=f"and {50 - ERRORS_MAX} more"):
        read_map(path)
    with pytest.raises(BadMap, match="No such file"):
        read_map(tmp_path / "none.geojson")


@pytest.mark.long
def test_serve_does_not_start_with_a_map_that_cannot_be_drawn(tmp_path: Path) -> None:
    """It prints one line and exits with 1 before it makes a database."""
    path = tmp_path / "wrong.geojson"
    path.write_bytes(b"{")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VALGNATT_")}
    ended = subprocess.run(
        [sys.executable, "-m", "gateway", "serve", "--map", str(path), "--data-dir", str(tmp_path / "data")],
        env=environ, capture_output=True, check=False, timeout=60, text=True,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"valgnatt: map {path}: not JSON")
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.long
async def test_unknown_areas_of_a_map_are_logged_at_the_start(
    database: Database, small: GeneratedElection, file: Path
) -> None:
    """By their identifiers; the gateway starts without them."""
    async with administration(database.url, "test") as acts:
        await acts.load_election(a_registry(small))
    async with running(database, map=file) as gateway:
        (line,) = gateway.logged("areas on the map that are in no election")
        assert json.loads(line)["areas"] == ["9999"]


# Doors.


@pytest.fixture(scope="module")
def mapped(postgres: EmbeddedPostgres, file: Path) -> Iterator[Gateway]:
    with served(make_database(postgres), map=file) as gateway:
        yield gateway


@pytest.mark.long
@session_loop
async def test_a_map_is_served_and_without_one_an_empty_collection(
    mapped: Gateway, gateway: Gateway, http: aiohttp.ClientSession, file: Path
) -> None:
    """With a strong ETag, to pages of any origin."""
    answer = await ask(http, "GET", f"{mapped.feed_url}/map.geojson")
    assert (answer.status, answer.body) == (200, read_map(file).body)
    assert answer.headers["Content-Type"] == "application/geo+json; charset=utf-8"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    cached = {"If-None-Match": answer.headers["ETag"]}
    assert (await ask(http, "GET", f"{mapped.feed_url}/map.geojson", headers=cached)).status == 304
    none = await ask(http, "GET", f"{gateway.feed_url}/map.geojson")
    assert none.document == {"type": "FeatureCollection", "features": []}


# The page.


@pytest.fixture
async def sender(mapped: Gateway, small: GeneratedElection) -> Sender:
    return await mapped.issue(await mapped.load(a_registry(small)), [COUNTRY])


http = http_on_session_loop


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(mapped: Gateway, browser: Browser) -> AsyncIterator[Visitor]:
    """A visitor who reads English. Afterwards the console has no errors, and no other host got a request."""
    async with visiting(browser) as visitor:
        yield visitor
        assert visitor.errors == []
        assert visitor.requests_elsewhere(mapped.feed_url) == []


async def opened(visitor: Visitor, sender: Sender) -> Page:
    page = await visitor.open(f"{sender.gateway.feed_url}/?election={sender.election}")
    await expect(page.locator(".map")).to_be_visible()
    return page


async def fill(page: Page, area: str) -> str:
    found: str = await page.locator(f'[data-tile="{area}"] path').evaluate(
        "(path) => getComputedStyle(path).fill"
    )
    return found


@pytest.mark.long
@needs_chromium
async def test_the_map_is_coloured_labelled_and_described_like_tiles(
    sender: Sender, http: aiohttp.ClientSession, small: GeneratedElection, visitor: Visitor
) -> None:
    """By leading party as in the legend, or by the share reporting; updated live, with descriptions in words."""
    await pushed(http, sender, a_report("0602-0001", votes=500), a_report(votes=10))
    await shown(sender.gateway, sender.election, 2)
    page = await opened(visitor, sender)
    await expect(page.locator(".shape")).to_have_count(len(ON_MAP))
    shape = page.locator('.shape[data-tile="0602"]')
    words = re.compile(r"^Kjævolfjord, .+ · 1 of \d+ units reporting · .+ leads with 100\.0%$")
    await expect(shape).to_have_attribute("aria-label", words)
    await expect(page.locator(".labels text", has_text="FL")).to_have_count(1)
    swatch = await page.locator("#legend i").first.evaluate(
        "(element) => getComputedStyle(element).backgroundColor"
    )
    assert await fill(page, "0602") == swatch
    assert await fill(page, "0603") != swatch
    await expect(page.locator("#legend")).to_contain_text(" 2")  # the one on the map, and the tile

    tile = page.locator(".tile")
    await expect(tile).to_have_count(1)
    await expect(tile).to_have_attribute("data-tile", HERE)
    await expect(tile).to_have_text("FL")

    await shape.locator("path").hover()
    await expect(page.locator("#tile-description")).to_have_text(words)
    await page.get_by_text("Share reporting").click()
    await expect(page.locator(".labels text.counted").first).to_have_text(re.compile(r"^\d+$"))
    assert await fill(page, "0602") not in (swatch, await fill(page, "0603"))
    await page.get_by_text("Leading party").click()
    reports = [line["report"] for line in small.reports if line["municipality"] == "0603"]
    await pushed(http, sender, *reports)
    await expect(page.locator('.shape[data-tile="0603"]')).to_have_class(re.compile(r"\bled\b"))

    await shape.click()
    await expect(page.locator("#area-title")).to_have_text("Kjævolfjord")


@pytest.mark.long
@needs_chromium
async def test_the_map_is_one_tab_stop(sender: Sender, http: aiohttp.ClientSession, visitor: Visitor) -> None:
    """Arrow keys move between shapes and on to tiles, up and down by position; Enter opens one."""
    page = await opened(visitor, sender)
    await expect(page.locator("#tile-description")).to_have_text(re.compile("^Each shape on the map"))
    stops = page.locator('#tiles a[tabindex="0"]')
    await expect(stops).to_have_count(1)
    await stops.focus()
    reached = []
    for _ in range(len(ON_MAP) + 1):
        reached.append(await page.evaluate("document.activeElement.dataset.tile"))
        await page.keyboard.press("ArrowRight")
    assert sorted(reached) == sorted([*ON_MAP, HERE])
    assert reached[-1] == HERE
    await page.locator('.shape[data-tile="0101"]').focus()  # south-west of all
    await page.keyboard.press("ArrowUp")
    assert await page.evaluate("document.activeElement.dataset.tile") == "0203"
    await expect(page.locator("#tile-description")).to_have_text(re.compile("^Kjævøy, "))
    await expect(stops).to_have_count(1)
    await page.keyboard.press("Enter")
    await expect(page.locator("#area-title")).to_have_text("Kjævøy")
    await page.locator("#language").select_option("nb")
    await page.go_back()
    await expect(page.locator("#tile-description")).to_have_text(
        re.compile("^(Kjævøy|Hvert område på kartet)")
    )


@pytest.mark.long
@needs_chromium
async def test_the_map_is_projected_like_the_country(sender: Sender, visitor: Visitor) -> None:
    """North is up, a degree at 60° is half as wide as high, holes stay holes, and metres are not projected."""
    page = await opened(visitor, sender)
    boxes = {}
    for area in ON_MAP:
        boxes[area] = await page.locator(f'[data-tile="{area}"] path').bounding_box()
    south, north, east = boxes["0101"], boxes["0203"], boxes["0201"]
    assert south is not None
    assert north is not None
    assert east is not None
    assert north["y"] < south["y"]
    assert east["x"] > south["x"]
    assert south["width"] / south["height"] == pytest.approx(0.5, abs=0.05)
    drawn = await page.locator('[data-tile="0202"] path').get_attribute("d")
    assert drawn is not None
    assert drawn.count("M") == drawn.count("Z") == 3
    flat = await page.evaluate(
        """async () => {
            const { layOut } = await import(document.querySelector("script").src.replace("results.js", "shapes.js"));
            const square = (x, y) => [[[[x, y], [x + 100, y], [x + 100, y + 100], [x, y + 100], [x, y]]]];
            return layOut([square(500000, 6600000), square(500100, 6600000), square(500000, 6600100)]);
        }"""
    )
    assert (flat["width"], flat["height"]) == (1000, 1000)
    assert [(each["x"], each["y"]) for each in flat["shapes"]] == [(250, 750), (750, 750), (250, 250)]


@pytest.mark.long
@needs_chromium
@pytest.mark.parametrize("scheme", variants(["light", "dark"], "dark"))
async def test_the_map_fits_a_phone(sender: Sender, browser: Browser, scheme: Any) -> None:
    """Nothing scrolls sideways."""
    viewport = {"width": 320, "height": 700}
    async with visiting(browser, viewport=viewport, color_scheme=scheme) as visitor:
        page = await opened(visitor, sender)
        assert await page.evaluate("document.documentElement.scrollWidth") == 320
        assert visitor.errors == []


@pytest.mark.long
@needs_chromium
async def test_an_election_that_is_not_on_the_map_has_tiles(
    mapped: Gateway, small: GeneratedElection, visitor: Visitor
) -> None:
    """A map shows one country; other elections on the same gateway may be elsewhere."""
    registry = json.loads(json.dumps(a_registry(small)).replace('"0', '"9'))
    election = await mapped.load(registry)
    page = await visitor.open(f"{mapped.feed_url}/?election={election}")
    await expect(page.locator(".tile")).to_have_count(7)
    await expect(page.locator(".map")).to_have_count(0)
