"""Corrections and downloads on the pages, in a real browser, on a record with known times."""

import re
from datetime import UTC, datetime, timedelta

import msgspec
from playwright.async_api import Browser, expect

from gateway.election.record import Publication
from gateway.rehearsal.generator import GeneratedElection
from tests.counts import full_only
from tests.election.makers import Record, a_report
from tests.feed.served import FakeRecord, served
from tests.web.browsing import needs_chromium, visiting
from tests.web.doors import HERE, UNIT, units_of

RELEASE = datetime(2024, 9, 9, 19, tzinfo=UTC)
AT = RELEASE + timedelta(hours=24, minutes=27)
PLACES = ("0602", "0603", HERE)


def counts(votes: int) -> dict[str, dict[str, object]]:
    return {"election_day": {"ballots": votes, "blank": 0, "rejected": 0, "votes": {"FL": votes}}}


def a_wrong_night(small: GeneratedElection) -> list[Publication]:
    """One count was entered in three municipalities and corrected a day later; many small corrections came before.

    The first publication and its correction were both under embargo.
    """
    written = Record()

    def write(unit: str, votes: int, at: datetime, reason: str | None = None) -> None:
        revision = sum(each.unit == unit for each in written.publications) + 1
        members = {"reason": reason} if reason else {}
        written.write(a_report(unit, revision, counts=counts(votes), **members), at)

    for votes in (90_000, 90):
        write(UNIT, votes, RELEASE)
    units = [units_of(small, place)[-1] for place in PLACES]
    for unit in units:
        write(unit, 5075, RELEASE)
    for number in range(12):
        write(UNIT, 89 - number, RELEASE + timedelta(hours=1 + number))
    for number, unit in enumerate(units):
        write(unit, 314, AT + timedelta(seconds=number), "booking_error")
    hidden = [
        msgspec.structs.replace(each, accepted_at=RELEASE - timedelta(hours=1))
        for each in written.publications[: 2 + len(units)]
    ]
    return [*hidden, *written.publications[len(hidden) :]]


@needs_chromium
async def test_all_corrections_are_listed_and_those_of_one_error_together(
    browser: Browser, small: GeneratedElection
) -> None:
    """The largest first, from what to what and for how long; on a phone too, and as it happens."""
    night = a_wrong_night(small)
    async with (
        served(FakeRecord(small.registry, night, shown=len(night) - 1)) as door,
        visiting(browser, viewport={"width": 390, "height": 844}) as visitor,
    ):
        profile = await visitor.own_profile()
        await profile.add_init_script("Math.random = () => 0")  # requests are not spread over time
        page = await visitor.open(door.origin)
        items = page.locator("#corrections-list > li")
        await expect(page.locator("#corrections-title")).to_have_text("14 corrections")
        await expect(items.first).to_contain_text("2 municipalities, -9,522 ballots")
        await door.show(len(night))
        await expect(page.locator("#corrections-title")).to_have_text("15 corrections")
        await expect(items.first).to_contain_text("3 municipalities, -14,283 ballots")
        members = items.first.locator("li")
        await expect(members).to_have_count(3)
        for member in await members.all():
            await expect(member).to_have_text(
                re.compile(
                    r"5,075 → 314 ballots \(-4,761\): data entry error; it looks like: a count of .+ \(06\d\d-\d{4}\)"
                    r" that was also entered here is withdrawn; public for 24 h 27 min, until 10 Sept"
                )
            )
        await expect(page.locator("#corrections-before")).to_have_text(
            "1 correction was made under embargo, of figures that were never public."
        )
        await expect(items).to_have_count(10)
        await page.locator("#corrections-more").click()
        await expect(items).to_have_count(13)
        await expect(page.locator("#corrections-more")).to_be_hidden()
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        await members.last.locator("a").click()
        await expect(page.locator("#area-title")).to_be_focused()
        await expect(page.locator("#area-corrections-list > li")).to_have_count(1)
        await expect(page.locator("#area-corrections-list > li")).to_contain_text("5,075 → 314 ballots")
        await page.locator("#crumbs a").first.click()
        await expect(items.first).to_contain_text("3 municipalities, -14,283 ballots")
        assert not visitor.errors


