"""A compressed feed with many readers, with a real browser: it decodes blocks that refer to earlier ones."""

from contextlib import AsyncExitStack

import aiohttp
import pytest
from playwright.async_api import Browser

from gateway.feed.channel import SHARED_WINDOW_READERS_MIN
from gateway.rehearsal.generator import GeneratedElection
from tests.conftest import Database
from tests.running import running
from tests.web.browsing import BARE, http_on_session_loop, needs_chromium, visiting
from tests.web.doors import (
    COUNTRY,
    EVERYTHING,
    a_registry,
    a_report,
    feed_url,
    pushed,
    shown,
    streaming,
)

pytestmark = pytest.mark.long

FOLLOW = """(url) => {
  window.areas = {};
  window.errors = 0;
  const source = new EventSource(url);
  source.addEventListener("area", (event) => {
    const area = JSON.parse(event.data);
    window.areas[area.area] = area;
  });
  source.addEventListener("block", (event) => { window.sequence = JSON.parse(event.data).sequence; });
  source.addEventListener("error", () => { window.errors += 1; });
}"""

http = http_on_session_loop


@needs_chromium
async def test_a_browser_among_many_reads_every_block(
    database: Database, http: aiohttp.ClientSession, small: GeneratedElection, browser: Browser
) -> None:
    """In the end its copy equals that of an uncompressed reader, and it never had to reconnect."""
    async with running(database) as gateway, AsyncExitStack() as opened:
        election = await gateway.load(a_registry(small))
        sender = await gateway.issue(election, [COUNTRY])
        await shown(gateway, election)
        url = feed_url(gateway, election)
        plain = await opened.enter_async_context(streaming(http, url, levels=EVERYTHING))
        visitor = await opened.enter_async_context(visiting(browser))
        page = await visitor.open(f"{gateway.feed_url}{BARE}")
        await page.evaluate(FOLLOW, f"{url}?levels={EVERYTHING}")
        for _ in range(SHARED_WINDOW_READERS_MIN):
            gzip = {"Accept-Encoding": "gzip"}
            reader = await opened.enter_async_context(streaming(http, url, gzip, levels=EVERYTHING))
            await reader.block()
        await page.wait_for_function("() => window.sequence === 0")
        for revision in range(1, 10):
            await pushed(http, sender, a_report(revision=revision, votes=revision))
            await page.wait_for_function(f"() => window.sequence === {revision}")
        await plain.blocks_until(9)
        assert await page.evaluate("() => window.areas") == plain.copy
        assert await page.evaluate("() => window.errors") == 0
        samples = await gateway.metrics()
        of = {kind: samples[f'valgnatt_{kind}{{process="feed-0"}}'] for kind in ("readers", "channels")}
        assert of == {
            "readers": SHARED_WINDOW_READERS_MIN + 2,
            "channels": 2,
        }  # so it was in the one under gzip
