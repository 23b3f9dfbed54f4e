"""The change since the previous election on the pages, and the map of the change of a party, in a real browser."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from gateway.rehearsal.generator import GeneratedElection
from tests.counts import count, full_only
from tests.running import Gateway, Sender
from tests.web.browsing import Visitor, http_on_session_loop, needs_chromium, visiting
from tests.web.change_makers import WHOLE, a_previous
from tests.web.doors import COUNTRY, HERE, UNIT, a_registry, pushed, shown, units_of

pytestmark = pytest.mark.long

NEVER = "0101"
"""A municipality without votes of the previous election."""

http = http_on_session_loop


def counted(unit: str, revision: int = 1, status: str = "preliminary", **votes: int) -> dict[str, Any]:
    ballots = sum(votes.values())
    counts = {"election_day": {"ballots": ballots, "blank": 0, "rejected": 0, "votes": votes}}
    return {
        "unit": unit,
        "revision": revision,
        "counted_at": f"2024-09-09T22:{revision:02}:00+02:00",
        "status": status,
        "counts": counts,
    }


async def load(gateway: Gateway, small: GeneratedElection, **header: Any) -> Sender:
    async with gateway.administration() as acts:
        election = await acts.load_election(a_registry(small, **header), a_previous(small))
    return await gateway.issue(election, [COUNTRY])


@pytest_asyncio.fixture(loop_scope="session")
async def compared(gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession) -> Sender:
    """An election with a previous one, in which one unit of each of the three municipalities is counted."""
    sender = await load(gateway, small)
    reports = (
        counted(UNIT, FL=30, NST=50, HV=20),
        counted(units_of(small, WHOLE)[0], FL=60, NST=40),
        counted(units_of(small, NEVER)[0], FL=80, NST=20),
    )
    await pushed(http, sender, *reports)
    await shown(gateway, sender.election, len(reports))
    return sender


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser) -> AsyncIterator[Visitor]:
    """A visitor who reads English. Afterwards the console has no errors."""
    async with visiting(browser) as visitor:
        yield visitor
        assert visitor.errors == []


def url(sender: Sender, rest: str = "") -> str:
    return f"{sender.gateway.feed_url}/areas/{sender.election}{rest}"


async def expect_change(page: Page, party: str, change: str) -> None:
    await expect(page.locator(f"[data-party-row={party}] .change:visible")).to_have_text(change)


@needs_chromium
async def test_the_change_is_beside_every_share_with_what_it_is_compared_with(
    compared: Sender, small: GeneratedElection, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """In percentage points, "new" for a party that did not stand; of the turnout once everything is counted."""
    page = await visitor.open(url(compared, f"/{HERE}"))
    for party, change in {"FL": "−30.0", "NST": "+10.0", "HV": "new"}.items():
        await expect_change(page, party, change)
    line = page.locator("#area-summary .compared")
    same = "Changes are in percentage points, compared with the same polling districts in 2020."
    await expect(line).to_have_text(same)
    await expect(page.locator("#area-summary [data-change=turnout]")).to_be_hidden()
    row = page.locator(f"#children tr[data-id='{UNIT}']")
    await expect(row.locator(".change")).to_have_text(["+10.0", "−30.0"])
    await expect(page.locator("#children-change")).to_have_text(
        "Beside the shares: the change in percentage points since 2020."
    )
    everything = [counted(each, 2, "final", FL=20, NST=20) for each in units_of(small, HERE)]
    await pushed(http, compared, *everything)
    await expect_change(page, "FL", "+16.7")  # 50.0 - (60 + 8 * 30) / 900
    await expect(page.locator("#area-summary [data-change=turnout]")).to_have_text(
        re.compile(r"^[+−]\d+\.\d percentage points since 2020$")
    )
    await page.goto(url(compared, f"/{UNIT}"))
    await expect(line).to_have_text(same.replace("districts", "district"))
    await expect_change(page, "FL", "−10.0")


@full_only
@needs_chromium
async def test_a_comparison_with_a_whole_area_is_marked_as_such(compared: Sender, visitor: Visitor) -> None:
    """In the sentence below the shares, and by an asterisk in the table; areas without a comparison have no change."""
    page = await visitor.open(url(compared))
    await expect_change(page, "FL", "+26.7")
    await expect(page.locator("#country .compared")).to_have_text(
        re.compile("compared with the whole of the country in 2020. Not everything here has been counted")
    )
    changes = {HERE: ["+10.0", "−30.0"], WHOLE: ["+10.0*", "−10.0*"], NEVER: []}
    for area, found in changes.items():
        await expect(page.locator(f"#areas tr[data-id='{area}'] .change:not(:empty)")).to_have_text(found)
    await expect(page.locator("#areas-change")).to_contain_text("With an asterisk: compared with the whole")
    await page.goto(url(compared, f"/{NEVER}"))
    await expect(page.locator("#area-summary .compared")).to_have_text(
        "There are no figures from 2020 to compare with here."
    )
    await expect(page.locator("#area-summary .change:visible")).to_have_count(0)


LINES = {
    "nb-NO": "Endringene er i prosentpoeng, sammenlignet med de samme tellestedene i 2020.",
    "nn-NO": "Endringane er i prosentpoeng, samanlikna med dei same teljestadene i 2020.",
}


@needs_chromium
@pytest.mark.parametrize(("locale", "line"), [*LINES.items()][: count(1, full=2)])
async def test_changes_are_written_as_the_language_does_and_fit_a_phone(
    compared: Sender, browser: Browser, locale: str, line: str
) -> None:
    """In a frame too. With a decimal comma; nothing scrolls sideways."""
    viewport = {"width": 390, "height": 844}
    frame = f"{compared.gateway.feed_url}/embed?election={compared.election}&area={HERE}&show=summary,table"
    async with visiting(browser, locale=locale, viewport=viewport, color_scheme="dark") as visitor:
        page = await visitor.new_tab()
        for address in (url(compared, f"/{HERE}"), frame):
            await page.goto(address)
            await expect_change(page, "FL", "−30,0")
            await expect_change(page, "HV", "ny")
            await expect(page.locator(".compared:visible")).to_have_text(line)
            await expect(page.locator("#children-change")).to_be_visible()
            assert await page.evaluate("document.documentElement.scrollWidth") == 390
        assert visitor.errors == []


SCALES = """async () => {
    const { scaleOf, classOf } = await import(document.querySelector("script").src.replace("results.js", "swing.js"));
    const classes = [-9, -4, -1, -0.99, 0, 0.99, 1, 4, 8].map((change) => classOf(change, [1, 4, 8]));
    return [[], [0.05], [-0.5, 0.2], [1, -2, 7], [99]].map(scaleOf).concat([classes]);
}"""
CLASSES = [
    [0.1, 0.3, 0.5],
    [0.1, 0.3, 0.5],
    [0.1, 0.3, 0.5],
    [1, 4, 8],
    [5, 10, 20],
    [-3, -2, -1, 0, 0, 0, 1, 2, 3],
]
"""The limits of classes follow from all changes; a change at a limit is in the outer class of the two."""


async def background(page: Page, selector: str) -> str:
    found: str = await page.locator(selector).evaluate("(each) => getComputedStyle(each).background")
    return found


@needs_chromium
async def test_tiles_show_the_change_of_the_party_in_the_address(
    compared: Sender, small: GeneratedElection, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """Coloured as the legend says, in figures, and described in words; live; areas without a comparison are hatched."""
    page = await visitor.open(url(compared))
    assert await page.evaluate(SCALES) == CLASSES
    await expect(page.locator("#by-party")).to_be_hidden()
    await page.get_by_label("Change since 2020").check()
    await expect(page).to_have_url(re.compile(r"\?by=change&party=FL$"))
    tile = {area: page.locator(f".tile[data-tile='{area}']") for area in (HERE, WHOLE, NEVER, "0201")}
    await expect(tile[HERE]).to_have_text("−30.0")
    await expect(tile[HERE]).to_have_attribute("data-swing", "-3")
    await expect(tile[WHOLE]).to_have_attribute("data-swing", "2")
    await expect(tile[NEVER]).to_have_class(re.compile("incomparable"))
    await expect(tile["0201"]).to_have_class("tile")
    await expect(tile[NEVER]).to_have_attribute(
        "aria-label", re.compile("Fellesligaen 80.0% · no comparison$")
    )
    await expect(tile[HERE]).to_have_attribute(
        "aria-label",
        re.compile(
            "Fellesligaen 30.0% · −30.0 percentage points since 2020 · compared with the same polling districts$"
        ),
    )
    legend = page.locator("#legend")
    await expect(legend.locator("p").first).to_have_text(
        "Fellesligaen is up in 1 and down in 1 of 2 municipalities since 2020. In percentage points:"
    )
    await expect(legend.locator("span")).to_have_text(
        [
            "−20 or lower", "−20 to −10", "−10 to −5", "−5 to +5", "+5 to +10", "+10 to +20", "+20 or higher",
            "no comparison",
        ]
    )  # fmt: skip
    assert await background(page, f"[data-tile='{HERE}']") == await background(
        page, "#legend [data-swing='-3']"
    )
    assert "gradient" in await background(page, f"[data-tile='{NEVER}']")

    await tile[WHOLE].hover()
    await tile[HERE].focus()
    await page.mouse.move(1, 1)
    await expect(page.locator("#tile-description")).to_contain_text("−30.0 percentage points since 2020")
    await page.locator("#by-party").select_option("HV")
    await expect(page).to_have_url(re.compile("party=HV"))
    await expect(tile[HERE]).to_have_text("new")
    await expect(legend.locator("p")).to_have_text(
        ["There are no figures yet that compare Home and Work with 2020."]
    )

    await page.goto(url(compared, "?by=change&party=NST"))
    await expect(page.locator("#by-party")).to_have_value("NST")
    await expect(tile[WHOLE]).to_have_text("−10.0")
    await pushed(http, compared, counted(units_of(small, WHOLE)[1], FL=0, NST=100))
    await expect(tile[WHOLE]).to_have_text("+20.0")
    await expect(legend.locator(".extremes").first).to_contain_text("+20.0")
    await page.goto(url(compared, "?kiosk&by=change&party=NST"))
    await expect(page.locator("#kiosk-tiles-title")).to_have_text(re.compile("^Nysteget: change since 2020"))
    await expect(tile[WHOLE]).to_have_text("+20.0")


@needs_chromium
async def test_changes_in_the_past_are_those_of_that_moment(compared: Sender, visitor: Visitor) -> None:
    """After the first report, the country is compared with the unit that was counted, and no other tile is coloured."""
    page = await visitor.open(url(compared, "?at=1&by=change&party=FL"))
    await expect_change(page, "FL", "−30.0")
    await expect(page.locator("#country .compared")).to_have_text(
        re.compile("compared with the same polling districts in 2020.$")
    )
    await expect(page.locator(f".tile[data-tile='{HERE}']")).to_have_text("−30.0")
    await expect(page.locator(".tile.swung")).to_have_count(1)
    await page.goto(url(compared, f"/{HERE}?at=1"))
    await expect_change(page, "HV", "new")
    await expect(page.locator(f"#children tr[data-id='{UNIT}'] .change")).to_have_text(["+10.0", "−30.0"])


@needs_chromium
async def test_changes_are_hidden_until_the_release(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """The page says until when, and not that there is nothing to compare with."""
    opens = datetime.now(UTC) + timedelta(hours=1)
    sender = await load(gateway, small, publish_from=opens.isoformat())
    await pushed(http, sender, counted(UNIT, FL=30, NST=50))
    page = await visitor.open(url(sender, "?by=change&party=FL"))
    await expect(page.locator("#legend")).to_have_text(re.compile(r"^hidden until \d\d:\d\d$"))
    await expect(page.locator(f".tile[data-tile='{HERE}']")).to_have_class("tile")
    for hidden in ("#areas-change", "#country .compared"):
        await expect(page.locator(hidden)).to_be_hidden()
    await expect(page.locator(".change:visible")).to_have_count(0)


@needs_chromium
async def test_an_election_without_a_previous_one_shows_no_change(
    gateway: Gateway, small: GeneratedElection, http: aiohttp.ClientSession, visitor: Visitor
) -> None:
    """Nor does it offer a map of it; an address that asks for one shows the leading party."""
    election = await gateway.load(a_registry(small))
    sender = await gateway.issue(election, [COUNTRY])
    await pushed(http, sender, counted(UNIT, FL=30, NST=50))
    await shown(gateway, election, 1)
    page = await visitor.open(url(sender, "?by=change&party=FL"))
    await expect(page.locator(f"[data-tile='{HERE}']")).to_have_text("NST")
    await expect(page.locator("#by-leader")).to_be_checked()
    for hidden in ("#by-change-choice", "#by-party-choice", "#areas-change", "#country .compared"):
        await expect(page.locator(hidden)).to_be_hidden()
    await expect(page.locator(".change:visible")).to_have_count(0)
