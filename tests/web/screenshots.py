"""`python -m tests.web.screenshots [DIRECTORY]`: take pictures of the pages, by default into docs/.

They show a generated election, pushed to a gateway that runs for this purpose. One election is some hours past its
release, another is still under embargo.
"""

import asyncio
import os
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from playwright.async_api import Browser, expect

from gateway.journal.embedded import EmbeddedPostgres
from gateway.journal.migrate import migrate
from gateway.rehearsal.generator import GeneratedElection, generate
from tests.conftest import Database
from tests.running import Gateway, Sender, running
from tests.web.browsing import browsing, visiting
from tests.web.doors import COUNTRY, push, pushed, shown, units_of
from tests.web.signed_door import LOG, UNIT, WITNESSES, signed_door

SEED, SCALE = 1, 0.35
TRANSFERS_S = 14.0
"""How long the transfers page is open before its picture is taken."""
SIZE_MAX = 300_000
"""Largest size of a picture, in bytes."""
SHORT, DESKTOP, TALL, PHONE, SCREEN, FRAME = (
    {"width": width, "height": height}
    for width, height in ((1280, 900), (1280, 1120), (1280, 1500), (390, 844), (1920, 1080), (640, 1000))
)


async def take(
    browser: Browser, url: str, path: Path, ready: str, seconds: float = 0.6, **options: Any
) -> None:
    """Take a picture of a page some seconds after the element `ready` has appeared."""
    async with visiting(browser, **options) as visitor:
        page = await visitor.open(url)
        await expect(page.locator(ready).first).to_be_visible()
        await page.wait_for_timeout(1000 * seconds)
        await page.screenshot(path=path)
        assert not visitor.errors, visitor.errors
    _report(path)


def _report(path: Path) -> None:
    size = path.stat().st_size
    assert size < SIZE_MAX, f"{path} has {size} bytes"
    sys.stdout.write(f"{path}  {size // 1000} kB\n")


async def _load(
    gateway: Gateway, generated: GeneratedElection, identifier: str, publish_from: datetime
) -> Sender:
    header = {**generated.registry["election"], "id": identifier, "name": "Kommunestyrevalget i Valland"}
    header["names"] = {"nn": "Kommunestyrevalet i Valland", "en": "Municipal elections in Valland"}
    header |= {"publish_from": publish_from.isoformat(), "polls_close": publish_from.isoformat()}
    await gateway.load({**generated.registry, "election": without_seats(header)})
    return await gateway.issue(identifier, [COUNTRY])


def without_seats(election: dict[str, Any]) -> dict[str, Any]:
    """Return what a registry says of an election, without the rules for a national assembly."""
    return {name: value for name, value in election.items() if name not in ("apportionment", "blocs")}


async def _keep_pushing(http: aiohttp.ClientSession, sender: Sender, reports: list[Any]) -> None:
    """Push one report after another, several per second, until cancelled."""
    for report in reports:
        await pushed(http, sender, report)
        await asyncio.sleep(0.15)


