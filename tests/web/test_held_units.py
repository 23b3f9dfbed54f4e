"""The pages say how many units are being checked, as soon as the list of holds has grown."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from gateway.rehearsal.generator import GeneratedElection
from tests.feed.hold_lines import WrittenHolds
from tests.feed.served import FakeRecord, Served, a_night, served
from tests.web.browsing import needs_chromium, visiting
from tests.web.doors import FOREIGN_UNIT, HERE, OTHER_UNIT, UNIT

pytestmark = pytest.mark.long

PICTURES = os.environ.get("PICTURES")
"""A directory for pictures of the pages, to look at them."""


class Night:
    """A feed door, and the list of holds that it shows."""

    def __init__(self, door: Served) -> None:
        self.door = door
        self.holds = WrittenHolds()

    def write(self, state: str, *units: str) -> None:
        """Add a line about each unit."""
        for unit in units:
            self.holds.write(unit, state, since=datetime.now(UTC) - timedelta(minutes=4))
        self.door.record.hold_list = [*self.holds.lines]

    def address(self, page: str) -> str:
        return f"{self.door.origin}{page}".replace("ELECTION", self.door.record.id)


@asynccontextmanager
async def a_held_night(small: GeneratedElection) -> AsyncIterator[Night]:
    """Open a door on a record with reports, whose blocks are sent at least every second."""
    record = FakeRecord(small.registry, a_night(small.registry, 60), shown=60)
    async with served(record, heartbeat_s=2) as door:
        yield Night(door)


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


@needs_chromium
async def test_the_results_say_how_many_units_are_being_checked(
    browser: Browser, small: GeneratedElection
) -> None:
    """Of the country and of each municipality, but not of a unit; while the page is open, in every language."""
    async with a_held_night(small) as night, visiting(browser) as visitor:
        page = await visitor.open(night.address("/areas/ELECTION"))
        note = page.locator("#country .checked")
        await expect(page.locator("#country [data-figure=units]")).to_have_text("60")
        await expect(note).to_be_hidden()
        night.write("held", UNIT, FOREIGN_UNIT)
        await expect(note).to_have_text(
            "2 units are being checked: their latest figures are not included yet."
        )
        await picture(page, "results")
        municipality = await visitor.open(night.address(f"/areas/ELECTION/{HERE}"))
        own = municipality.locator("#area-summary .checked")
        await expect(own).to_have_text("1 unit is being checked: its latest figures are not included yet.")
        await picture(municipality, "area")
        other = await visitor.open(night.address(f"/areas/ELECTION/{UNIT}"))
        await expect(other.locator("#area-title")).to_be_visible()
        await expect(other.locator("#area-summary .checked")).to_be_hidden()
        await other.goto(night.address(f"/embed?election=ELECTION&area={HERE}"))
        await expect(other.locator("#summary .checked")).to_have_text(re.compile("^1 unit is being checked"))
        await other.goto(night.address("/areas/ELECTION?kiosk"))
        await expect(other.locator("#kiosk-summary .checked")).to_have_text(re.compile("^2 units"))
        await picture(other, "kiosk")
        await other.close()
        night.write("rejected", UNIT)
        await expect(own).to_be_hidden()
        await expect(note).to_have_text(re.compile("^1 unit is being checked"))
        night.write("held", OTHER_UNIT)
        await expect(note).to_have_text(re.compile("^2 units"))
        for language, words in (
            ("nb", "2 tellesteder kontrolleres: "),
            ("nn", "2 teljestader blir kontrollerte: "),
        ):
            await page.locator("#language").select_option(language)
            await expect(note).to_have_text(re.compile(f"^{words}"))
        night.write("released", OTHER_UNIT, FOREIGN_UNIT)
        await expect(note).to_be_hidden()
        assert visitor.errors == []


@needs_chromium
async def test_the_transfers_page_shows_where_units_are_being_checked(
    browser: Browser, small: GeneratedElection
) -> None:
    """How many, for how long, and that not everything received is published."""
    async with a_held_night(small) as night, visiting(browser) as visitor:
        page = await visitor.open(night.address("/transfers?election=ELECTION"))
        sentence = page.locator("#sentence")
        await expect(sentence).to_have_text(re.compile("^Everything received is published"))
        night.write("held", UNIT, OTHER_UNIT)
        await expect(sentence).to_have_text(
            "2 units are being checked. Everything else received is published; 10 units to come."
        )
        await expect(sentence).to_have_class("sentence waits")
        await page.locator("#which").select_option("checked")
        rows = page.locator("#list tbody tr")
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text("2 (4 min")
        await picture(page, "transfers")
        note = rows.locator(".instead-second")
        await expect(note).to_be_hidden()
        await page.set_viewport_size({"width": 390, "height": 844})
        await expect(note).to_be_visible()
        await expect(note).to_have_text(re.compile(r"^Being checked: 2 \(4 min"))
        await picture(page, "transfers-phone")
        night.write("rejected", UNIT, OTHER_UNIT)
        await expect(rows).to_have_count(0)
        await expect(sentence).to_have_text(re.compile("^Everything received is published"))
        assert visitor.errors == []
