"""A full feed, with a real browser's EventSource: it is turned away, does not give up, and reconnects."""

import time
from contextlib import AsyncExitStack

import aiohttp
import pytest
from playwright.async_api import Browser

from gateway.rehearsal.generator import GeneratedElection
from tests.running import Gateway
from tests.web.browsing import BARE, http_on_session_loop, needs_chromium, visiting
from tests.web.doors import a_registry, feed_url, shown, streaming, until, wait_for_room

pytestmark = pytest.mark.long

SOURCES = 3
FOLLOW = """([url, sources]) => {
  window.sources = Array.from({length: sources}, () => {
    const source = new EventSource(url);
    source.turnedAway = 0;
    source.blocks = 0;
    source.addEventListener("error", () => { source.turnedAway += 1; });
    source.addEventListener("block", () => { source.blocks += 1; });
    return source;
  });
}"""
LOOK = """() => window.sources.map((source) => ({
  state: source.readyState, turnedAway: source.turnedAway, blocks: source.blocks,
}))"""
CONNECTING, CLOSED = 0, 2

http = http_on_session_loop


@needs_chromium
async def test_a_browser_turned_away_from_a_full_feed_reconnects_by_itself(
    tight: Gateway, http: aiohttp.ClientSession, small: GeneratedElection, browser: Browser
) -> None:
    """Three sources connect to a feed that is full with two readers. When those two leave, two of the three get in."""
    election = await tight.load(a_registry(small))
    await shown(tight, election)
    await wait_for_room(tight, http, election)
    url = feed_url(tight, election)
    async with visiting(browser) as visitor:
        page = await visitor.open(f"{tight.feed_url}{BARE}")
        asked: list[float] = []
        page.on("request", lambda request: asked.append(time.monotonic()) if request.url == url else None)
        async with AsyncExitStack() as readers:
            for _ in range(2):
                await (await readers.enter_async_context(streaming(http, url))).block()
            await page.evaluate(FOLLOW, [url, SOURCES])

            async def all_turned_away() -> bool:
                return all(source["turnedAway"] for source in await page.evaluate(LOOK))

            await until(all_turned_away)
            seen = await page.evaluate(LOOK)
            assert [(source["state"], source["blocks"]) for source in seen] == [(CONNECTING, 0)] * SOURCES
        await page.wait_for_function(
            "() => window.sources.filter((source) => source.blocks > 0).length === 2", timeout=45_000
        )
        seen = await page.evaluate(LOOK)
        assert all(source["state"] != CLOSED for source in seen)
        assert len(asked) >= SOURCES + 2
        waits = [at - asked[SOURCES - 1] for at in asked[SOURCES:]]
        assert all(wait >= 9.0 for wait in waits[:2]), waits
        assert waits[1] - waits[0] > 0.01, "they must not reconnect at the same time"