async def _pictures(gateway: Gateway, directory: Path) -> None:
    generated = generate(SEED, SCALE)
    reports = [line["report"] for line in generated.reports]
    now = datetime.now(UTC)
    night = await _load(gateway, generated, "night", now - timedelta(seconds=1))
    before = await _load(gateway, generated, "before", now + timedelta(minutes=42))
    done = len(reports) // 5
    async with aiohttp.ClientSession() as http, browsing() as browser:
        for start in range(0, done, 120):
            await pushed(http, night, *reports[start : min(done, start + 120)])
            await asyncio.sleep(0.4)
        await pushed(http, before, *reports[:50])
        await shown(gateway, night.election, done)
        largest = max(
            (area for area in generated.registry["areas"] if area["level"] == "municipality"),
            key=lambda area: sum(each["parent"] == area["id"] for each in generated.registry["areas"]),
        )["id"]
        results, area = f"{gateway.feed_url}/areas/night", f"/areas/night/{largest}"
        pushing = asyncio.create_task(_keep_pushing(http, night, reports[done:]))
        try:
            ready = "#areas tbody tr"
            await take(browser, results, directory / "results.png", ready, viewport=TALL)
            await take(
                browser, results, directory / "results-dark.png", ready, viewport=DESKTOP, color_scheme="dark",
                locale="nb-NO",
            )  # fmt: skip
            await take(
                browser, results, directory / "results-phone.png", ready, viewport=PHONE, locale="nb-NO"
            )
            await take(
                browser, f"{results}?kiosk", directory / "kiosk.png", "#kiosk-tiles .tile", 1.5, viewport=SCREEN,
                color_scheme="dark", locale="nb-NO",
            )  # fmt: skip
            await take(
                browser,
                f"{results}?at={done // 2}",
                directory / "night.png",
                "main.past #areas tbody tr",
                viewport=DESKTOP,
            )
            embed = f"{gateway.feed_url}/embed?election=night&area={largest}&show=summary"
            await take(browser, embed, directory / "embed.png", "#summary .shares li", viewport=FRAME)
            await take(
                browser, f"{gateway.feed_url}/transfers?election=night", directory / "transfers.png",
                "#list tbody tr", TRANSFERS_S, viewport=DESKTOP,
            )  # fmt: skip
            await _take_change(gateway, http, browser, directory / "change.png")
            await _take_seats(gateway, http, browser, directory / "seats.png")
            corrected = "#area-corrections-list > li"
            await take(browser, gateway.feed_url + area, directory / "area.png", corrected, viewport=TALL)
            await take(
                browser,
                f"{gateway.feed_url}/areas/before",
                directory / "embargo.png",
                ready,
                viewport=DESKTOP,
            )
            await take(
                browser, f"{gateway.feed_url}/docs", directory / "docs.png", "#document h1", viewport=SHORT
            )
            await _take_count(browser, gateway, units_of(generated, largest), largest, directory)
            await take_board(gateway, http, browser, directory / "operator.png")
            await take_holds(gateway, http, browser, directory / "holds.png")
            await take_verify(browser, directory / "verify.png")
        finally:
            pushing.cancel()
            await asyncio.wait({pushing})


async def _take_change(gateway: Gateway, http: aiohttp.ClientSession, browser: Browser, path: Path) -> None:
    """Take a picture of the change of a party since the previous election."""
    generated = generate(SEED, SCALE, past=True)
    released = datetime.now(UTC) - timedelta(seconds=1)
    header = {"id": "change", "publish_from": released.isoformat(), "rules": {}}
    header |= {"name": "Kommunestyrevalget i Valland", "names": {"en": "Municipal elections in Valland"}}
    election = {**generated.registry["election"], **header}
    registry = {**generated.registry, "election": without_seats(election)}
    async with gateway.administration() as acts:
        await acts.load_election(registry, generated.previous())
    sender = await gateway.issue("change", [COUNTRY])
    reports = [line["report"] for line in generated.reports]
    for start in range(0, len(reports), 120):
        await pushed(http, sender, *reports[start : start + 120])
    await shown(gateway, "change", len(reports))
    url = f"{gateway.feed_url}/areas/change?by=change&party=FL"
    await take(browser, url, path, "#legend .extremes", viewport=TALL)


