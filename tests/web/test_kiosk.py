"""The results on a screen without a user."""

import asyncio
import itertools
import json
import math
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, CDPSession, Error, Page, Route, expect

from gateway.rehearsal.generator import GeneratedElection
from tests.counts import count
from tests.running import Gateway, Sender
from tests.web.browsing import Visitor, http_on_session_loop, needs_chromium, visiting
from tests.web.doors import COUNTRY, a_registry, a_report, ask, pushed, shown, until

pytestmark = pytest.mark.long

SCREEN = {"width": 1920, "height": 1080}
BLOCKS, CHANGES = count(100, full=300), 5
"""Blocks of a stream, after which the door ends it, and areas in each block."""
COMPLETE = """() => [...document.querySelectorAll(".kiosk-side")].every(
    (side) => side.scrollHeight <= side.clientHeight && side.scrollWidth <= side.clientWidth)"""
CLOCK_SHOWN = "() => document.getElementById('kiosk-clock')?.textContent"
EMBARGOED = r"""() => [
    !document.getElementById("kiosk-embargo").hidden
        && /^00:00:\d\d$/.test(document.getElementById("countdown").textContent),
    document.getElementById("kiosk-results").hidden]"""
DRAWN = "() => document.querySelectorAll('#kiosk-latest-list li').length > 5"
EMBARGOES_S = (4, 16, 48)
LOADED_WITHIN_S = 60
COLLECTIONS = 5
GROWTH_MAX = 600_000
"""Bytes by which the heap may grow over thousands of events: lists of bounded length that become full."""

http = http_on_session_loop


@needs_chromium
async def test_a_screen_shows_the_countdown_then_the_results_in_turn_and_a_new_version(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession, browser: Browser
) -> None:
    """Everything is on the screen at once, and nothing has to be touched."""
    async with visiting(browser, viewport=SCREEN) as visitor:
        page = await open_under_embargo(gateway, small, http, visitor)
        await expect(page.locator("#kiosk-summary [data-figure=votes]")).to_have_text(
            "510", timeout=1000 * EMBARGOES_S[-1]
        )
        await expect(page.locator("#kiosk-embargo")).to_be_hidden()
        await expect(page.locator(".tile.led")).to_have_count(2)
        overflow = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        assert await page.evaluate(overflow) == [1920, 1080]
        for height in (1080, 600):
            await page.set_viewport_size({"width": 1920, "height": height})
            await page.wait_for_function(COMPLETE)
        assert visitor.errors == []


async def open_under_embargo(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession, visitor: Visitor
) -> Page:
    """Open the screen of an election with two reports that will be released soon, and see the countdown.

    On a busy machine the embargo may end before the page is drawn; then a longer one is tried.
    """
    for embargo_s in EMBARGOES_S:
        opens = datetime.now(UTC) + timedelta(seconds=embargo_s)
        election = await gateway.load(a_registry(small, publish_from=opens.isoformat()))
        sender = await gateway.issue(election, [COUNTRY])
        await pushed(http, sender, a_report(votes=10), a_report("0602-0001", votes=500))
        page = await visitor.open(f"{gateway.feed_url}/areas/{election}?kiosk")
        await page.wait_for_function(CLOCK_SHOWN)
        counts_down, results_hidden = await page.evaluate(EMBARGOED)
        if counts_down:
            assert results_hidden
            return page
        await page.close()
    raise AssertionError(f"the embargo ended before the page was drawn, even after {embargo_s} s")


@needs_chromium
async def test_a_screen_turns_and_loads_a_new_version_once_by_itself(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession, browser: Browser
) -> None:
    """After some minutes, if the door answers with a page of other files; not if it does not answer."""
    await pushed(http, sender, a_report(votes=10))
    await shown(gateway, sender.election, 1)
    url = f"{gateway.feed_url}/areas/{sender.election}"
    async with visiting(browser, viewport=SCREEN) as visitor:
        await visitor.own_profile()
        page = await visitor.new_tab()
        await page.clock.install()
        await page.goto(f"{url}?kiosk")
        await expect(page.locator("#kiosk-tiles")).to_be_visible()
        await page.clock.run_for(16_000)
        await expect(page.locator("#kiosk-latest-list li")).to_have_count(1)
        await expect(page.locator("#kiosk-tiles")).to_be_hidden()
        version = OtherVersion()
        await page.route(url, version.answer)
        async with asyncio.timeout(LOADED_WITHIN_S):
            await version.pass_time_until_loaded(page)
        assert version.answers[:4] == [503, 503, 200, 200]


