"""The addresses of areas, also in previews and in searches, and the results in frames of other pages."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html import unescape

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, expect

from gateway.page_composition import EMBED_POLICY, FEED_PAGES, RESULTS_POLICY
from gateway.rehearsal.generator import GeneratedElection
from tests.counts import full_only
from tests.running import Gateway, Sender
from tests.web.browsing import (
    Visitor,
    cuttable_proxy,
    http_on_session_loop,
    needs_chromium,
    session_loop,
    visiting,
)
from tests.web.doors import COUNTRY, HERE, UNIT, a_registry, a_report, ask, pushed, shown

pytestmark = pytest.mark.long

http = http_on_session_loop


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser) -> AsyncIterator[Visitor]:
    """A visitor who reads English. Afterwards the console has no errors."""
    async with visiting(browser) as visitor:
        yield visitor
        assert visitor.errors == []


# What the server adds to a page.


@session_loop
async def test_previews_contain_names_and_nothing_that_changes(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession
) -> None:
    """Names are escaped, and in the language of the address.

    The page is the same under embargo, before the first count and after it.
    """
    opens = datetime.now(UTC) + timedelta(hours=1)
    name = 'Valg <b>"2024"</b> & $static'
    registry = a_registry(small, name=name, names={"nn": "Valet"}, publish_from=opens.isoformat())
    areas = [
        {**each, "names": {"nn": f"{each['name']} nynorsk"}} if each["id"] == HERE else each
        for each in registry["areas"]
    ]
    election = await gateway.load({**registry, "areas": areas})
    await shown(gateway, election)
    url = f"{gateway.feed_url}/areas/{election}/{HERE}"
    before = await ask(http, "GET", url)
    assert before.status == 200
    (title,) = re.findall(r"<title>(.*)</title>", before.body.decode())
    assert unescape(title) == f"Drøvheim · {name}"
    for member in ("og:title", "og:description"):
        assert f'<meta property="{member}" content="' in before.body.decode()
    assert "<b>" not in title
    assert '"2024"' not in before.body.decode()
    sender = await gateway.issue(election, [COUNTRY])
    await pushed(http, sender, a_report(votes=4711))
    after = await ask(http, "GET", url)
    assert after.body == before.body
    kept = {"If-None-Match": before.headers["ETag"]}
    assert (await ask(http, "GET", url, headers=kept)).status == 304
    for language, translated in (("nn", "Drøvheim nynorsk · Valet"), ("en", unescape(title))):
        page = await ask(http, "GET", f"{url}?lang={language}")
        assert f"<title>{translated}</title>" in unescape(page.body.decode())
    packed = await ask(http, "GET", url, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["ETag"] != before.headers["ETag"]
    country = await ask(http, "GET", f"{gateway.feed_url}/areas/{election}")
    assert f"<title>{title.partition(' · ')[2]}</title>" in country.body.decode()


@session_loop
async def test_unknown_areas_get_a_page_that_repeats_nothing(
    gateway: Gateway, election: str, http: aiohttp.ClientSession
) -> None:
    """With status 404, and the same for elections and areas, so that nothing can be concluded from it."""
    bodies = set()
    for path in (f"/areas/{election}/s3cret", "/areas/s3cret", "/areas/s3cret/0604", "/areas/%3Cb%3E/x"):
        for encoding in ("identity", "gzip"):
            answer = await ask(http, "GET", gateway.feed_url + path, headers={"Accept-Encoding": encoding})
            assert answer.status == 404, path
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Content-Security-Policy"] == RESULTS_POLICY
            bodies.add((encoding, answer.body))
    assert len(bodies) == 2
    assert b"s3cret" not in b"".join(body for _, body in bodies)


@session_loop
async def test_a_rehearsal_is_one_in_previews_too(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession
) -> None:
    election = await gateway.load(a_registry(small, rehearsal=True))
    await shown(gateway, election)
    page = await ask(http, "GET", f"{gateway.feed_url}/areas/{election}/{HERE}")
    assert "<title>ØVELSE · REHEARSAL · Drøvheim · " in page.body.decode()


@session_loop
async def test_only_the_page_for_frames_may_be_in_a_frame(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    """All other answers forbid it, and no answer sets a cookie."""
    assert EMBED_POLICY.count("frame-ancestors *") == 1
    for path in (
        *FEED_PAGES.pages,
        "/areas/unknown",
        "/v1/elections",
        "/static/0/app.css",
        "/static/0/embed.js",
    ):
        answer = await ask(http, "GET", gateway.feed_url + path)
        policy = answer.headers["Content-Security-Policy"]
        assert ("frame-ancestors *" in policy) == (path == "/embed"), path
        assert ("frame-ancestors 'none'" in policy) == (path != "/embed"), path
        assert "Set-Cookie" not in answer.headers


# The address.


@needs_chromium
async def test_search_and_order_are_in_the_address_and_the_back_button_restores_them(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """Search, level, order and colours; areas have addresses of their own, and earlier addresses lead to them."""
    await pushed(http, sender, a_report(votes=10))
    await shown(gateway, sender.election, 1)
    root = f"{gateway.feed_url}/areas/{sender.election}"
    page = await visitor.open(f"{gateway.feed_url}/?election={sender.election}#/area/{HERE}")
    await expect(page.locator("#area-title")).to_have_text("Drøvheim")
    assert page.url == f"{root}/{HERE}"
    await page.locator("#crumbs a").first.click()
    rows = page.locator("#areas tbody tr")
    await page.get_by_role("combobox", name="Show").select_option("municipality")
    await page.get_by_role("button", name="Ballots").click()
    await page.get_by_text("Share reporting").click()
    await page.get_by_role("searchbox").fill("DROVHEIM")
    await expect(rows).to_have_count(1)
    await page.wait_for_url(f"{root}?level=municipality&sort=-ballots&by=counted&q=DROVHEIM")
    await page.get_by_role("link", name="Drøvheim").last.click()
    await page.wait_for_url(f"{root}/{HERE}")
    await expect(page.locator("#overview")).to_be_hidden()
    await page.go_back()
    await expect(rows).to_have_count(1)
    shared = await visitor.open(page.url)
    for each in (page, shared):
        await expect(each.locator("#areas tbody tr")).to_have_count(1)
        await expect(each.get_by_role("searchbox")).to_have_value("DROVHEIM")
        await expect(each.get_by_role("columnheader", name="Ballots")).to_have_attribute(
            "aria-sort", "descending"
        )
        await expect(each.locator("#by-counted")).to_be_checked()
    await shared.get_by_role("link", name="Transfers").click()
    await shared.wait_for_url(f"{gateway.feed_url}/transfers?election={sender.election}")
    unknown = await visitor.context.new_page()
    await unknown.goto(f"{root}/unknown")
    await expect(unknown.locator("#area-title")).to_have_text("There is no area “unknown” in this election.")


@needs_chromium
async def test_a_search_finds_names_without_their_diacritics(gateway: Gateway, visitor: Visitor) -> None:
    """Also where letters do not decompose, in any form of Unicode, and in any order of the words."""
    page = await visitor.open(f"{gateway.feed_url}/verify")
    found = {
        "Vadsø": ["vadso", "vadsoe", "VADSØ", "dsø"],
        "Kárášjohka/Karasjok": ["karasjok", "karasjohka", "kárášjohka", "johka/kara"],
        "Ålesund": ["alesund", "aalesund", "a\u030alesund", "Å"],
        "Værøy": ["vaeroy", "værøy", "vaeroey"],
        "Deatnu Tana": ["tana deatnu"],
        "Unjárga Nesseby": ["unjarga"],
        "Gáivuotna Kåfjord Kaivuono": ["kafjord", "kaafjord", "gaivuotna"],
        "Divtasvuodna Tysfjord": ["tys divt"],
        "Snåase Snåsa": ["snaasa", "snasa", "snåsa"],
        "Loabák Đŋŧžčš": ["loabak dntzcs", "dngtzcs", "đŋŧžčš"],
    }
    cases = [(query, name) for name, queries in found.items() for query in queries]
    missed = [("vadsa", "Vadsø"), ("oslo bergen", "Oslo"), ("ø", "Hamar")]
    results = await page.evaluate(
        """async (cases) => {
            const { matcher } = await import("/static/0/search.js");
            return cases.map(([query, name]) => matcher(query)(name));
        }""",
        cases + missed,
    )
    assert [case for case, matched in zip(cases, results, strict=False) if not matched] == []
    assert results[len(cases) :] == [False] * len(missed)


# A phone.


@needs_chromium
async def test_a_phone_shows_names_votes_and_corrections_and_breaks_no_word_of_a_heading(
    gateway: Gateway,
    sender: Sender,
    small: GeneratedElection,
    http: aiohttp.ClientSession,
    browser: Browser,
) -> None:
    """At 360 pixels, in the language with the longest words; the choice of an election has a label."""
    await pushed(http, sender, a_report(votes=5000), a_report(revision=2, votes=239, reason="booking_error"))
    await gateway.load(a_registry(small))  # so that there is a choice
    await shown(gateway, sender.election, 2)
    root = f"{gateway.feed_url}/areas/{sender.election}"
    async with visiting(browser, viewport={"width": 360, "height": 780}, locale="nb-NO") as visitor:
        page = await visitor.open(root)
        party = page.locator("#country [data-party-row]").first
        for part in (".code", ".name", ".share", ".votes"):
            await expect(party.locator(part)).to_be_visible()
        row = page.locator(f'#areas tr[data-id="{HERE}"]')
        await expect(row.get_by_text("240 stemmesedler")).to_be_visible()
        await expect(row.get_by_text("1 rettelse")).to_be_visible()
        await expect(page.get_by_text("Valg", exact=True)).to_be_visible()
        for path in (root, f"{root}/{HERE}", f"{gateway.feed_url}/transfers?election={sender.election}"):
            if page.url != path:
                await page.goto(path)
            await expect(page.locator("table.wide:visible tbody tr").first).to_be_visible()
            assert await page.evaluate(BROKEN_WORDS) == [], path
            assert await page.evaluate("document.documentElement.scrollWidth") == 360
        assert visitor.errors == []


BROKEN_WORDS = """() => [...document.querySelectorAll("thead th")].flatMap((heading) => {
    const walker = document.createTreeWalker(heading, NodeFilter.SHOW_TEXT);
    const broken = [];
    while (walker.nextNode()) {
        for (const { 0: word, index } of walker.currentNode.data.matchAll(/\\S+/g)) {
            const range = document.createRange();
            range.setStart(walker.currentNode, index);
            range.setEnd(walker.currentNode, index + word.length);
            if (range.getClientRects().length > 1) broken.push(word);
        }
    }
    return broken;
})"""
"""Words of table headings that are on more than one line."""


@full_only
@needs_chromium
async def test_the_transfers_of_a_whole_country_fit_on_a_phone_with_the_most_urgent_first(
    gateway: Gateway, election: str, browser: Browser
) -> None:
    """The others are shown on request, when searched for, and in print."""

    async def whole_country(route: Route) -> None:
        response = await route.fetch()
        document = await response.json()
        first, *_ = document["transfers"]
        document["transfers"] = [
            {**first, "municipality": f"m{number}", "name": f"Fjordøya {number}"} for number in range(357)
        ]
        document["transfers"][300] |= {"accepted": 3, "published": 1, "oldest_unpublished_s": 40.0}
        await route.fulfill(response=response, json=document)

    async with visiting(browser, viewport={"width": 390, "height": 844}) as visitor:
        page = await visitor.new_tab()
        await page.route(re.compile(r"/v1/elections/[^/]+/transfers$"), whole_country)
        await page.goto(f"{gateway.feed_url}/transfers?election={election}")
        rows = page.locator("#list tbody tr")
        await expect(rows).to_have_count(25)
        await expect(rows.first).to_have_attribute("data-id", "m300")
        assert await page.evaluate("document.documentElement.scrollHeight") < 5 * 844
        await page.get_by_role("searchbox").fill("M356")
        await expect(rows).to_have_count(1)
        await page.get_by_role("searchbox").fill("")
        await expect(rows).to_have_count(25)
        await page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert await rows.count() == 357
        await page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert await rows.count() == 25
        await page.get_by_role("button", name="Show all 357").click()
        await expect(rows).to_have_count(357)


# Frames.


@needs_chromium
async def test_the_code_on_the_page_shows_the_results_in_a_frame_of_another_page(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """As it can be copied. The frame gets the height of its content, and what it links to opens outside of it."""
    await pushed(http, sender, a_report(votes=10), a_report(revision=2, votes=7, reason="booking_error"))
    await shown(gateway, sender.election, 2)
    results = await visitor.open(f"{gateway.feed_url}/areas/{sender.election}/{HERE}")
    await results.locator("#embed summary").click()
    await results.get_by_role("combobox", name="Content").select_option("summary,table")
    code = await results.locator("#embed-code").text_content()
    assert code is not None
    assert f'src="{gateway.feed_url}/embed?election={sender.election}&amp;area={HERE}&amp;show=' in code

    async with cuttable_proxy(gateway.feed_url) as news:
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n\r\n"
        news.answer = f"{head}<!doctype html><h1>News</h1>{code}".encode()
        await results.goto(news.url)
        frame = results.frame_locator("iframe")
        await expect(frame.locator("[data-figure=votes]")).to_have_text("7")
        await expect(frame.locator(f'#children tr[data-id="{UNIT}"]')).to_be_visible()
        await expect(results.locator("iframe")).not_to_have_attribute("height", "640")
        assert await frame.locator("form, input").count() == 0
        await pushed(http, sender, a_report(revision=3, votes=12))
        await expect(frame.locator("[data-figure=votes]")).to_have_text("12")
        async with results.context.expect_page() as opened:
            await frame.locator(f'#children tr[data-id="{UNIT}"] a').click()
        assert (await opened.value).url == f"{gateway.feed_url}/areas/{sender.election}/{UNIT}"
        kept = await results.frames[1].evaluate(
            "[localStorage.length, sessionStorage.length, document.cookie]"
        )
        assert kept == [0, 0, ""]
        await results.goto(f"{gateway.feed_url}/embed?election={sender.election}&show=summary,<b>")
        await expect(results.locator("#problem")).to_have_text(
            "There is no part “<b>”; show= takes summary, figures, parties, table, corrections, seats."
        )
