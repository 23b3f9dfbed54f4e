"""The pages in a real browser: they show the official figures, recover by themselves, and are accessible."""

import gzip
import json
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import pytest
import pytest_asyncio
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Locator, Page, expect

from gateway.page_composition import (
    DIRECTORY,
    FEED_PAGES,
    OPENAPI,
    POLICY,
    PUSH_PAGES,
    TEXTS,
    DoorPages,
    static_files,
)
from gateway.rehearsal.generator import GeneratedElection
from gateway.web.pages import add_pages
from tests.counts import EXTENT, full_only, variants
from tests.running import Gateway, Sender
from tests.web.browsing import (
    BLANK,
    Visitor,
    cuttable_proxy,
    http_on_session_loop,
    needs_chromium,
    session_loop,
    visiting,
)
from tests.web.doors import COUNTRY, HERE, UNIT, a_registry, a_report, ask, pushed, shown, units_of

MUNICIPALITIES = ("0101", "0201", "0604")

pytestmark = pytest.mark.long

http = http_on_session_loop


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser, gateway: Gateway) -> AsyncIterator[Visitor]:
    """A visitor who reads English. Afterwards the console has no errors, and no other host got a request."""
    async with visiting(browser) as visitor:
        yield visitor
        assert visitor.errors == []
        assert visitor.requests
        assert visitor.requests_elsewhere(gateway.feed_url) == []


def place(gateway: Gateway, election: str, path: str = "/", query: str = "") -> str:
    """Return the address of a page for an election; `path` may end with a fragment."""
    path, mark, fragment = path.partition("#")
    return f"{gateway.feed_url}{path}?election={election}{query}{mark}{fragment}"


def figure(page: Page, name: str) -> Locator:
    return page.locator(f"#country [data-figure={name}]")


def english(count: int) -> str:
    return f"{count:,}"


def official(small: GeneratedElection) -> dict[str, dict[str, Any]]:
    """Return the final official line of each area."""
    return {line["area"]: line for line in small.official if line.get("final")}


def total(areas: list[Mapping[str, Any]]) -> tuple[int, dict[str, int]]:
    """Return ballots, and votes by party, of areas over all categories."""
    ballots, votes = 0, dict[str, int]()
    for area in areas:
        for counts in area["counts"].values():
            ballots += counts["ballots"]
            for party, count in counts["votes"].items():
                votes[party] = votes.get(party, 0) + count
    return ballots, votes


# A night.


