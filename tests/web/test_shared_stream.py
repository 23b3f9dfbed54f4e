"""Pages in a real browser under bad conditions: many tabs share one stream, and each page recovers by itself."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from gateway.page_composition import DIRECTORY
from gateway.rehearsal.generator import GeneratedElection
from tests.counts import count, full_only, variants
from tests.running import Gateway, Sender
from tests.web.browsing import (
    BARE,
    PATIENCE_MS,
    CuttableProxy,
    Visitor,
    cuttable_proxy,
    http_on_session_loop,
    needs_chromium,
    visiting,
)
from tests.web.doors import COUNTRY, HERE, TIMEOUT_S, a_registry, a_report, pushed, shown, until

TABS = count(4, full=8)
"""In `make long`, more than the six connections that a browser opens to a host over HTTP/1.1."""
READERS = "valgnatt_readers{"
ELECTIONS, STREAMS_MAX = count(5, full=7), 4
LOOKS_EVERY_MS = 5000
"""How often a tab without a stream of its own looks for news."""
PAUSE_MIN_S = 8
"""After several failures the pause between two attempts is longer."""
HTML = (
    b"HTTP/1.1 %s\r\nContent-Type: text/html\r\nRetry-After: 1\r\nContent-Length: 15\r\nConnection: close\r\n\r\n"
    b"<h1>Sorry.</h1>"
)

pytestmark = pytest.mark.long

http = http_on_session_loop


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser) -> AsyncIterator[Visitor]:
    """A visitor who reads English, with a profile that the test can set up."""
    async with visiting(browser) as visitor:
        await visitor.own_profile()
        yield visitor


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(gateway: Gateway) -> AsyncIterator[CuttableProxy]:
    """A proxy to the feed door."""
    async with cuttable_proxy(gateway.feed_url) as proxy:
        yield proxy


async def readers(gateway: Gateway) -> float:
    """Return the number of open feeds."""
    return sum(value for name, value in (await gateway.metrics()).items() if name.startswith(READERS))


async def streams_become(gateway: Gateway, count: int) -> None:
    """Wait until so many feeds are open."""
    async with asyncio.timeout(TIMEOUT_S):
        while await readers(gateway) != count:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.2)


async def shows(page: Page, votes: int) -> None:
    """Wait until a results page shows these votes and is live."""
    await expect(page.locator("#country [data-figure=votes]")).to_have_text(str(votes))
    await expect(page.locator("#link")).to_have_text("Live")


async def is_lost(page: Page) -> None:
    """Wait until a page shows that it is not connected."""
    await expect(page.locator("#status.lost #link")).to_contain_text("Reconnecting automatically")


# Tabs.


@needs_chromium
async def test_tabs_share_one_stream_and_survive_the_one_that_has_it(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """Over HTTP/1.1, results and transfers. The tab that has the stream is closed, and later hangs."""
    await pushed(http, sender, a_report(votes=10))
    await shown(gateway, sender.election, 1)
    tabs = [await visitor.open(f"{gateway.feed_url}/?election={sender.election}") for _ in range(TABS - 1)]
    transfers = await visitor.open(f"{gateway.feed_url}/transfers?election={sender.election}")
    for tab in tabs:
        await shows(tab, 10)
    await expect(transfers.locator("#link")).to_have_text("Live")
    await streams_become(gateway, 1)

    await tabs.pop(0).close()
    await pushed(http, sender, a_report(revision=2, votes=20))
    for tab in tabs:
        await shows(tab, 20)
    await streams_become(gateway, 1)

    async with tabs[0].expect_event("dialog", timeout=PATIENCE_MS) as opened:
        hanging = asyncio.create_task(tabs[0].evaluate("alert()"))  # nothing else runs in this tab meanwhile
    for revision in range(3, 6):
        await pushed(http, sender, a_report(revision=revision, votes=10 * revision))
        for tab in tabs[1:]:
            await shows(tab, 10 * revision)
    await (await opened.value).dismiss()
    await hanging
    await shows(tabs[0], 50)
    await expect(transfers.locator("#totals [data-figure=published]")).to_have_text("5")
    await streams_become(gateway, 1)
    assert visitor.errors == []


@needs_chromium
async def test_tabs_of_many_elections_leave_connections_free(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """Four keep their streams; the others look for news every 5 s, and get a stream when one is closed.

    Those four are pages of transfers, which cost less.
    """
    await visitor.context.clock.install()
    tabs: list[tuple[Sender, Page]] = []
    for _ in range(ELECTIONS):
        sender = await gateway.issue(await gateway.load(a_registry(small)), [COUNTRY])
        await shown(gateway, sender.election)
        page = "transfers" if len(tabs) < STREAMS_MAX else ""
        tab = await visitor.open(f"{gateway.feed_url}/{page}?election={sender.election}")
        await expect(tab.locator("#link")).to_have_text("Live")
        tabs.append((sender, tab))

    await streams_become(gateway, STREAMS_MAX)
    for sender, _ in tabs:
        await pushed(http, sender, a_report(votes=10))
    await visitor.context.clock.fast_forward(LOOKS_EVERY_MS)
    for _, tab in tabs[:STREAMS_MAX]:
        await expect(tab.locator("#totals [data-figure=published]")).to_have_text("1")
        await tab.close()
    for _, tab in tabs[STREAMS_MAX:]:
        await shows(tab, 10)
    await visitor.context.clock.fast_forward(LOOKS_EVERY_MS)
    await streams_become(gateway, ELECTIONS - STREAMS_MAX)
    assert visitor.errors == []


@needs_chromium
async def test_a_tab_that_comes_back_follows_again(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """From the history, and after it was frozen, as browsers do with tabs in the background."""
    await pushed(http, sender, a_report(votes=10))
    await shown(gateway, sender.election, 1)
    address = f"{gateway.feed_url}/?election={sender.election}"
    first, second = [await visitor.open(address) for _ in range(2)]
    for tab in (first, second):
        await shows(tab, 10)
    await first.goto(f"{gateway.feed_url}/verify")
    await pushed(http, sender, a_report(revision=2, votes=20))
    await shows(second, 20)
    await first.go_back()
    await shows(first, 20)

    control = await visitor.context.new_cdp_session(second)
    await control.send("Page.setWebLifecycleState", {"state": "frozen"})
    await pushed(http, sender, a_report(revision=3, votes=30))
    await shows(first, 30)
    await control.send("Page.setWebLifecycleState", {"state": "active"})
    await shows(second, 30)
    await streams_become(gateway, 1)


# The network.


@needs_chromium
async def test_a_silent_stream_is_replaced(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession, proxy: CuttableProxy, visitor: Visitor
) -> None:
    """After 20 s without a byte, as a block comes every 10 s; and after a sleep, which the clock shows by a jump."""
    await pushed(http, sender, a_report(votes=10))
    await shown(gateway, sender.election, 1)
    await visitor.context.clock.install()
    page = await visitor.open(f"{proxy.url}/?election={sender.election}")
    await shows(page, 10)
    for revision, seconds in ((2, 25), (3, 3600)):
        proxy.stall()
        await pushed(http, sender, a_report(revision=revision, votes=10 * revision))
        await visitor.context.clock.fast_forward(1000 * seconds)
        await is_lost(page)
        await expect(page.locator("#lag")).to_have_text(re.compile(r"^figures as of \d\d:\d\d:\d\d, .* ago$"))
        proxy.end_stall()
        await shows(page, 10 * revision)
    assert [each for each in visitor.errors if "net::ERR_" not in each] == []


@needs_chromium
async def test_a_page_goes_on_at_once_when_the_network_is_back(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """The browser reports that; the pause between two attempts may be long by then."""
    await pushed(http, sender, a_report(votes=10))
    await shown(gateway, sender.election, 1)
    await visitor.context.clock.install()
    page = await visitor.open(f"{gateway.feed_url}/?election={sender.election}")
    await shows(page, 10)
    await visitor.context.set_offline(True)
    for _ in range(6):
        await visitor.context.clock.fast_forward(20_000)
    await is_lost(page)
    await pushed(http, sender, a_report(revision=2, votes=20))
    paused_at = await page.evaluate("Date.now() / 1000 + 1")
    await visitor.context.clock.pause_at(paused_at)
    await visitor.context.set_offline(False)
    votes = page.locator("#country [data-figure=votes]")

    async def is_current() -> bool:
        await visitor.context.clock.run_for(20)  # the page draws by its clock
        return await votes.inner_text() == "20"

    await until(is_current)
    assert await page.evaluate("Date.now() / 1000") - paused_at < PAUSE_MIN_S


@needs_chromium
@pytest.mark.parametrize("path", variants(["/", f"/#/area/{HERE}", "/transfers", "/docs"], "/"))
async def test_a_page_tries_until_there_is_an_answer(
    gateway: Gateway,
    sender: Sender,
    http: aiohttp.ClientSession,
    proxy: CuttableProxy,
    visitor: Visitor,
    path: str,
) -> None:
    """Nobody listens, then a proxy answers with HTML: at the first request of each page, and later."""
    await pushed(http, sender, a_report(votes=10))
    await shown(gateway, sender.election, 1)
    await visitor.context.clock.install()
    ready = {"/docs": "#document h1", "/transfers": "#list tbody tr", "/": "#areas tbody tr"}.get(
        path, "#plot svg"
    )
    query, mark, fragment = path.partition("#")

    async def refuse(route: Route) -> None:
        await route.abort()

    documents = re.compile(r"/v1/|/openapi\.json$|/map\.geojson$")
    await visitor.context.route(documents, refuse)
    page = await visitor.open(f"{proxy.url}{query}?election={sender.election}{mark}{fragment}")
    await expect(page.locator("#problem")).to_have_text(
        "The service is not responding. This page will keep trying."
    )
    await visitor.context.unroute(documents)
    for status in (b"502 Bad Gateway", b"200 OK", b"404 Not Found", b"503 Service Unavailable"):
        await proxy.cut()
        proxy.answer = HTML % status
        await proxy.restore()
        await visitor.context.clock.fast_forward(20_000)
        await expect(page.locator("#problem")).to_be_visible()
    await proxy.cut()
    proxy.answer = None
    await proxy.restore()
    await visitor.context.clock.fast_forward(20_000)
    await expect(page.locator(ready).first).to_be_visible()
    await expect(page.locator("#problem")).to_be_hidden()
    if path == "/":
        await proxy.cut()
        proxy.answer = HTML % b"502 Bad Gateway"
        await proxy.restore()
        await is_lost(page)
        await pushed(http, sender, a_report(revision=2, votes=20))
        await visitor.context.clock.fast_forward(20_000)
        await proxy.cut()
        proxy.answer = None
        await proxy.restore()
        await visitor.context.clock.fast_forward(20_000)
        await shows(page, 20)


@full_only
@needs_chromium
async def test_every_request_has_a_limit(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession, proxy: CuttableProxy, visitor: Visitor
) -> None:
    """A server that accepts connections and never answers: the request is given up after 10 s and repeated."""
    await pushed(http, sender, a_report(votes=10))
    await shown(gateway, sender.election, 1)
    transfers = await visitor.open(f"{proxy.url}/transfers?election={sender.election}")
    sentence = transfers.locator("#sentence")
    await expect(sentence).to_have_class("sentence good")
    async with transfers.expect_event(
        "requestfailed", lambda request: request.url.endswith("/transfers"), timeout=PATIENCE_MS
    ):
        proxy.stall()
    await expect(sentence).to_have_text(re.compile("^Status unknown: no answer since"))
    proxy.end_stall()
    await expect(sentence).to_have_class("sentence good")


# Their parts.


@needs_chromium
async def test_the_parts_of_a_stream_are_put_together(gateway: Gateway, visitor: Visitor) -> None:
    """Wherever it is cut. Retry-After is read in each of its forms, and no event makes its pause shorter."""
    page = await visitor.open(f"{gateway.feed_url}{BARE}")
    found: Any = await page.evaluate(
        """async () => {
            const { EventParser } = await import("/static/0/event_stream.js");
            const { retryAfter_ms, pause, Pauses } = await import("/static/0/fetching.js");
            const text = "retry: 2412\\n\\n: comment\\n\\nevent: area\\ndata: {\\"a\\":\\ndata: 1}\\n\\n" +
                "event: block\\nid: 7-00ff\\ndata:x\\n\\nevent: cut\\ndata: off";
            const results = [];
            for (let at = 0; at <= text.length; at += 1) {
                const parser = new EventParser();
                const events = [...parser.parse(text.slice(0, at)), ...parser.parse(text.slice(at))];
                results.push(JSON.stringify([parser.retry_ms, events]));
            }
            const pauses = new Pauses();
            const lengths = Array.from({ length: 9 }, () => pauses.next_ms());
            pauses.reset();
            const ended = [];
            pause(60_000, 60_000).then(() => ended.push("asked for"));
            const own = pause(60_000).then(() => ended.push("own"));
            dispatchEvent(new Event("online"));
            await own;
            const later = new Date(Date.now() + 90_000).toUTCString();
            return {
                results: [...new Set(results)], ended, lengths, again: pauses.next_ms(),
                waits: [null, "", "7", " 7 ", "-1", "1.5", "soon", "99999999", later,
                        "Thu, 01 Jan 1970 00:00:00 GMT"].map(retryAfter_ms),
            };
        }"""
    )
    assert found["results"] == [
        '[2412,[{"type":"area","id":"","data":"{\\"a\\":\\n1}"},{"type":"block","id":"7-00ff","data":"x"}]]'
    ]
    assert found["ended"] == ["own"]
    assert all(700 * 2**n <= each <= 1300 * 2**n for n, each in enumerate(found["lengths"][:4]))
    assert all(10_000 < each < 20_000 for each in found["lengths"][4:])
    assert found["again"] < 1400
    none, empty, seven, spaced, negative, fraction, word, huge, date, past = found["waits"]
    assert (none, empty, seven, spaced, word, past) == (0, 0, 7000, 7000, 0, 0)
    assert negative >= 0
    assert fraction >= 0
    assert huge == 300_000
    assert 80_000 < date <= 90_000


def test_requests_are_made_in_three_places_only() -> None:
    """Where each has a limit and is repeated, and for the form of the API page, which shows one answer as it is."""
    samples = DIRECTORY / "samples.js"  # its requests are texts that readers copy
    for path in set(DIRECTORY.glob("*.js")) - {samples}:
        found = re.findall(r"(?<![#.\w])fetch\(|\bnew EventSource\b|XMLHttpRequest", path.read_text())
        assert len(found) == (path.name in ("fetching.js", "event_stream.js", "try_it.js")), path