@full_only
@needs_chromium
async def test_a_large_group_is_folded_and_long_names_are_broken(
    browser: Browser, small: GeneratedElection
) -> None:
    """The largest corrections of a group are shown, and the others on request, on a phone too."""
    units = units_of(small, HERE)[:8]
    long = "Reipå/Ørnes/Neverdal/Mesøy/Støtt/Bolga/Meløya/Halsa/Glomfjord"
    areas = [
        {**each, "name": long, "names": {}} if each["id"] == units[0] else each
        for each in small.registry["areas"]
    ]
    written = Record()
    for revision, votes in ((1, 100), (2, 40)):
        for number, unit in enumerate(units):
            at = AT + timedelta(hours=revision, seconds=number)
            written.write(a_report(unit, revision, counts=counts(votes - number)), at)
    async with (
        served(FakeRecord({**small.registry, "areas": areas}, written.publications, shown=16)) as door,
        visiting(browser, viewport={"width": 390, "height": 844}) as visitor,
    ):
        page = await visitor.open(f"{door.origin}/areas/{door.record.id}/{HERE}")
        group = page.locator("#area-corrections-list > li")
        await expect(group).to_contain_text("1 municipality, -480 ballots")
        await expect(group.locator("li:visible")).to_have_count(5)
        await group.get_by_text("3 more corrections").click()
        await expect(group.locator("li:visible")).to_have_count(8)
        await expect(group).to_contain_text(long)
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        assert not visitor.errors


@needs_chromium
async def test_a_correction_is_explained_when_the_other_half_of_a_move_is_published(
    browser: Browser, small: GeneratedElection
) -> None:
    """The list of the municipality is read again, and says what the correction looks like after the sender's reason."""
    one, other = units_of(small, HERE)[:2]
    written = Record()
    for number, (unit, revision, votes) in enumerate(
        ((one, 1, 700), (other, 1, 20), (one, 2, 500), (other, 2, 220))
    ):
        members = {"counts": counts(votes), "counted_at": f"2024-09-09T1{revision}:00:00Z"}
        written.write(a_report(unit, revision, **members), AT + timedelta(seconds=number))
    async with (
        served(FakeRecord(small.registry, written.publications, shown=3)) as door,
        visiting(browser, viewport={"width": 390, "height": 844}) as visitor,
    ):
        profile = await visitor.own_profile()
        await profile.add_init_script("Math.random = () => 0")  # requests are not spread over time
        page = await visitor.open(f"{door.origin}/areas/{door.record.id}/{HERE}")
        item = page.locator("#area-corrections-list > li")
        await expect(item).to_contain_text("700 → 500 ballots (-200): no reason given; public for")
        await door.show(4)
        await expect(item).to_contain_text(
            re.compile(rf"no reason given; it looks like: moved to .+ \({other}\); public for")
        )
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        assert not visitor.errors


@needs_chromium
async def test_what_a_table_shows_can_be_downloaded(browser: Browser, small: GeneratedElection) -> None:
    """Below every table with results, and below the corrections: the level shown, as the feed door has it."""
    night = a_wrong_night(small)
    async with (
        served(FakeRecord(small.registry, night, shown=len(night))) as door,
        visiting(browser) as visitor,
    ):
        election = door.record.id
        page = await visitor.open(f"{door.origin}/areas/{election}?level=municipality")
        wanted = {
            "areas": f"{election}-municipality.csv",
            "corrections": f"{election}-vl-corrections.csv",
        }
        for section, name in wanted.items():
            async with page.expect_download() as downloading:
                await page.locator(f"#{section}-downloads a").first.click()
            download = await downloading.value
            assert download.suggested_filename == name
            assert await download.failure() is None
        await expect(page.locator("#areas-downloads")).to_have_text(
            "Download: Municipalities (CSV) · Municipalities (JSON)"
        )
        await page.locator("#levels").select_option("")
        await expect(page.locator("#areas-downloads a")).to_have_count(4)
        await page.goto(f"{door.origin}/areas/{election}/{HERE}")
        link = page.locator("#children-downloads a").first
        await expect(link).to_have_text("Units (CSV)")
        href = await link.get_attribute("href")
        assert href == f"/v1/elections/{election}/areas?level=precinct&area={HERE}&format=csv&bom=1"
        rows = (await (await page.request.get(door.origin + href)).text()).splitlines()
        assert {row.split(",")[3] for row in rows[1:]} == {HERE}
        await page.goto(f"{door.origin}/embed?election={election}&area={HERE}&show=table")
        assert await page.locator("#children-downloads a").first.get_attribute("href") == href
        assert not visitor.errors