async def _take_seats(gateway: Gateway, http: aiohttp.ClientSession, browser: Browser, path: Path) -> None:
    """Take a picture of the seats of an election in which the counties are districts, with most of it counted."""
    generated = generate(SEED, SCALE)
    released = datetime.now(UTC) - timedelta(seconds=1)
    header = {"id": "seats", "name": "Tingsvalget i Valland", "publish_from": released.isoformat()}
    election = {**generated.registry["election"], **header, "rules": {}}
    election["names"] = {"en": "Parliamentary election in Valland"}
    await gateway.load({**generated.registry, "election": election})
    sender = await gateway.issue("seats", [COUNTRY])
    reports = [line["report"] for line in generated.reports]
    counted = len(reports) * 2 // 3
    for start in range(0, counted, 120):
        await pushed(http, sender, *reports[start : min(counted, start + 120)])
    await shown(gateway, "seats", counted)
    async with visiting(browser, viewport=DESKTOP) as visitor:
        page = await visitor.open(f"{gateway.feed_url}/areas/seats")
        await expect(page.locator("#seats .hemicycle svg")).to_be_visible()
        await page.locator("#seats").evaluate("(seats) => scrollTo(0, seats.offsetTop - 20)")
        await page.wait_for_timeout(600)
        await page.screenshot(path=path)
        assert not visitor.errors, visitor.errors
    _report(path)


COUNT = "unit\tcounted_at\tstatus\tcategory\tballots\tblank\trejected\tFL\tNST"
"""The header of a table that is pasted into the page for officers."""


async def _take_count(
    browser: Browser, gateway: Gateway, units: list[str], municipality: str, directory: Path
) -> None:
    """Take pictures of the page for officers, with a table in which a comma was misplaced."""
    officer = await gateway.issue("before", [municipality])
    rows = [
        f"{unit}\t09.09.2024 22:05\tforeløpig\t{category}\t{ballots}\t2\t1\t{ballots - 60}\t58"
        for unit, category, ballots in (
            (units[1], "advance", 214), (units[1], "election_day", 431), (units[2], "advance", 152_000),
            (units[2], "election_day", 377), (units[3], "advance", 98), (units[3], "election_day", 264),
        )
    ]  # fmt: skip
    for name, options in (
        ("count", {"viewport": TALL}),
        ("count-phone", {"viewport": PHONE, "locale": "nb-NO", "color_scheme": "dark"}),
    ):
        async with visiting(browser, **options) as visitor:
            page = await visitor.open(f"{gateway.push_url}/count?election=before")
            await page.locator("#token").fill(officer.secret)
            await expect(page.locator("#sign-in-button")).to_be_enabled()
            await page.keyboard.press("Enter")
            await page.locator("#paste").fill("\n".join([COUNT, *rows]))
            await page.locator("#check").click()
            await expect(page.locator("#preview-title")).to_be_focused()
            await page.locator("#preview").scroll_into_view_if_needed()
            path = directory / f"{name}.png"
            await page.screenshot(path=path)
            assert not visitor.errors, visitor.errors
        _report(path)


async def take_board(gateway: Gateway, http: aiohttp.ClientSession, browser: Browser, path: Path) -> None:
    """Take a picture of the board of a rehearsal in which municipalities are refused, silent and without tokens."""
    generated = generate(SEED, SCALE)
    end = datetime.now(UTC) + timedelta(minutes=42)
    header = {"id": "rehearsal", "name": "Kommunestyrevalget i Valland", "rehearsal": True}
    header |= {"publish_from": end.isoformat()}
    await gateway.load({**generated.registry, "election": {**generated.registry["election"], **header}})
    areas = [area["id"] for area in generated.registry["areas"] if area["level"] == "municipality"]
    first = {line["report"]["unit"][:4]: line["report"] for line in reversed(generated.reports)}
    for area in areas[2:12]:
        sender = await gateway.issue("rehearsal", [area])
        if area in areas[5:]:
            await pushed(http, sender, first[area])
        if area == areas[8]:
            await push(http, sender, {**first[area], "revision": 2, "counts": {"advance": {}}})
    operator = await gateway.issue("rehearsal", [COUNTRY], role="operator")
    await asyncio.sleep(2.0)  # until the refusal is written
    async with visiting(browser, viewport=TALL) as visitor:
        page = await visitor.open(f"{gateway.push_url}/operator?election=rehearsal&silent=30")
        await page.fill("#token", operator.secret)
        await page.click("#entry-form button")
        await expect(page.locator("#rows tbody tr").first).to_be_visible()
        await page.screenshot(path=path)
        assert not visitor.errors, visitor.errors
    _report(path)


