"""The pages and a mirror in a real browser: as files behind nginx, and in place of a stream that cannot be used."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from gateway.journal.embedded import EmbeddedPostgres
from gateway.mirror.mirror import Mirror
from gateway.mirror.page_files import page_files
from gateway.mirror.targets import open_target
from gateway.rehearsal.generator import GeneratedElection
from gateway.wire.mirror import election_path
from tests.deploy.mirrors import MirrorServers, mirror_servers
from tests.deploy.proxies import a_directory
from tests.running import Gateway, Sender, running
from tests.web.browsing import cuttable_proxy, http_on_session_loop, needs_chromium, session_loop, visiting
from tests.web.conftest import make_database
from tests.web.doors import (
    COUNTRY,
    HERE,
    UNIT,
    a_registry,
    a_report,
    feed_url,
    pushed,
    streaming,
    until,
)

pytestmark = pytest.mark.long

EVERY_S = 1
READERS = 3
"""One of them is the mirror."""
RARE_S = 60
"""After this time the stream is opened again that was refused for the first time; the gateway asks for up to 30 s."""
FILES = "Reading the figures from files every second"
BEHIND = {
    "nb": r"^Filene med tallene er ikke oppdatert siden \d\d:\d\d:\d\d \(i 3 min",
    "nn": r"^Filene med tala er ikkje oppdaterte sidan \d\d:\d\d:\d\d \(i 3 min",
    "en": r"^The files with the figures have not been updated since \d\d:\d\d:\d\d \(3 min",
}
KEPT_BACK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 2000\n\n"
OVERVIEW = ("#country", "#seats", "#corrections-list", "#areas tbody")
AREA = ("#area-summary", "#history-section", "#area-corrections-list", "#children tbody")
PICTURES = os.environ.get("VALGNATT_PICTURES")
"""A directory for pictures of the pages, to look at."""

http = http_on_session_loop


class Mirrored(NamedTuple):
    """A gateway with room for two readers beside its mirror, and the mirror that it names."""

    gateway: Gateway
    sender: Sender
    servers: MirrorServers
    directory: Path
    writing: "asyncio.Task[None]"

    @property
    def election(self) -> str:
        return self.sender.election


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def mirrored(postgres: EmbeddedPostgres, small: GeneratedElection) -> AsyncIterator[Mirrored]:
    """Half of a night, in a gateway and in its mirror."""
    async with AsyncExitStack() as opened:
        directory = opened.enter_context(a_directory())
        servers = await opened.enter_async_context(mirror_servers(directory, EVERY_S))
        gateway = await opened.enter_async_context(
            running(
                await asyncio.to_thread(make_database, postgres),
                readers_max=READERS,
                heartbeat_s=1,
                mirror_url=servers.origin_url,
            )
        )
        sender = await gateway.issue(await gateway.load(a_registry(small)), [COUNTRY])
        reports = [line["report"] for line in small.reports]
        async with aiohttp.ClientSession() as session:
            await pushed(session, sender, *reports[: len(reports) // 2])
        target = open_target(str(directory))
        await target.open()
        opened.push_async_callback(target.close)
        await target.write(page_files(EVERY_S))
        writing = asyncio.create_task(
            Mirror(gateway.feed_url, sender.election, target, every_s=EVERY_S).run()
        )
        mirrored = Mirrored(gateway, sender, servers, directory, writing)
        await until(lambda: is_written(mirrored))
        yield mirrored
        writing.cancel()
        await asyncio.wait([writing])


async def is_written(mirrored: Mirrored) -> bool:
    """Whether the mirror has all files of the election."""
    if mirrored.writing.done():
        mirrored.writing.result()
    directory = mirrored.directory / election_path(mirrored.election)
    names = ("live.json", "results.csv", "transfers.json", "publications/rest.ndjson", "corrections.json")
    return all((directory / name).exists() for name in (*names, f"areas/{HERE}.json"))


async def figures(page: Page, *selectors: str) -> list[str]:
    """Return the texts of parts of a page, once it has them."""
    for each in selectors:
        await expect(page.locator(each)).to_have_text(re.compile(r"\d"))
    return [await page.locator(each).inner_text() for each in selectors]


async def has_room(gateway: Gateway) -> bool:
    """Whether the feed has no reader but the mirror."""
    return (await gateway.metrics()).get('valgnatt_readers{process="feed-0"}') == 1


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)


@needs_chromium
async def test_the_files_of_a_mirror_show_what_the_pages_of_its_gateway_show(
    mirrored: Mirrored, browser: Browser
) -> None:
    """The results, an area, its history, and the night as it was; at addresses with and without a rule of nginx."""
    origin, election = mirrored.servers.origin_url, mirrored.election
    async with visiting(browser) as visitor:
        page = await visitor.open(f"{mirrored.gateway.feed_url}/?election={election}")
        await expect(page.locator("#link")).to_have_text("Live")
        overview = await figures(page, *OVERVIEW)
        await page.locator("#corrections-list a").first.click()
        area = await figures(page, *AREA)
    async with visiting(browser) as visitor:
        page = await visitor.open(f"{origin}/?election={election}")
        await expect(page.locator("#link")).to_have_text(FILES)
        assert await figures(page, *OVERVIEW) == overview
        await picture(page, "files")
        await page.locator("#corrections-list a").first.click()
        await expect(page).to_have_url(re.compile(f"^{origin}/index.html\\?election={election}&area=[^&]+$"))
        assert await figures(page, *AREA) == area
        await picture(page, "files-area")
        await page.locator("#embed summary").click()
        await expect(page.locator("#embed-code")).to_contain_text(
            f"{origin}/embed.html?election={election}&amp;area="
        )
        for link in await page.locator("#main a[download]").all():
            address = await link.evaluate("(link) => link.href")
            assert (await page.request.get(address)).status == 200, address

        await page.get_by_role("button", name="The night as it was").click()
        await expect(page.locator("#night-note")).to_contain_text("publications has been verified")
        await page.locator("#night-previous").click()
        await expect(page.locator("#night-at")).to_have_text(re.compile("^As it was"))
        await page.get_by_role("button", name="Back to live").click()

        identifier = parse_qs(urlsplit(page.url).query)["area"][0]
        await page.goto(f"{origin}/areas/{election}/{identifier}")
        assert await figures(page, *AREA) == area
        await page.locator("#crumbs a").first.click()
        await expect(page).to_have_url(f"{origin}/areas/{election}")
        assert await figures(page, *OVERVIEW) == overview
        assert visitor.errors == []
        assert visitor.requests_elsewhere(origin) == []


@session_loop
async def test_pages_name_the_mirror_and_may_read_from_its_origin_only(
    mirrored: Mirrored, http: aiohttp.ClientSession
) -> None:
    """Each page, and each script, since a worker has the policy of its script."""
    origin = mirrored.servers.origin_url
    base = mirrored.gateway.feed_url
    async with http.get(f"{base}/", headers={"Accept-Encoding": "identity"}) as response:
        (script,) = re.findall(r'src="(/static/\w+/)results.js"', await response.text())
    for path in (
        "/",
        f"/areas/{mirrored.election}",
        "/transfers",
        "/verify",
        "/embed",
        f"{script}night_worker.js",
    ):
        async with http.get(base + path, headers={"Accept-Encoding": "identity"}) as response:
            policy = response.headers["Content-Security-Policy"]
            assert re.findall("connect-src [^;]*", policy) == [f"connect-src 'self' {origin}"], path
            named = f'<meta name="valgnatt-mirror" content="{origin}">' in await response.text()
            assert named != path.endswith(".js"), path


@needs_chromium
async def test_the_other_pages_are_files_too(mirrored: Mirrored, browser: Browser) -> None:
    """Transfers and the frame; there is nothing for tokens, and no page of the API."""
    origin, election = mirrored.servers.origin_url, mirrored.election
    async with visiting(browser) as visitor:
        page = await visitor.open(f"{origin}/transfers?election={election}")
        await expect(page.locator("#sentence")).to_have_text(re.compile("published"))
        await expect(page.locator("#link")).to_have_text(FILES)
        await expect(page.locator("#own-section")).to_be_hidden()
        await picture(page, "files-transfers")
        names = [await link.inner_text() for link in await page.locator("nav a").all()]
        assert names == ["Results", "Transfers", "Verify"]
        await page.goto(f"{origin}/embed.html?election={election}&area={HERE}&show=summary,table")
        await expect(page.locator("#children tbody tr")).not_to_have_count(0)
        await expect(page.locator("#link")).to_have_text(FILES)
        await picture(page, "files-embed")
        assert visitor.errors == []
        assert visitor.requests_elsewhere(origin) == []


@needs_chromium
async def test_a_page_that_finds_its_gateway_full_reads_the_mirror_until_there_is_room(
    mirrored: Mirrored, http: aiohttp.ClientSession, browser: Browser
) -> None:
    """It shows what is published meanwhile, and that it reads files; the policy allows no other origin."""
    gateway, origin = mirrored.gateway, mirrored.servers.origin_url
    async with visiting(browser) as visitor:
        await visitor.own_profile()
        await visitor.context.clock.install()
        async with AsyncExitStack() as readers:
            await until(lambda: has_room(gateway))
            for _ in range(READERS - 1):
                stream = await readers.enter_async_context(
                    streaming(http, feed_url(gateway, mirrored.election))
                )
                await stream.block()
            page = await visitor.open(f"{gateway.feed_url}/areas/{mirrored.election}/{UNIT}")
            await expect(page.locator("#status.live #link")).to_have_text(FILES)
            await pushed(http, mirrored.sender, a_report(revision=90, votes=77))
            await expect(page.locator("#area-summary [data-figure=votes]")).to_have_text("77")
            await picture(page, "full")
            other = await visitor.open(f"{gateway.feed_url}/areas/{mirrored.election}/{UNIT}")
            await expect(other.locator("#link")).to_have_text(FILES)
            await expect(other.locator("#area-summary [data-figure=votes]")).to_have_text("77")
            polled = await other.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
            assert not [each for each in polled if "/live" in each], "tabs share what one of them reads"
        await until(lambda: has_room(gateway))
        await visitor.context.clock.fast_forward(RARE_S * 1000)
        await expect(page.locator("#link")).to_have_text("Live")
        await expect(other.locator("#link")).to_have_text("Live")
        await pushed(http, mirrored.sender, a_report(revision=91, votes=88))
        await expect(page.locator("#area-summary [data-figure=votes]")).to_have_text("88")
        assert visitor.errors == []
        assert visitor.requests_elsewhere(gateway.feed_url, origin) == []


@needs_chromium
async def test_a_page_whose_stream_is_blocked_or_kept_back_reads_the_mirror_and_says_how_old_it_is(
    mirrored: Mirrored, http: aiohttp.ClientSession, browser: Browser
) -> None:
    """No request gets through; later the stream has an answer and no block. Then the mirror ends, too."""
    gateway = mirrored.gateway
    async with visiting(browser) as visitor, cuttable_proxy(gateway.feed_url) as proxy:
        await visitor.own_profile()
        await visitor.context.clock.install()
        documents = re.compile(f"^{proxy.url}/v1/")
        await visitor.context.route(documents, lambda route: route.abort())
        page = await visitor.open(f"{proxy.url}/?election={mirrored.election}")
        await expect(page.locator("#title")).to_have_text("Generated election 7")
        await visitor.context.clock.fast_forward(8000)
        await expect(page.locator("#status.live #link")).to_have_text(FILES)
        await visitor.context.unroute(documents)
        await visitor.context.clock.fast_forward(RARE_S * 1000)
        await expect(page.locator("#link")).to_have_text("Live")
        votes = page.locator("#country [data-figure=votes]")
        before = await votes.inner_text()
        for language in BEHIND:
            await page.locator("#language").select_option(language)  # which loads its texts
            await expect(page.locator("html")).to_have_attribute("lang", language)
        await proxy.cut()
        proxy.answer = KEPT_BACK
        await proxy.restore()
        await visitor.context.clock.fast_forward(8000)
        await expect(page.locator("#status.live #link")).to_have_text(FILES)
        await pushed(http, mirrored.sender, a_report(revision=92, votes=99))
        await expect(votes).not_to_have_text(before)

        mirrored.writing.cancel()
        await asyncio.wait([mirrored.writing])
        await visitor.context.clock.fast_forward(180_000)
        for language, words in BEHIND.items():
            await page.locator("#language").select_option(language)
            await expect(page.locator("#status.lost #link")).to_have_text(re.compile(words))
            await picture(page, f"behind-{language}")
        assert [each for each in visitor.errors if "net::ERR_" not in each] == []
