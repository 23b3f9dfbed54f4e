"""axe-core reports no violation on any page of either door, at any width and in any theme.

`make long` checks every page with every rule in every combination of width and theme. `make test` checks every page at
one of the widths, a narrow or a wide one, and its contrast in one of the themes, in turn: no other rule depends on
colours, and colours do not depend on widths. To these rules, widths are the same at which the same elements are
visible, outside of the page and scrollable. Of the pages under an embargo, it checks that of the results.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page, expect

from gateway.page_composition import FEED_PAGES, PUSH_PAGES
from gateway.rehearsal.generator import GeneratedElection
from tests.counts import EXTENT, count, variants
from tests.running import Gateway, Sender
from tests.web.browsing import needs_chromium, session_loop, visiting
from tests.web.change_makers import a_previous
from tests.web.doors import COUNTRY, HERE, UNIT, a_client, a_registry, a_report, pushed, shown

NARROW, WIDE = (360, 390), (768, 1280, 1920)
WIDTHS = (*NARROW, *WIDE)
THEMES: tuple[dict[str, Any], ...] = (
    {"color_scheme": "light", "forced_colors": "none"},
    {"color_scheme": "dark", "forced_colors": "none"},
    {"color_scheme": "dark", "forced_colors": "active"},
)
CONTRAST = "color-contrast"

pytestmark = pytest.mark.long


class Elections(NamedTuple):
    """An election with results, one without, and one under embargo."""

    night: str
    empty: str
    embargoed: str
    compared: str
    sender: Sender


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def elections(gateway: Gateway, small: GeneratedElection) -> Elections:
    opens = datetime.now(UTC) + timedelta(hours=2)
    night = await gateway.load(a_registry(small))
    empty = await gateway.load(a_registry(small))
    embargoed = await gateway.load(a_registry(small, publish_from=opens.isoformat()))
    async with gateway.administration() as acts:
        compared = await acts.load_election(a_registry(small), a_previous(small))
    sender = await gateway.issue(night, [COUNTRY])
    reports = [line["report"] for line in small.reports if line["report"]["unit"] != UNIT]
    corrected = (a_report(votes=500), a_report(revision=2, votes=39, reason="booking_error"))
    async with a_client() as http:
        await pushed(http, sender, *reports, *corrected)
        await pushed(http, await gateway.issue(compared, [COUNTRY]), *reports)
        await shown(gateway, night, len(reports) + len(corrected))
    return Elections(night, empty, embargoed, compared, sender)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A tab in which one page after the other is opened."""
    async with visiting(browser, reduced_motion="reduce") as visitor:
        yield await visitor.new_tab()


READY = {
    "/?election={empty}": "#country [data-figure=units]",
    "/areas/{night}": "#areas tbody tr",
    "/areas/{embargoed}": "#embargo",
    "/areas/{compared}?by=change&party=FL": "#legend .swung",
    f"/areas/{{night}}/{HERE}": "#plot svg",
    f"/areas/{{night}}/{UNIT}": "#plot svg",
    "/areas/{night}/unknown": "#area-title",
    "/transfers?election={night}": "#list tbody tr",
    "/transfers?election={embargoed}": "#list tbody tr",
    "/areas/{night}?kiosk": "#kiosk-tiles .tile",
    "/docs": "#document h1",
    "/verify?election={night}": "#sentence.waits",
    f"/embed?election={{night}}&area={HERE}&show=summary,table": "#children tbody tr",
    "/embed?election={embargoed}": "#embargo-until",
}
"""Every page of the feed door, as its readers find it, and what it shows when it is complete."""
SHORTEN = """(shown) => { for (const kind of [".operation", ".schema"])
    for (const each of [...document.querySelectorAll(kind)].slice(shown)) each.remove(); }"""
"""The API page describes dozens of operations and schemas alike."""
LAYOUT = """() => JSON.stringify([...document.querySelectorAll("body, body *:not(svg *)")].map((each) => {
    const { right, bottom } = each.getBoundingClientRect();
    const { overflowX, overflowY } = getComputedStyle(each);
    const outside = right + scrollX <= 0 || bottom + scrollY <= 0;
    const scrolls = (overflowX !== "visible" && each.scrollWidth > each.clientWidth)
        || (overflowY !== "visible" && each.scrollHeight > each.clientHeight);
    const visible = each.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    return [each.tagName, visible, outside, scrolls];
}))"""
"""What rules other than that of the contrast depend on in a layout; nothing within a picture."""
PUSH_READY = {"/count": "main", "/operator?election={night}": "#entry-form"}


LISTED = [*enumerate((*READY, *PUSH_READY))]
Look = tuple[int, Mapping[str, str], Mapping[str, Any]]
"""A width, a theme, and options of axe-core."""


def looks(index: int) -> list[Look]:
    """Return how to look at one of the pages."""
    if EXTENT == "full":
        return [(width, theme, {}) for width, theme in product(WIDTHS, THEMES)]
    widths = WIDE if index % 2 else NARROW
    width = widths[index // 2 % len(widths)]
    return [
        (width, THEMES[0], {"rules": {CONTRAST: {"enabled": False}}}),
        (width, THEMES[index % len(THEMES)], {"runOnly": [CONTRAST]}),
    ]


@needs_chromium
@pytest.mark.parametrize(
    ("index", "path"),
    variants(LISTED, *(each for each in LISTED if "embargoed" not in each[1] or "/areas/" in each[1])),
)
async def test_no_page_has_a_violation(
    gateway: Gateway, elections: Elections, page: Page, index: int, path: str
) -> None:
    """Of any rule of axe-core, best practices included."""
    url = (gateway.push_url if path in PUSH_READY else gateway.feed_url) + path.format(**elections._asdict())
    width, theme, _ = looks(index)[0]
    await page.set_viewport_size({"width": width, "height": 900})
    await page.emulate_media(**theme)
    await page.goto(url)
    await expect(page.locator((READY | PUSH_READY)[path]).first).to_be_visible()
    await expect(page.locator("h1:visible").first).not_to_be_empty()
    await page.evaluate(SHORTEN, count(2, full=6))
    await page.evaluate(AXE_SCRIPT)
    checked: set[str] = set()
    for width, theme, options in looks(index):
        await page.set_viewport_size({"width": width, "height": 900})
        await page.emulate_media(**theme)
        if "rules" in options:
            layout = await page.evaluate(LAYOUT)
            if layout in checked:
                continue
            checked.add(layout)
        assert await violations(page, options) == [], (width, theme)


async def violations(page: Page, options: Mapping[str, Any]) -> list[str]:
    """Return what axe-core finds: the rule, and the elements."""
    found: list[str] = await page.evaluate(
        """async (options) => {
            const { violations } = await axe.run({ resultTypes: ["violations"], ...options });
            const nodes = ({ nodes }) => nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`);
            return violations.map((each) => `${each.id}: ${nodes(each)}`);
        }""",
        options,
    )
    return found


@session_loop
async def test_every_page_is_checked() -> None:
    """A page that a door gets later has to be in the table."""
    checked = {path.partition("?")[0] for path in (*READY, *PUSH_READY)}
    assert {*FEED_PAGES.pages, *PUSH_PAGES.pages} <= checked
