"""The night as it was, on the results page in a real browser: any moment, from the address and back to live."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page, Request, Route, expect
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from gateway.election.record import Publication
from gateway.election.registry_reading import read_registry
from gateway.election.state import ElectionState
from gateway.page_composition import EMBED_POLICY, POLICY, PUSH_PAGES, RESULTS_POLICY
from gateway.rehearsal.generator import GeneratedElection
from gateway.wire.areas import area_json
from tests.counts import EXTENT, full_only
from tests.election.makers import Record
from tests.feed.served import FakeRecord, Served, served
from tests.web.browsing import BARE, PATIENCE_MS, Visitor, needs_chromium, visiting
from tests.web.doors import HERE, UNIT, units_of

pytestmark = pytest.mark.long

RELEASE = datetime(2024, 9, 9, 19, tzinfo=UTC)
UNDER_EMBARGO = 40
"""Publications at the end of the embargo, all at the same time."""


def a_night(small: GeneratedElection) -> list[Publication]:
    """The generated night with two corrections, published second by second after the end of the embargo."""
    reports = [line["report"] for line in small.reports if line["report"]["unit"] != UNIT]
    counts = [
        {"election_day": {"ballots": votes, "blank": 0, "rejected": 0, "votes": {"FL": votes}}}
        for votes in (500, 39)
    ]
    for number, each in enumerate(counts, 1):
        report = {
            "unit": UNIT,
            "revision": number,
            "counted_at": "2024-09-09T22:36:55+02:00",
            "status": "final",
            "counts": each,
        }
        reports.insert(UNDER_EMBARGO + 10 * number, report)
    written = Record()
    for number, report in enumerate(reports):
        written.write(report, RELEASE + timedelta(seconds=max(0, number - UNDER_EMBARGO + 1)))
    return written.publications


@asynccontextmanager
async def a_visit(
    browser: Browser, record: FakeRecord, **options: Any
) -> AsyncIterator[tuple[Served, Visitor]]:
    async with served(record) as door, visiting(browser, **options) as visitor:
        yield door, visitor


def areas_at(small: GeneratedElection, night: Sequence[Publication], sequence: int) -> dict[str, Any]:
    """Return all areas as the gateway had them after a publication."""
    registry = read_registry(small.registry)
    state = ElectionState(registry)
    for publication in night[:sequence]:
        state.apply(publication)
    return {area.id: json.loads(area_json(state, area.index)) for area in registry.areas}


def sums(area: dict[str, Any]) -> tuple[int, int, int]:
    """Return the units with a report, the ballots and the votes of an area."""
    counts = area["counts"].values()
    ballots = sum(each["ballots"] for each in counts)
    return area["units"]["reported"], ballots, sum(sum(each["votes"].values()) for each in counts)


SHOWN = """(places) => Object.fromEntries(Object.entries(places).map(([name, place]) => {
    const element = document.querySelector(place);
    return [name, element?.checkVisibility() ? element.textContent : null];
}))"""
"""Returns the texts of elements that are visible."""
ARE_SHOWN = f"([places, texts]) => JSON.stringify(({SHOWN})(places)) === JSON.stringify(texts)"


async def shows(page: Page, areas: dict[str, Any], root: str) -> None:
    """Wait until the page has the figures, the table and the tiles of a moment."""
    reported, ballots, votes = sums(areas[root])
    eligible = areas[root]["eligible"]
    wanted = {
        "#country [data-figure=units]": f"{reported:,}",
        "#country [data-of=turnout]": f"{ballots:,} ballots · {eligible:,} eligible",
        "#country [data-figure=votes]": f"{votes:,}",
    }
    for area in areas.values():
        if area["level"] == "municipality":
            reported, ballots, votes = sums(area)
            row = f'#areas tr[data-id="{area["area"]}"] td:nth-of-type'
            wanted[f"{row}(1)"] = f"{reported}/{area['units']['total']}"
            wanted[f"{row}(2)"] = f"{ballots:,}"
            wanted[f"{row}(6)"] = str(area["corrections"] or "")
            parties = Counter[str]()
            for counts in area["counts"].values():
                parties.update(counts["votes"])
            leader = max(parties, key=parties.__getitem__) if votes else ""
            wanted[f'#tiles [data-tile="{area["area"]}"]'] = leader
    places = {place: place for place in wanted}
    try:
        await page.wait_for_function(ARE_SHOWN, arg=[places, wanted], polling=50, timeout=PATIENCE_MS)
    except PlaywrightTimeoutError:
        assert await page.evaluate(SHOWN, places) == wanted
        raise


async def set_slider(page: Page, part: float) -> None:
    await page.locator("#night-slider").evaluate(
        "(slider, part) => { slider.value = part * slider.max; slider.dispatchEvent(new Event('input')); }",
        part,
    )


def position(page: Page) -> int:
    found = re.search(r"[?&]at=(\d+)", page.url)
    assert found is not None, page.url
    return int(found[1])


@needs_chromium
async def test_every_part_of_the_page_is_of_the_moment_that_the_address_names(
    browser: Browser, small: GeneratedElection
) -> None:
    """Of the country and of an area; what is of now only is not shown, and the way back leads to the feed."""
    night = a_night(small)
    at = UNDER_EMBARGO + 25  # after the first correction
    root = small.registry["areas"][0]["id"]
    before, now = areas_at(small, night, at), areas_at(small, night, len(night))
    assert sums(before[root]) != sums(now[root])
    assert before[HERE]["corrections"] == 1
    async with a_visit(browser, FakeRecord(small.registry, night, shown=len(night))) as (door, visitor):
        home = f"{door.origin}/areas/{door.record.id}"
        page = await visitor.open(f"{home}?at={at}")
        await shows(page, before, root)
        await expect(page.locator("#night-at")).to_have_text(
            re.compile(r"^As it was at 9 Sept, 21:\d\d:\d\d$")
        )
        await expect(page.locator("#night-of")).to_have_text(f"after {at} of {len(night)} publications")
        await expect(page.locator("#night-note")).to_contain_text(
            f"The chain of all {len(night)} publications has been verified"
        )
        for each in ("#status", "#corrections", "#areas-downloads", "#embed"):
            await expect(page.locator(each)).to_be_hidden()
        assert (await page.title()).startswith("As it was at 9 Sept, 21:")

        await page.locator(f'#areas a[href$="/{HERE}"]').click()
        await expect(page.locator("#area-title")).to_be_focused()
        assert position(page) == at
        await expect(page.locator("#area-summary [data-of=turnout]")).to_contain_text(
            f"{sums(before[HERE])[1]:,} ballots"
        )
        for unit in units_of(small, HERE):
            row = page.locator(f'#children tr[data-id="{unit}"]')
            await expect(row.locator("td").nth(0)).to_have_text(
                (before[unit]["status"] or "no_report").replace("_", " ")
            )
            await expect(row.locator("td").nth(1)).to_have_text(f"{sums(before[unit])[1]:,}")
        corrected = page.locator(f'#children tr[data-id="{UNIT}"] td').nth(5)
        await expect(corrected).to_have_text("Ballots fell by 461: no reason given")
        published = sum(each.unit in units_of(small, HERE) for each in night[:at])
        await expect(page.locator("#history-state")).to_contain_text(f"{published} publications from")
        await page.locator(f'#children a[href$="/{UNIT}"]').click()
        await expect(page.locator("#area-summary [data-figure=votes]")).to_have_text("39")

        await page.get_by_role("button", name="Back to live").click()
        await expect(page.locator("#night-at")).to_have_text("Now")
        await expect(page.locator("#link")).to_have_text("Live")
        assert page.url == f"{home}/{UNIT}"
        await page.go_back()
        await expect(page.locator("#night-at")).to_have_text(re.compile("^As it was"))
        await page.locator("#crumbs a").first.click()
        await shows(page, before, root)
        await page.get_by_role("button", name="Back to live").click()
        await shows(page, now, root)
        await expect(page.locator("#corrections")).to_be_visible()
        assert visitor.errors == []
        assert visitor.requests_elsewhere(door.origin) == []


@needs_chromium
async def test_the_slider_and_the_keys_lead_to_every_moment_and_the_address_follows(
    browser: Browser, small: GeneratedElection
) -> None:
    """In one entry of the history; what was published at the same time is one moment of the slider."""
    night = a_night(small)
    root = small.registry["areas"][0]["id"]
    async with a_visit(browser, FakeRecord(small.registry, night, shown=len(night))) as (door, visitor):
        home = f"{door.origin}/areas/{door.record.id}"
        page = await visitor.open(home)
        await expect(page.locator("#country [data-figure=units]")).to_have_text(re.compile(r"^[1-9]"))
        assert not [url for url in visitor.requests if "/publications" in url]
        button = page.get_by_role("button", name="The night as it was")
        await button.focus()
        await page.keyboard.press("Enter")
        slider = page.get_by_role("slider", name="Moment of the night")
        await expect(slider).to_be_visible()
        await slider.focus()
        await page.keyboard.press("Home")
        await expect(page.locator("#night-at")).to_have_text("As it was before the first publication")
        await expect(page.locator("#country [data-figure=units]")).to_have_text("0")
        await expect(slider).to_have_attribute("aria-valuetext", "As it was before the first publication")
        await page.wait_for_url(re.compile(r"at=0$"))
        await set_slider(page, 0.0101)
        await page.wait_for_url(re.compile(rf"at={UNDER_EMBARGO}$"))
        await shows(page, areas_at(small, night, UNDER_EMBARGO), root)
        await page.get_by_role("button", name="One publication forward").click()
        await page.get_by_role("button", name="One publication forward").click()
        await page.get_by_role("button", name="One publication back").click()
        await page.wait_for_url(re.compile(rf"at={UNDER_EMBARGO + 1}$"))
        await shows(page, areas_at(small, night, UNDER_EMBARGO + 1), root)
        await slider.focus()
        await page.keyboard.press("End")
        await page.wait_for_url(re.compile(rf"at={len(night)}$"))
        await page.go_back()
        await expect(page.locator("#night-at")).to_have_text("Now")
        assert page.url == home
        assert visitor.errors == []


@asynccontextmanager
async def a_player(browser: Browser, small: GeneratedElection, motion: str) -> AsyncIterator[Page]:
    """Open a page with a clock of its own, on which the night is about to be played."""
    night = a_night(small)
    record = FakeRecord(small.registry, night, shown=len(night))
    async with a_visit(browser, record, reduced_motion=motion) as (door, visitor):
        await visitor.own_profile()
        page = await visitor.new_tab()
        await page.clock.install(time=RELEASE + timedelta(days=1))
        await page.goto(f"{door.origin}/areas/{door.record.id}")
        await page.get_by_role("button", name="The night as it was").click()
        await expect(page.locator("#night-controls")).to_be_visible()
        await page.clock.pause_at(RELEASE + timedelta(days=1, hours=1))
        await page.get_by_role("button", name="Play the night").click()
        await expect(page.locator("#night-of")).to_contain_text("after 0 of")
        yield page


@needs_chromium
async def test_the_night_is_played_in_a_minute_and_paused(browser: Browser, small: GeneratedElection) -> None:
    """From the beginning to the end, by the clock of the page; in steps for those who prefer reduced motion."""
    night = a_night(small)
    root = small.registry["areas"][0]["id"]
    async with a_player(browser, small, "reduce") as page:
        await page.clock.run_for(1900)
        await expect(page.locator("#night-of")).to_contain_text("after 0 of")
        await page.clock.run_for(28_000)
        await expect(page.locator("#night-of")).not_to_contain_text("after 0 of")
        await page.locator("#night-slider").focus()
        await page.keyboard.press(" ")
        await expect(page.get_by_role("button", name="Play the night")).to_be_visible()
        await page.clock.run_for(1000)
        at = position(page)
        assert len(night) / 4 < at < len(night)
        await shows(page, areas_at(small, night, at), root)
        await page.clock.run_for(10_000)
        assert position(page) == at
        await page.get_by_role("button", name="Play the night").click()
        await page.clock.run_for(40_000)
        await expect(page.locator("#night-of")).to_have_text(
            f"after {len(night)} of {len(night)} publications"
        )
        await expect(page.get_by_role("button", name="Play the night")).to_be_visible()


@full_only
@needs_chromium
async def test_the_night_is_animated_for_others(browser: Browser, small: GeneratedElection) -> None:
    """Frame by frame; the slider moves too, and moving it ends the animation."""
    async with a_player(browser, small, "no-preference") as page:
        await page.clock.run_for(1500)
        moved = int(await page.locator("#night-slider").input_value())
        assert 20 < moved < 100  # of 2000 in a minute
        await expect(page.locator("#night-of")).not_to_contain_text("after 0 of")
        await set_slider(page, 0.5)
        await expect(page.get_by_role("button", name="Play the night")).to_be_visible()


@needs_chromium
async def test_the_past_stays_as_it_was_while_the_night_goes_on(
    browser: Browser, small: GeneratedElection
) -> None:
    """New publications are added to the slider; the figures that are shown stay those of their moment."""
    night = a_night(small)
    root = small.registry["areas"][0]["id"]
    shown = len(night) - 30
    async with a_visit(browser, FakeRecord(small.registry, night, shown=shown)) as (door, visitor):
        await visitor.own_profile()
        page = await visitor.new_tab()
        await page.clock.install(time=RELEASE + timedelta(hours=1))
        await page.goto(f"{door.origin}/areas/{door.record.id}?at=50")
        await expect(page.locator("#night-of")).to_have_text(f"after 50 of {shown} publications")
        await door.show(len(night))
        await page.clock.run_for(1000)
        await expect(page.locator("#fresh")).to_have_count(1)
        for _ in range(30):
            await page.clock.run_for(1000)
        await expect(page.locator("#night-of")).to_have_text(f"after 50 of {len(night)} publications")
        await shows(page, areas_at(small, night, 50), root)
        await page.get_by_role("button", name="Back to live").click()
        await page.clock.run_for(3000)
        await shows(page, areas_at(small, night, len(night)), root)


@needs_chromium
async def test_a_record_that_cannot_be_read_is_read_later_and_a_broken_one_is_not_shown(
    browser: Browser, small: GeneratedElection
) -> None:
    """The page says what is wrong, shows no figures as if they were of the past, and does not read in a loop."""
    night = a_night(small)
    async with a_visit(browser, FakeRecord(small.registry, night, shown=len(night))) as (door, visitor):
        fails = True
        requested: list[str] = []

        async def answer(route: Route, request: Request) -> None:
            requested.append(request.url)
            if fails:
                await route.fulfill(status=503, headers={"Retry-After": "0"})
                return
            response = await route.fetch()
            text = await response.text()
            await route.fulfill(response=response, body=text.replace('"revision":1', '"revision":3', 1))

        profile = await visitor.own_profile()
        await profile.route("**/publications?*", answer)
        page = await visitor.new_tab()
        await page.goto(f"{door.origin}/areas/{door.record.id}?at=50")
        await expect(page.locator("#night-state")).to_have_text(
            "The public record cannot be read right now. The page will try again."
        )
        await expect(page.locator("#overview")).to_be_hidden()
        fails = False
        await expect(page.locator("#night-state")).to_contain_text("does not match its own chain")
        await expect(page.locator("#overview")).to_be_visible()
        await expect(page.locator("#night-at")).to_have_text("Now")
        await expect(page.locator("#link")).to_have_text("Live")
        attempts = len(requested)
        await door.show(len(night))
        door.hub.wake()
        await expect(page.locator("#night-controls")).to_be_hidden()
        assert len(requested) == attempts
        await profile.unroute_all()
        await page.get_by_role("button", name="The night as it was").click()
        await page.get_by_role("button", name="The night as it was").click()
        await expect(page.locator("#night-controls")).to_be_visible()


@needs_chromium
async def test_the_past_of_a_record_that_was_replaced_is_read_again(
    browser: Browser, small: GeneratedElection
) -> None:
    """After a restore, for example: nothing of the other history stays on the page."""
    night = a_night(small)
    root = small.registry["areas"][0]["id"]
    other = Record()
    for number, publication in enumerate(night[::-1]):
        other.write(json.loads(publication.body), RELEASE + timedelta(seconds=number))
    async with a_visit(browser, FakeRecord(small.registry, night, shown=len(night))) as (door, visitor):
        page = await visitor.open(f"{door.origin}/areas/{door.record.id}?at=60")
        await shows(page, areas_at(small, night, 60), root)
        door.record.night = other.publications
        door.record.replace(small.registry)
        door.hub.wake()
        await shows(page, areas_at(small, other.publications, 60), root)
        await expect(page.locator("#night-note")).to_contain_text("has been verified")


@full_only
@needs_chromium
async def test_links_lead_to_the_same_moment_in_other_tabs_too(
    browser: Browser, small: GeneratedElection
) -> None:
    """A link to another page has no moment."""
    night = a_night(small)
    async with a_visit(browser, FakeRecord(small.registry, night, shown=len(night))) as (door, visitor):
        page = await visitor.open(f"{door.origin}/areas/{door.record.id}?at=60")
        await expect(page.locator("#night-of")).to_contain_text("after 60 of")
        link = page.locator(f'#areas a[href$="/{HERE}"]')
        for options in ({"modifiers": ["Control"]}, {"button": "middle"}):
            async with page.context.expect_page() as opened:
                await link.click(**options)
            tab = await opened.value
            await expect(tab.locator("#night-of")).to_contain_text("after 60 of")
            assert tab.url == f"{door.origin}/areas/{door.record.id}/{HERE}?at=60"
            await tab.close()
        assert "at=" not in (await page.get_by_role("link", name="Transfers").get_attribute("href") or "")
        assert position(page) == 60


@needs_chromium
async def test_there_is_no_past_before_the_release(browser: Browser, small: GeneratedElection) -> None:
    """Not by an address either; nothing is requested."""
    night = a_night(small)
    record = FakeRecord(small.registry, night)
    record.released = False
    async with a_visit(browser, record) as (door, visitor):
        page = await visitor.open(f"{door.origin}/areas/{door.record.id}?at=10")
        await expect(page.locator("#embargo")).to_be_visible()
        await expect(page.locator("#night")).to_be_hidden()
        await expect(page.locator("main.past")).to_have_count(0)
        await expect(page).to_have_url(f"{door.origin}/areas/{door.record.id}")  # what it will show is live
        assert not [url for url in visitor.requests if "/publications" in url]
        record.released = True
        await door.show(len(night))
        await expect(page.get_by_role("button", name="The night as it was")).to_be_visible()
        assert not [url for url in visitor.requests if "/publications" in url]


@needs_chromium
@pytest.mark.parametrize(
    ("locale", "theme", "width", "title"),
    [
        ("en-GB", {"color_scheme": "light"}, 1280, "As it was at "),
        ("nb-NO", {"color_scheme": "dark"}, 390, "Slik det var "),
        ("nn-NO", {"color_scheme": "dark", "forced_colors": "active"}, 768, "Slik det var "),
    ][slice(None) if EXTENT == "full" else slice(1, 2)],
)
async def test_the_past_is_accessible_in_every_language_theme_and_width(
    browser: Browser, small: GeneratedElection, locale: str, theme: dict[str, Any], width: int, title: str
) -> None:
    night = a_night(small)
    record = FakeRecord(small.registry, night, shown=len(night))
    options = {
        "locale": locale,
        "viewport": {"width": width, "height": 844},
        "reduced_motion": "reduce",
        **theme,
    }
    async with a_visit(browser, record, **options) as (door, visitor):
        page = await visitor.open(f"{door.origin}/areas/{door.record.id}/{HERE}?at=60")
        await expect(page.locator("#night-at")).to_have_text(re.compile(f"^{title}"))
        await expect(page.locator("#children tbody tr")).not_to_have_count(0)
        assert await page.evaluate("document.documentElement.scrollWidth") == width
        await page.evaluate(AXE_SCRIPT)
        result = await page.evaluate("axe.run({ resultTypes: ['violations'] })")
        assert [(each["id"], each["nodes"][0]["html"]) for each in result["violations"]] == []
        await page.evaluate("scrollTo(0, 600)")
        box = await page.locator("#night-live").bounding_box()
        assert box is not None
        assert 0 <= box["y"] < 844


def test_only_the_results_page_may_run_a_worker_and_only_its_own() -> None:
    assert "worker-src 'self'" in RESULTS_POLICY
    assert RESULTS_POLICY.replace("worker-src 'self'", "worker-src 'none'") == POLICY
    assert "worker-src 'none'" in EMBED_POLICY
    assert all("worker-src 'none'" in page.policy for page in PUSH_PAGES.pages.values())


@needs_chromium
async def test_a_line_of_time_shortens_quiet_hours_and_later_days(
    browser: Browser, small: GeneratedElection
) -> None:
    """Each publication is found at its place, and a night takes three quarters however long the record goes on."""
    night = a_night(small)
    async with a_visit(browser, FakeRecord(small.registry, night, shown=len(night))) as (door, visitor):
        page = await visitor.open(f"{door.origin}{BARE}")
        look = """async (times) => {
            const { TimeAxis } = await import("/static/0/time_axis.js");
            const axis = new TimeAxis(times);
            const found = times.map((_, index) => axis.sequenceAt(axis.place(index + 1)));
            return { found, before: axis.sequenceAt(0), part: axis.place(4) / axis.length, ends: axis.nightEnds };
        }"""
        hour = 3_600_000
        weeks = [0, 0, hour, 2 * hour, *(day * 24 * hour for day in range(1, 30))]
        result = await page.evaluate(look, weeks)
        assert result["found"] == [2, 2, *range(3, len(weeks) + 1)]
        assert result["before"] == 0
        assert result["part"] == pytest.approx(0.75, abs=0.01)
        assert result["ends"] == 12 * hour
        result = await page.evaluate(look, [0, 60_000, 120_000, 180_000 + hour])
        assert result["ends"] is None
        assert result["found"] == [1, 2, 3, 4]
        result = await page.evaluate(look, [])
        assert (result["found"], result["before"], result["ends"]) == ([], 0, None)