async def take_holds(gateway: Gateway, http: aiohttp.ClientSession, browser: Browser, path: Path) -> None:
    """Take a picture of held reports: a count that was sent under another municipality's code too, and a fall."""
    generated = generate(SEED, SCALE)
    began = datetime.now(UTC) - timedelta(minutes=1)
    header = {"id": "holds", "name": "Kommunestyrevalget i Valland", "publish_from": began.isoformat()}
    header |= {"polls_close": began.isoformat(), "rules": "recommended"}
    await gateway.load({**generated.registry, "election": {**generated.registry["election"], **header}})
    sender = await gateway.issue("holds", [COUNTRY])
    newest = {line["report"]["unit"]: line["report"] for line in generated.reports}
    early = [each for each in newest.values() if "advance" in each["counts"]]
    by_size = sorted(early, key=lambda report: report["counts"]["advance"]["ballots"])
    counted = by_size[-20]
    alike = [
        each
        for each in by_size
        if _parties(each) == _parties(counted) and each["unit"][:4] != counted["unit"][:4]
    ]
    copied, fallen = alike[len(alike) // 2], alike[-12]
    await pushed(http, sender, *newest.values())
    await pushed(
        http,
        sender,
        {**copied, "revision": copied["revision"] + 1, "counts": {**copied["counts"], **counted["counts"]}},
        {**fallen, "revision": fallen["revision"] + 1, "counts": _halved(fallen["counts"])},
    )
    operator = await gateway.issue("holds", [COUNTRY], role="operator")
    async with visiting(browser, viewport=TALL) as visitor:
        page = await visitor.open(f"{gateway.push_url}/operator?election=holds")
        await page.fill("#token", operator.secret)
        await page.click("#entry-form button")
        await page.locator(f'#holds li[data-unit="{copied["unit"]}"] .expander').click()
        await expect(page.locator("#holds table").first).to_be_visible()
        await page.screenshot(path=path)
        assert not visitor.errors, visitor.errors
    _report(path)


async def take_verify(browser: Browser, path: Path) -> None:
    """Take a picture of the page about the signed record, with a proof that was verified."""
    keys = "\n".join(str(each.vkey) for each in (LOG, *WITNESSES))
    async with signed_door() as door, visiting(browser, viewport=TALL) as visitor:
        page = await visitor.open(f"{door.url}/verify")
        await page.locator("#keys").fill(keys)
        content = door.record.proof(5).encode()
        await page.locator("#file").set_input_files(
            {"name": f"{UNIT}-5.tlog-proof", "mimeType": "", "buffer": content}
        )
        await expect(page.locator("#proof-result .sentence.good")).to_be_visible()
        await page.locator("h1").click()
        await page.screenshot(path=path)
        assert not visitor.errors, visitor.errors
    _report(path)


def _halved(counts: dict[str, Any]) -> dict[str, Any]:
    halved = {}
    for category, each in counts.items():
        votes = {party: figure // 2 for party, figure in each["votes"].items()}
        halved[category] = {**each, "votes": votes, "ballots": sum(votes.values()) + each["blank"]}
    return halved


def _parties(report: dict[str, Any]) -> set[str]:
    return {party for counts in report["counts"].values() for party in counts["votes"]}


async def _main(directory: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="valgnatt-pictures-") as scratch:
        os.chmod(scratch, 0o755)
        with EmbeddedPostgres(Path(scratch) / "postgres", durable=False) as server:
            await migrate(server.url)
            async with running(Database(server.url, server.feed_url)) as gateway:
                await _pictures(gateway, directory)


if __name__ == "__main__":
    into = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    into.mkdir(parents=True, exist_ok=True)
    asyncio.run(_main(into))