@needs_chromium
async def test_the_night_opens_on_the_page_and_ends_with_the_official_figures(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """Hidden figures and a countdown, then the release without a reload, finally every official figure."""
    opens = datetime.now(UTC) + timedelta(seconds=9)
    election = await gateway.load(a_registry(small, publish_from=opens.isoformat()))
    sender = await gateway.issue(election, [COUNTRY])
    reports = [line["report"] for line in small.reports]
    page = await visitor.open(place(gateway, election))
    await expect(page.locator("#countdown")).to_have_text(re.compile(r"00:00:0\d"))
    await expect(figure(page, "units")).to_have_text("–")
    await expect(page.locator("#country [data-of=units]")).to_have_text(
        re.compile(r"^hidden until \d\d:\d\d$")
    )
    receipts = await pushed(http, sender, *reports[:120])
    assert {receipt["state"] for receipt in receipts} == {"embargoed"}
    await expect(page.locator("#embargo")).to_be_visible()
    await expect(figure(page, "votes")).to_have_text("–")

    await expect(page.locator("#embargo")).to_be_hidden()
    await expect(figure(page, "units")).to_have_text(re.compile(r"^[1-9]"))
    await expect(page.locator("#areas")).not_to_contain_text("hidden")
    await pushed(http, sender, *reports[120:])

    finals = official(small)
    leaves = [finals[area["id"]] for area in small.registry["areas"] if area["level"] == "municipality"]
    ballots, votes = total(leaves)
    eligible = next(area["eligible"] for area in small.registry["areas"] if area["id"] == COUNTRY)
    turnout = page.locator("#country [data-of=turnout]")
    await expect(turnout).to_have_text(f"{english(ballots)} ballots · {english(eligible)} eligible")
    await expect(figure(page, "votes")).to_have_text(english(sum(votes.values())))
    await page.get_by_role("button", name="Show all parties").click()
    for party, count in votes.items():
        row = page.locator(f'#country [data-party-row="{party}"]')
        if count:
            await expect(row.locator(".votes")).to_have_text(english(count))
            await expect(row.locator(".share")).to_have_text(f"{100 * count / sum(votes.values()):.1f}%")
    for municipality in MUNICIPALITIES:
        ballots, _ = total([finals[municipality]])
        row = page.locator(f'#areas tr[data-id="{municipality}"]')
        await expect(row.locator("td").nth(1)).to_have_text(english(ballots))
    await expect(page.locator("#link")).to_have_text("Live")


@full_only
@needs_chromium
async def test_a_lost_connection_is_shown_and_restored(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession, browser: Browser
) -> None:
    """The page says since when, keeps its figures, and shows what it missed once it is connected again."""
    await pushed(http, sender, a_report(votes=10))
    await shown(gateway, sender.election, 1)
    async with cuttable_proxy(gateway.feed_url) as proxy, visiting(browser) as visitor:
        page = await visitor.open(f"{proxy.url}/?election={sender.election}")
        await expect(figure(page, "votes")).to_have_text("10")
        await proxy.cut()
        await expect(page.locator("#status.lost #link")).to_have_text(
            re.compile(r"Connection lost at \d\d:\d\d:\d\d \(\d+ s ago\)")
        )
        await expect(page.locator("#announcement")).to_have_text(re.compile("connection is lost"))
        await pushed(http, sender, a_report(revision=2, votes=20))
        await expect(figure(page, "votes")).to_have_text("10")
        await proxy.restore()
        await expect(page.locator("#status.live #link")).to_have_text("Live")
        await expect(figure(page, "votes")).to_have_text("20")
        await expect(page.locator("#announcement")).to_have_text("The connection is back.")
        assert [each for each in visitor.errors if "net::ERR_" not in each] == []
        assert visitor.requests_elsewhere(proxy.url) == []


@needs_chromium
async def test_a_correction_is_marked_and_explained(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """On the pages of the country, the municipality and the unit, with a history that shows the fall."""
    await pushed(http, sender, a_report(votes=5000), a_report(revision=2, votes=239, reason="booking_error"))
    page = await visitor.open(place(gateway, sender.election))
    explained = re.compile(
        r"5,001 → 240 ballots \(-4,761\): data entry error; public for .+, until \d\d:\d\d:\d\d"
    )
    await expect(page.locator("#corrections-list li")).to_contain_text([explained])
    await page.locator("#corrections-list a").click()
    await expect(page.locator("#area-title")).to_be_focused()
    await expect(page.locator("#area-corrections-list li")).to_contain_text([explained])
    short = "Ballots fell by 4,761: data entry error"
    await expect(page.locator(f'#children tr[data-id="{UNIT}"]')).to_contain_text(short)
    await expect(page.locator("#history-state")).to_have_text(re.compile("^2 publications from"))
    await expect(page.locator("#plot svg")).to_have_attribute("aria-label", re.compile("now 240; fell once"))
    await expect(page.locator("#plot .fall")).to_have_count(1)
    await pushed(http, sender, a_report(revision=3, votes=300))
    await expect(page.locator("#area-summary [data-figure=votes]")).to_have_text("300")
    await expect(page.locator("#history-state")).to_have_text(re.compile("^3 publications from"))
    await page.locator("#history-details summary").click()
    await expect(page.locator("#history tbody tr")).to_have_count(3)
    await page.locator(f'#children tr[data-id="{UNIT}"] a').click()
    await expect(page.locator("#area-corrections-list li")).to_contain_text([explained])
    await page.locator("#crumbs a").first.click()
    await expect(page.locator("#overview")).to_be_visible()


@needs_chromium
async def test_a_long_history_is_read_completely(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """Whole ranges by their chain value, which caches keep, then the rest."""
    await pushed(http, sender, *(a_report(revision=each, votes=each) for each in range(1, 1204)))
    await shown(gateway, sender.election, 1203)
    page = await visitor.open(place(gateway, sender.election, f"/#/area/{HERE}"))
    await expect(page.locator("#history-state")).to_have_text(re.compile("^1,203 publications"))
    asked = [url for url in visitor.requests if "/publications" in url]
    assert any(re.search(r"/publications/1-1000\?chain=[0-9a-f]{64}$", url) for url in asked)
    assert any("/publications?after=1000&" in url for url in asked)


@needs_chromium
@pytest.mark.parametrize("path", variants(["/", "/transfers"], "/transfers"))
async def test_a_rehearsal_is_marked_as_one(
    gateway: Gateway, small: GeneratedElection, visitor: Visitor, path: str
) -> None:
    """At the top of the page."""
    election = await gateway.load(a_registry(small, rehearsal=True))
    page = await visitor.open(place(gateway, election, path))
    await expect(page.locator("#rehearsal")).to_have_text(re.compile("^REHEARSAL"))


# Transfers.


@needs_chromium
async def test_the_transfers_page_shows_the_state_of_the_night(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """In one sentence, in totals and by municipality, including what was delivered to the page itself."""
    election = await gateway.load(a_registry(small))
    sender = await gateway.issue(election, [COUNTRY])
    page = await visitor.open(place(gateway, election, "/transfers"))
    sentence = page.locator("#sentence")
    await expect(sentence).to_have_text("No counts have been received yet.")
    await expect(page.locator("#link")).to_have_text("Live")
    await pushed(http, sender, a_report())
    await expect(sentence).to_have_text(
        re.compile(
            rf"^Everything received is published; {len(units_of(small)) - 1} units to come\."
            r" Slowest .*: Drøvheim, .* m?s\.$"
        )
    )
    await pushed(http, sender, *(line["report"] for line in small.reports if line["report"]["unit"] != UNIT))
    await expect(sentence).to_have_text(
        re.compile(
            rf"^Everything received is published; all {len(units_of(small))} units have reported\. "
            r"Slowest in the last 10 minutes: .*, .* m?s\.$"
        )
    )
    await expect(sentence).to_have_class("sentence good")
    reports = english(1 + sum(line["report"]["unit"] != UNIT for line in small.reports))
    for name in ("accepted", "published"):
        await expect(page.locator(f"#totals [data-figure={name}]")).to_have_text(reports)
    delivered = await page.locator("#totals [data-of=delivered]").inner_text()
    await expect(page.locator("#totals [data-figure=delivered]")).to_have_text(
        delivered.removeprefix("of ").removesuffix(" units")
    )
    await page.get_by_role("searchbox").fill("drøvheim")
    await expect(page.locator("#list tbody tr")).to_have_count(1)


@needs_chromium
async def test_pages_show_hidden_figures_as_hidden(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """Neither as 0 nor as "never", in figures, tables, tiles and the page of an area."""
    opens = datetime.now(UTC) + timedelta(hours=1)
    election = await gateway.load(a_registry(small, publish_from=opens.isoformat()))
    await pushed(http, await gateway.issue(election, [HERE]), a_report())
    until = f"hidden until {opens.astimezone(ZoneInfo('Europe/Oslo')):%H:%M}"
    ready = {"/": "#areas tbody tr", "/transfers": "#list tbody tr"}
    page = await visitor.new_tab()
    for path in ("/", f"/#/area/{HERE}", "/transfers"):
        await page.goto(BLANK)
        await page.goto(place(gateway, election, path))
        await expect(page.locator(ready.get(path, "#area-summary [data-of=units]")).first).to_be_visible()
        await expect(page.locator("[data-of=units]:visible")).to_have_text(until)
        labels = await page.evaluate(
            """[...document.querySelectorAll("[aria-label], [title]")]
                .map((element) => `${element.ariaLabel} ${element.title}`).join("\\n")"""
        )
        text = f"{await page.locator('main').inner_text()}\n{labels}"
        for wrong in (
            r"(?<![\d:.,])0(?![\d:.,])",
            r"\bnever\b(?! stored)",
            r"0\.0",
            "no report",
            "no figures yet",
            "Nothing has been published",
        ):
            assert not re.search(wrong, text), (path, wrong, re.findall(f".*{wrong}.*", text))


@needs_chromium
async def test_late_counts_are_named_with_their_age(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """In both languages, and marked in the table, until they are published."""
    await pushed(http, sender, a_report())
    await shown(gateway, sender.election, 1)
    page = await visitor.open(place(gateway, sender.election, "/transfers"))
    sentence = page.locator("#sentence")
    await expect(sentence).to_have_class("sentence good")

    async def held_up(route: Any) -> None:
        response = await route.fetch()
        document = await response.json()
        for transfer in document["transfers"]:
            if transfer["municipality"] == HERE:
                transfer |= {"accepted": transfer["published"] + 12, "oldest_unpublished_s": 34.2}
        await route.fulfill(response=response, json=document)

    pattern = re.compile(r"/v1/elections/[^/]+/transfers$")
    await page.route(pattern, held_up)
    await expect(sentence).to_have_text("12 counts from Drøvheim have been waiting for 34 s.")
    await expect(sentence).to_have_class("sentence bad")
    await expect(page.locator("#list tbody tr").first.locator(".late")).to_have_text("34 s")
    await page.locator("#language").select_option("nb")
    await expect(sentence).to_have_text("12 tellinger fra Drøvheim har ventet i 34 s.")
    await page.unroute_all(behavior="wait")
    await expect(sentence).to_have_class("sentence good")


@needs_chromium
async def test_a_token_shows_its_own_counts_before_the_release_and_is_not_stored(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """It is sent to the push door only, as `Authorization`, and forgotten on request."""
    opens = datetime.now(UTC) + timedelta(hours=1)
    election = await gateway.load(a_registry(small, publish_from=opens.isoformat()))
    sender = await gateway.issue(election, [HERE])
    await pushed(http, sender, a_report(), a_report(revision=2, votes=11))
    page = await visitor.open(place(gateway, election, "/transfers", "&push=/push"))
    shown_to: list[str] = []

    async def push_door(route: Any) -> None:
        shown_to.append(route.request.headers.get("authorization", ""))
        onward = gateway.push_url + route.request.url.partition("/push")[2]
        await route.fulfill(response=await route.fetch(url=onward))

    await page.route("**/push/v1/**", push_door)
    sentence = page.locator("#sentence")
    await expect(sentence).to_have_text(re.compile(r"^Hidden until \d\d:\d\d, in 00:59:..: nothing that"))
    await page.get_by_label("Token").fill(sender.secret)
    await page.get_by_role("button", name="Show my counts").click()
    await expect(page.locator("#own tbody tr")).to_have_count(1)
    await expect(sentence).to_have_text(
        "1 municipality is waiting for the end of the embargo, with 2 counts received."
    )
    assert set(shown_to) == {f"Bearer {sender.secret}"}
    kept = await page.evaluate(
        "JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])"
    )
    assert sender.secret not in kept
    assert sender.secret not in await page.content()
    assert not [url for url in visitor.requests if sender.secret in url]
    await page.get_by_role("button", name="Forget the token").click()
    await expect(page.locator("#own")).to_be_hidden()
    await expect(sentence).to_have_text(re.compile("^Hidden until "))


@needs_chromium
async def test_a_push_door_of_another_origin_is_explained_and_gets_no_token(
    gateway: Gateway, election: str, visitor: Visitor
) -> None:
    """The policy of the page allows its own origin only."""
    elsewhere = gateway.push_url
    page = await visitor.open(place(gateway, election, "/transfers", f"&push={elsewhere}"))
    await page.get_by_label("Token").fill("secret")
    await page.get_by_role("button", name="Show my counts").click()
    await expect(page.locator("#own-status")).to_have_text(re.compile("own address only"))


# For everyone.


@needs_chromium
async def test_the_language_follows_the_browser_and_a_choice_is_remembered(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession, browser: Browser
) -> None:
    """For texts, numbers and the `lang` of the document. The menu has the languages by their own names."""
    await pushed(http, sender, a_report(votes=12_345))
    async with visiting(browser, locale="nb-NO") as visitor:
        page = await visitor.open(place(gateway, sender.election))
        await expect(page.locator("html")).to_have_attribute("lang", "nb")
        await expect(figure(page, "votes")).to_have_text(re.compile(r"^12\s345$"))
        await expect(page.get_by_role("heading", name="Kommunene")).to_be_visible()
        menu = page.get_by_role("combobox", name="Språk")
        assert await menu.locator("option").all_text_contents() == ["Bokmål", "English", "Nynorsk"]
        await menu.select_option("nn")
        await expect(page.locator("html")).to_have_attribute("lang", "nn")
        await expect(page.get_by_role("heading", name="Kommunane")).to_be_visible()
        await expect(figure(page, "votes")).to_have_text(re.compile(r"^12\s345$"))
        await menu.select_option("en")
        await expect(page.locator("html")).to_have_attribute("lang", "en")
        await expect(figure(page, "votes")).to_have_text("12,345")
        await expect(page.get_by_role("columnheader", name="Turnout")).to_be_visible()
        await page.goto(place(gateway, sender.election, "/transfers"))
        await expect(page.get_by_role("heading", name="Where are the counts?")).to_be_visible()
        assert visitor.errors == []


@needs_chromium
@pytest.mark.parametrize(
    ("wanted", "found"),
    variants([("nn-NO", "nn"), ("no", "nb"), ("sv-SE", "en")], ("no", "nb"), ("sv-SE", "en")),
)
async def test_a_browser_gets_the_first_of_its_languages_that_there_is(
    gateway: Gateway, browser: Browser, wanted: str, found: str
) -> None:
    """Otherwise English."""
    async with visiting(browser, locale=wanted) as visitor:
        page = await visitor.open(f"{gateway.push_url}/count")
        await expect(page.locator("html")).to_have_attribute("lang", found)
        await expect(page.locator("#language")).to_have_value(found)


@needs_chromium
async def test_a_language_is_added_by_adding_its_file(tmp_path: Path, browser: Browser) -> None:
    """It is served, in the menu, and the language of readers whose browsers ask for it."""
    texts = tmp_path / "added"
    shutil.copytree(TEXTS, texts)
    source = (TEXTS / "en.js").read_text()
    source = source.replace('"English"', '"Davvi"').replace('"Skip to content"', '"Njuike"')
    (texts / "se.js").write_text(source)
    application = web.Application()
    add_pages(application, FEED_PAGES, texts)
    async with TestServer(application) as server, visiting(browser, locale="se-NO") as visitor:
        page = await visitor.open(f"{server.make_url('/docs')}")
        await expect(page.locator("html")).to_have_attribute("lang", "se")
        await expect(page.locator("#skip")).to_have_text("Njuike")
        names = await page.locator("#language option").all_text_contents()
        assert names == ["Bokmål", "Davvi", "English", "Nynorsk"]


@needs_chromium
async def test_names_are_in_the_language_of_the_page(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """Of the election, areas and parties, also after the language is changed; where there is none, the `name`."""
    registry = a_registry(small, names={"nn": "Valet i år"})
    names = {HERE: {"en": "Drovheim", "SE": "Drøvheapmi"}, UNIT: {"nn": "Krins 1"}}
    registry["areas"] = [{**area, "names": names.get(area["id"], {})} for area in registry["areas"]]
    registry["parties"] = [
        {**party, "names": {"nn": f"{party['name']} på nynorsk"}} for party in registry["parties"]
    ]
    sender = await gateway.issue(await gateway.load(registry), [COUNTRY])
    await pushed(http, sender, a_report(votes=50))

    page = await visitor.open(place(gateway, sender.election))
    row = page.locator(f'#areas tr[data-id="{HERE}"] a').first
    await expect(row).to_have_text("Drovheim")
    await expect(page.locator("#title")).to_have_text("Generated election 7")
    await expect(page.locator(f'[data-tile="{HERE}"]')).to_have_attribute(
        "aria-label", re.compile("^Drovheim, ")
    )
    await page.get_by_role("searchbox").fill("heapmi")
    await expect(page.locator("#areas tbody tr")).to_have_count(1)
    await page.locator("#language").select_option("nn")
    await expect(row).to_have_text("Drøvheim")
    await expect(page.locator("#title")).to_have_text("Valet i år")
    await expect(page.locator("#elections option:checked")).to_have_text(re.compile("^Valet i år"))
    await expect(page.locator(f'[data-tile="{HERE}"]')).to_have_attribute(
        "aria-label", re.compile("^Drøvheim, ")
    )
    await expect(page.get_by_text("Fellesligaen på nynorsk").first).to_be_visible()

    await page.goto(place(gateway, sender.election, f"/#/area/{UNIT}"))
    await expect(page.locator("#area-title")).to_have_text("Krins 1")
    await expect(page).to_have_title("Krins 1 · Valet i år")
    await page.goto(place(gateway, sender.election, "/transfers"))
    await expect(page.locator("#title")).to_have_text("Valet i år")
    await expect(page.locator(f'#list tr[data-id="{HERE}"]')).to_contain_text("Drøvheim")
    await page.locator("#language").select_option("en")
    await expect(page.locator(f'#list tr[data-id="{HERE}"]')).to_contain_text("Drovheim")


@needs_chromium
async def test_every_language_has_the_same_texts(gateway: Gateway, browser: Browser) -> None:
    """The same keys in the same order, and as many figures in each text. Types check this too (`make pages`)."""
    async with visiting(browser) as visitor:
        page = await visitor.open(f"{gateway.push_url}/count")
        shapes = await page.evaluate(
            """async () => {
                const { src } = document.querySelector("script");
                const { LANGUAGES, loadLanguage } = await import(src.replace("count.js", "texts.js"));
                const inner = (texts) => Object.entries(texts).map(([key, text]) => [key, shape(text)]);
                const shape = (text) => typeof text === "object" ? inner(text) : typeof text + text.length * !text.at;
                const loaded = await Promise.all(Object.keys(LANGUAGES).map(loadLanguage));
                return Object.fromEntries(loaded.map(({ tag, texts }) => [tag, shape(texts)]));
            }"""
        )
    assert shapes.keys() == {path.stem for path in TEXTS.iterdir()}
    for shape in shapes.values():
        assert shape == shapes["nb"]


@needs_chromium
async def test_texts_have_the_right_plural_in_every_language(gateway: Gateway, browser: Browser) -> None:
    """One of something is in the singular; large numbers are grouped as the language does it."""
    async with visiting(browser) as visitor:
        page = await visitor.open(f"{gateway.push_url}/count")
        texts = await page.evaluate(
            """async () => {
                const { src } = document.querySelector("script");
                const { loadLanguage } = await import(src.replace("count.js", "texts.js"));
                const loaded = await Promise.all(["nb", "nn", "en"].map(loadLanguage));
                return loaded.map(({ texts }) => [
                    texts.correctionsTitle(1), texts.correctionsTitle(1234),
                    texts.ofEligible(1, 1), texts.besides(1, 2),
                    texts.plotLabel(1, "20:00", "21:00", 1, 1), texts.plotLabel(2, "20:00", "21:00", 5, 2),
                    texts.sentenceWaits(1, "Oslo", "3 s") + texts.sentenceMoreWait(1),
                    texts.sentencePublished(0, 1), texts.sentencePublished(1, 2), texts.sentencePublished(0, 1234),
                    texts.sentencePublished(1094, 3486), texts.sentenceUnderWay(1, 2),
                    texts.sentenceEmbargoOwn(1, 1), texts.totalsReports(1),
                    texts.lost("21:00:00", "3 s"), texts.colRevision, texts.colLagTail, texts.colTurnout,
                ]);
            }"""
        )
    bokmål, nynorsk, english = ([text.replace("\xa0", " ") for text in each] for each in texts)
    assert bokmål == [
        "1 rettelse",
        "1 234 rettelser",
        "1 stemmeseddel · 1 stemmeberettiget",
        "1 blank · 2 forkastede",
        "Stemmesedler over tid: 1 publisering fra 20:00 til 21:00, nå 1; gikk ned én gang.",
        "Stemmesedler over tid: 2 publiseringer fra 20:00 til 21:00, nå 5; gikk ned 2 ganger.",
        "1 telling fra Oslo har ventet i 3 s. 1 annen kommune venter også.",
        "Alt som er mottatt, er publisert; tellestedet har tall.",
        "Alt som er mottatt, er publisert; 1 tellested gjenstår.",
        "Alt som er mottatt, er publisert; alle 1 234 tellesteder har tall.",
        "Alt som er mottatt, er publisert; 1 094 tellesteder gjenstår.",
        "1 mottatt telling publiseres nå; 2 tellesteder gjenstår.",
        "1 kommune venter på at resultatene offentliggjøres, med 1 mottatt telling.",
        "melding",
        "Forbindelsen har vært brutt siden 21:00:00 (i 3 s). Kobler til igjen automatisk.",
        "Versjon",
        "Tregeste 1 %",
        "Valgdeltakelse",
    ]
    assert nynorsk == [
        "1 retting",
        "1 234 rettingar",
        "1 røystesetel · 1 med røysterett",
        "1 blank · 2 forkasta",
        "Røystesetlar over tid: 1 publisering frå 20:00 til 21:00, no 1; gjekk ned éin gong.",
        "Røystesetlar over tid: 2 publiseringar frå 20:00 til 21:00, no 5; gjekk ned 2 gonger.",
        "1 teljing frå Oslo har venta i 3 s. 1 annan kommune ventar òg.",
        "Alt som er motteke, er publisert; teljestaden har tal.",
        "Alt som er motteke, er publisert; 1 teljestad står att.",
        "Alt som er motteke, er publisert; alle 1 234 teljestader har tal.",
        "Alt som er motteke, er publisert; 1 094 teljestader står att.",
        "1 motteken teljing blir publisert no; 2 teljestader står att.",
        "1 kommune ventar på at resultata blir offentleggjorde, med 1 motteken teljing.",
        "melding",
        "Sambandet har vore brote sidan 21:00:00 (i 3 s). Koplar til igjen automatisk.",
        "Versjon",
        "Tregaste 1 %",
        "Valdeltaking",
    ]
    assert english == [
        "1 correction",
        "1,234 corrections",
        "1 ballot · 1 eligible",
        "1 blank · 2 rejected",
        "Ballots over time: 1 publication from 20:00 to 21:00, now 1; fell once.",
        "Ballots over time: 2 publications from 20:00 to 21:00, now 5; fell 2 times.",
        "1 count from Oslo has been waiting for 3 s. 1 other municipality is waiting too.",
        "Everything received is published; the unit has reported.",
        "Everything received is published; 1 unit to come.",
        "Everything received is published; all 1,234 units have reported.",
        "Everything received is published; 1,094 units to come.",
        "1 count received and being published; 2 units to come.",
        "1 municipality is waiting for the end of the embargo, with 1 count received.",
        "report",
        "Connection lost at 21:00:00 (3 s ago). Reconnecting automatically.",
        "Revision",
        "Slowest 1%",
        "Turnout",
    ]


@needs_chromium
async def test_the_table_is_searched_and_sorted_by_keyboard(
    gateway: Gateway, sender: Sender, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """The tiles are one tab stop, with arrow keys to move between them."""
    await pushed(http, sender, a_report(votes=10), a_report("0602-0001", votes=500))
    page = await visitor.open(place(gateway, sender.election))
    await expect(figure(page, "votes")).to_have_text("510")
    names = page.locator("#areas tbody tr")
    await page.get_by_role("combobox", name="Show").select_option("municipality")
    await expect(names).to_have_count(7)

    await page.get_by_role("button", name="Ballots").focus()
    await page.keyboard.press("Enter")
    heading = page.get_by_role("columnheader", name="Ballots")
    await expect(heading).to_have_attribute("aria-sort", "descending")
    await expect(names.first).to_have_attribute("data-id", "0602")
    await page.keyboard.press("Space")
    await expect(heading).to_have_attribute("aria-sort", "ascending")
    await expect(names.last).to_have_attribute("data-id", "0602")

    await page.get_by_role("searchbox").focus()
    await page.keyboard.type("DRØV")
    await expect(names).to_have_count(1)
    await page.keyboard.press("Tab")
    await page.get_by_role("link", name="Drøvheim").last.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#area-title")).to_have_text("Drøvheim")
    await page.go_back()

    tiles = page.locator(".tile")
    await expect(page.locator('.tile[tabindex="0"]')).to_have_count(1)
    await page.locator('.tile[tabindex="0"]').focus()
    await page.keyboard.press("ArrowRight")
    await expect(tiles.nth(1)).to_be_focused()
    await expect(page.locator("#tile-description")).to_have_text(re.compile(r"^\S.+ · "))


@needs_chromium
@pytest.mark.parametrize(("turn", "scheme"), variants([(0, "light"), (1, "dark")], (1, "dark")))
async def test_on_a_phone_no_page_scrolls_sideways_and_text_stands_out(
    gateway: Gateway,
    sender: Sender,
    http: aiohttp.ClientSession,
    small: GeneratedElection,
    browser: Browser,
    turn: int,
    scheme: Any,
) -> None:
    """At 320 pixels, in every language, light and dark, with a contrast of at least 4.5.

    In `make test` every other page, in the dark.
    """
    paths = ("/", f"/#/area/{HERE}", f"/#/area/{UNIT}", "/transfers", "/docs")
    visited = paths if EXTENT == "full" else paths[turn::2]
    await pushed(http, sender, *(line["report"] for line in small.reports))
    await shown(gateway, sender.election, len(small.reports))
    viewport = {"width": 320, "height": 700}
    async with visiting(browser, viewport=viewport, color_scheme=scheme, locale="nb-NO") as visitor:
        page = await visitor.new_tab()
        for path in visited:
            await page.goto(BLANK)
            await page.goto(place(gateway, sender.election, path))
            ready = {"/docs": "#document h1", "/transfers": "#list tbody tr", "/": "#areas tbody tr"}
            await expect(page.locator(ready.get(path, "#plot svg")).first).to_be_visible()
            for language in ("nn", "en", "nb"):
                await page.locator("#language").select_option(language)
                await expect(page.locator("html")).to_have_attribute("lang", language)
                assert await page.evaluate("document.documentElement.scrollWidth") == 320, path
            ground, ink, soft = await page.evaluate(
                """() => {
                    const probe = (name) => {
                        const element = document.body.appendChild(document.createElement("i"));
                        element.style.setProperty("color", `var(--${name})`);
                        return getComputedStyle(element).color.match(/\\d+/g).map(Number);
                    };
                    return [probe("ground"), probe("ink"), probe("soft")];
                }"""
            )
            assert (sum(ground) < 3 * 64) == (scheme == "dark")
            assert contrast(ground, ink) >= 7
            assert contrast(ground, soft) >= 4.5
        assert visitor.errors == []


def contrast(one: list[int], other: list[int]) -> float:
    """Return the contrast ratio of two colours. Source: WCAG 2.2."""

    def luminance(colour: list[int]) -> float:
        parts = [part / 255 for part in colour]
        red, green, blue = (
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@needs_chromium
async def test_the_api_page_shows_the_whole_description(gateway: Gateway, visitor: Visitor) -> None:
    """Every operation, status and schema, from JSON that equals the YAML."""
    page = await visitor.open(f"{gateway.feed_url}/docs")
    await expect(page.locator("#contents a").first).to_be_visible()
    document = yaml.safe_load(OPENAPI.read_text())
    read = await page.evaluate(
        """async () => {
            const { src } = document.querySelector("script");
            return (await fetch(src.replace("docs.js", "openapi.json"))).text();
        }"""
    )
    assert json.loads(read) == json.loads(json.dumps(document))
    shown = await page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("article[id]")].map((article) => [
            article.id,
            [article.querySelector("h3").textContent, [...article.querySelectorAll("*")].map((e) => e.textContent)],
        ]))"""
    )
    for item in document["paths"].values():
        for method in ("get", "post"):
            if method in item:
                heading, texts = shown[item[method]["operationId"]]
                assert heading == item[method]["summary"]
                assert set(item[method]["responses"]) <= {text.strip() for text in texts}
    await expect(page.locator(".schema")).to_have_count(len(document["components"]["schemas"]))


# The files.


@session_loop
@pytest.mark.parametrize("door", [FEED_PAGES, PUSH_PAGES], ids=["feed", "push"])
async def test_every_file_has_a_policy_and_an_etag(
    gateway: Gateway, http: aiohttp.ClientSession, door: DoorPages
) -> None:
    """Compressed if accepted, 304 if cached; files that pages link to are cached for good."""
    url = gateway.feed_url if door is FEED_PAGES else gateway.push_url
    documents = [f"/{path.name}" for path in door.documents]
    texts = {path: (await ask(http, "GET", url + path)).body.decode() for path in (*door.pages, *documents)}
    (version,) = {found for text in texts.values() for found in re.findall(r'"/?static/(\w+)/', text)}
    names = [path.name for path in static_files(door)]
    assert len(names) > 5
    names += [f"texts/{path.name}" for path in TEXTS.iterdir()]
    for path in (*texts, *(f"/static/{version}/{name}" for name in names)):
        policy = door.pages[path].policy if path in door.pages else POLICY
        plain = await ask(http, "GET", url + path)
        assert plain.status == 200
        assert plain.headers["Content-Security-Policy"] == policy
        assert plain.headers["X-Content-Type-Options"] == "nosniff"
        lasting = "immutable" in plain.headers["Cache-Control"]
        assert lasting == path.startswith("/static/")
        packed = await ask(http, "GET", url + path, headers={"Accept-Encoding": "br, gzip;q=0.8"})
        if packed.headers.get("Content-Encoding") == "gzip":
            assert packed.headers["ETag"] != plain.headers["ETag"]
            assert gzip.decompress(packed.body) == plain.body
        else:
            assert len(plain.body) < 1000
        none = await ask(http, "GET", url + path, headers={"Accept-Encoding": "gzip;q=0"})
        assert none.body == plain.body
        for answer in (plain, packed):
            encoding = answer.headers.get("Content-Encoding", "identity")
            held = {"If-None-Match": answer.headers["ETag"], "Accept-Encoding": encoding}
            unchanged = await ask(http, "GET", url + path, headers=held)
            assert (unchanged.status, unchanged.body) == (304, b"")
            assert unchanged.headers["ETag"] == answer.headers["ETag"]
            assert unchanged.headers["Content-Security-Policy"] == policy
    other = await ask(http, "GET", f"{url}/static/0/app.css")
    assert other.headers["Cache-Control"] == "no-cache"
    for path in (
        "/static/0/none.js",
        "/static/0/results.html",
        "/static/0/layout.html",
        "/static/0/%2e%2e",
        "/static/0/..%2fpages.py",
    ):
        (await ask(http, "GET", url + path)).problem(404, "not_found")


def test_no_page_of_senders_may_be_shown_in_a_frame() -> None:
    """Nor may its scripts turn texts into elements: a token is typed there."""
    for page in PUSH_PAGES.pages.values():
        assert page.policy == f"{POLICY}; require-trusted-types-for 'script'; trusted-types 'none'"
    assert "frame-ancestors 'none'" in POLICY


def test_each_door_has_the_files_of_its_own_pages() -> None:
    """Every script and style sheet is needed by some page, and no page of senders has those of readers only."""
    feed, push = ({path.name for path in static_files(door)} for door in (FEED_PAGES, PUSH_PAGES))
    there = {path.name for path in DIRECTORY.iterdir() if path.suffix in (".js", ".css")}
    assert (feed | push) - {"openapi.json"} == there
    assert {"app.css", "shell.js", "texts.js"} <= feed & push
    assert "results.js" not in push
    assert "count.js" not in feed


def test_no_page_refers_to_another_host_or_has_inline_script_or_style() -> None:
    """So the policy can be this strict.

    The namespace of SVG and a part of the page itself, `url("#…")`, are no addresses; `/** @import` only names types.
    """
    for path in filter(Path.is_file, DIRECTORY.rglob("*")):
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(
            r"https?://|\burl\((?!\"#)|(?<!/\*\* )@import|<script>|<style|\sstyle=|\son\w+=\"|innerHTML|eval\(",
            text,
        ), path