class OtherVersion:
    """Answers a screen's checks as a door with another version, which at first does not serve it."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self._answered = asyncio.Event()
        self._answered.set()

    async def answer(self, route: Route) -> None:
        """Answer a check."""
        self._answered.clear()
        try:
            self.answers.append(503 if len(self.answers) < 2 else 200)
            response = await route.fetch()
            body = re.sub(r"/static/\w+/", "/static/0/", await response.text())
            await route.fulfill(response=response, status=self.answers[-1], body=body)
        finally:
            self._answered.set()

    async def pass_time_until_loaded(self, page: Page) -> None:
        """Let time pass in steps of a minute until the page is loaded again, but not while a check is made."""
        loaded = asyncio.Event()
        page.once("load", lambda _: loaded.set())
        while not loaded.is_set():
            with suppress(Error):  # the page is being loaded again
                await page.clock.fast_forward(60_000)
                await page.evaluate("fetch('/').then(({ status }) => status)")
            await self._answered.wait()


class Replay:
    """Answers as a feed whose streams end after many blocks, in which all areas change in turn."""

    def __init__(self, areas: list[dict[str, Any]]) -> None:
        self.streams = 0
        self._areas = areas
        self._sequence = 1

    async def answer(self, route: Route) -> None:
        """Answer a request for the feed: at first with all areas, later with changes."""
        self.streams += 1
        if self.streams == 1:
            body = self._block(self._areas, snapshot=True)
        else:
            body = "".join(self._block(self._next_changes()) for _ in range(BLOCKS))
        await route.fulfill(status=200, headers={"Content-Type": "text/event-stream"}, body=body)

    async def reached(self, streams: int) -> bool:
        """Return whether the page has opened that many streams."""
        return self.streams >= streams

    def _next_changes(self) -> list[dict[str, Any]]:
        self._sequence += 1
        first = self._sequence % len(self._areas)
        return [
            {**area, "sequence": self._sequence, "published_at": now()}
            for area in self._areas[first : first + CHANGES]
        ]

    def _block(self, areas: list[dict[str, Any]], snapshot: bool = False) -> str:
        block = {
            "sequence": self._sequence,
            "snapshot": snapshot,
            "published_at": now(),
            "server_time": now(),
        }
        events = [f"event: area\ndata: {json.dumps(area)}\n\n" for area in areas]
        return "".join(events) + f"id: {self._sequence}-0\nevent: block\ndata: {json.dumps(block)}\n\n"


def now() -> str:
    return datetime.now(UTC).isoformat()


@needs_chromium
async def test_a_screen_needs_no_more_memory_after_thousands_of_events(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession, browser: Browser
) -> None:
    """Also over several connections: the heap after a collection, elements and listeners stay as they were."""
    await pushed(http, sender, a_report(votes=10))
    await shown(gateway, sender.election, 1)
    replay = Replay(await areas_above_units(gateway, http, sender.election))
    async with visiting(browser, viewport=SCREEN) as visitor:
        await visitor.own_profile()
        page = await visitor.new_tab()
        await page.route("**/feed", replay.answer)
        await page.route("**/feed?**", replay.answer)
        await page.goto(f"{gateway.feed_url}/areas/{sender.election}?kiosk")
        cdp = await visitor.context.new_cdp_session(page)
        await cdp.send("Performance.enable")
        found = []
        for streams in (3, 7):
            await until(partial(replay.reached, streams))
            await page.wait_for_function(DRAWN)
            found.append(await metrics(cdp))
    before, after = found
    assert after["JSHeapUsedSize"] - before["JSHeapUsedSize"] < GROWTH_MAX
    assert after["Nodes"] <= before["Nodes"] + 50
    assert after["JSEventListeners"] <= before["JSEventListeners"] + 5


async def areas_above_units(
    gateway: Gateway, http: aiohttp.ClientSession, election: str
) -> list[dict[str, Any]]:
    """Return the areas as the feed has them."""

    async def area_and_children(area: str) -> list[dict[str, Any]]:
        answer = await ask(http, "GET", f"{gateway.feed_url}/v1/elections/{election}/areas/{area}")
        document = answer.document
        children = document.pop("children")
        document.pop("record")
        return [document, *children]

    country, *counties = await area_and_children(COUNTRY)
    below = [await area_and_children(county["area"]) for county in counties]
    return [country, *itertools.chain.from_iterable(below)]


async def metrics(cdp: CDPSession) -> dict[str, float]:
    """Return the least that each metric of a page was after a collection of garbage.

    The page goes on drawing: what it replaces between a collection and the reading, a whole list of elements, is
    garbage that is counted.
    """
    found: dict[str, float] = {}
    for _ in range(COLLECTIONS):
        await cdp.send("HeapProfiler.collectGarbage")
        for metric in (await cdp.send("Performance.getMetrics"))["metrics"]:
            found[metric["name"]] = min(metric["value"], found.get(metric["name"], math.inf))
    return found
