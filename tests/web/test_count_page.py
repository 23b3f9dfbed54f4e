"""The page for officers in a real browser: mistakes, warnings, receipts, lost connections, and what must not leak."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import aiohttp
import pytest
import pytest_asyncio
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page, expect

from gateway.rehearsal.generator import GeneratedElection
from tests.counts import variants
from tests.running import Gateway, Sender
from tests.web.browsing import Visitor, cuttable_proxy, http_on_session_loop, needs_chromium, visiting
from tests.web.doors import HERE, OTHER_UNIT, UNIT, a_registry, a_report, ask, push
from tests.web.test_accessibility import violations

HEADER = "unit\tcounted_at\tstatus\tcategory\tballots\tblank\trejected\tFL"
AT = "2024-09-09T23:00:00+02:00"
ELIGIBLE, TOWN = 334, "The town"
HOSTILE = '<img src=x onerror="alert(1)">'

pytestmark = pytest.mark.long


class Officer(NamedTuple):
    """An officer's browser, token and election; the election is under embargo."""

    visitor: Visitor
    sender: Sender
    observer: Sender
    """A token to look at what was received while the page may be reading too: one token reads once at a time."""

    async def open(self, url: str = "") -> Page:
        """Open the page."""
        address = url or self.sender.gateway.push_url
        page = await self.visitor.open(f"{address}/count?election={self.sender.election}")
        await expect(page.locator("#sign-in-button")).to_be_enabled()
        return page

    async def sign_in(self, url: str = "") -> Page:
        """Open the page and sign in."""
        page = await self.open(url)
        await page.locator("#token").fill(self.sender.secret)
        await page.keyboard.press("Enter")
        await expect(page.locator("#file-title")).to_be_focused()
        return page


http = http_on_session_loop


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def embargoed(gateway: Gateway, small: GeneratedElection) -> str:
    """An election under embargo, whose names are hostile, and in which one municipality has few eligible voters."""
    opens = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    names = {"en": f"Named {HOSTILE}"}
    registry = a_registry(small, publish_from=opens, names=names)
    areas = [dict(each) for each in registry["areas"]]
    for area in areas:
        if area["id"] == HERE:
            area |= {"eligible": ELIGIBLE, "names": {"en": TOWN}}
        if area["id"] == UNIT:
            area |= {"name": HOSTILE, "names": names}
    return await gateway.load({**registry, "areas": areas})


@pytest_asyncio.fixture(loop_scope="session")
async def officer(browser: Browser, gateway: Gateway, embargoed: str) -> AsyncIterator[Officer]:
    """An officer who reads English, with a token of one municipality."""
    sender = await gateway.issue(embargoed, [HERE])
    observer = await gateway.issue(embargoed, [HERE], role="operator")
    async with visiting(browser, accept_downloads=True) as visitor:
        yield Officer(visitor, sender, observer)
        unexpected = [each for each in visitor.errors if "Failed to load resource" not in each]
        assert unexpected == []


def row(unit: str, votes: int, at: str = AT) -> str:
    return f"{unit}\t{at}\tpreliminary\telection_day\t{votes + 1}\t1\t2\t{votes}"


def pasted(*rows: str) -> str:
    return "\n".join([HEADER, *rows])


async def checked(page: Page, content: str) -> None:
    """Paste a table and have it checked."""
    await page.locator("#paste").fill(content)
    await page.locator("#check").click()


async def received(http: aiohttp.ClientSession, sender: Sender) -> dict[str, Any]:
    """Return what the gateway has of each unit."""
    answer = await ask(http, "GET", sender.url(), headers=sender.headers)
    assert answer.status == 200, answer.body
    return {each["id"]: each for each in answer.document["units"]}


@needs_chromium
async def test_an_officer_reports_counts_after_each_mistake(
    officer: Officer, http: aiohttp.ClientSession
) -> None:
    """A bad token, lost zeros, a wrong sum, far too many ballots; then receipts, and the counts under embargo."""
    page = await officer.open()
    await page.locator("#token").fill("a" * 43)
    await page.keyboard.press("Enter")
    await expect(page.locator("#sign-in-error")).to_contain_text("not valid for this election")
    await expect(page.locator("#token")).to_be_focused()
    await expect(page.locator("#token")).to_have_attribute("aria-invalid", "true")
    await page.locator("#token").fill(f" {officer.sender.secret} ")
    await page.keyboard.press("Enter")
    await expect(page.locator("#file-title")).to_be_focused()

    await checked(page, pasted(row(UNIT, 5), row("604-0002", 5)))
    await expect(page.locator("#file-error-title")).to_be_focused()
    await expect(page.locator("#file-error li")).to_contain_text("604-0002")
    await page.get_by_role("button", name="Show line 3").click()
    selected = "() => getSelection().toString() || document.activeElement.value.slice("
    selected += "document.activeElement.selectionStart, document.activeElement.selectionEnd)"
    assert (await page.evaluate(selected)).startswith("604-0002")
    await checked(page, pasted(row(UNIT, 5), row(OTHER_UNIT, 5).replace("\t6\t", "\t1.234\t")))
    await page.get_by_role("button", name="Show line 3, column E").click()
    assert await page.evaluate(selected) == "1.234"
    assert (await received(http, officer.observer))[UNIT]["revision"] is None

    await checked(page, pasted(row(UNIT, 12_000), row(OTHER_UNIT, 20)))
    await expect(page.locator("#preview-title")).to_be_focused()
    await expect(page.locator("#red-lines-list")).to_contain_text(
        f"{TOWN} gets 12,022 ballots but has only {ELIGIBLE} eligible voters"
    )
    await page.evaluate(AXE_SCRIPT)
    assert await violations(page, {}) == []
    await page.get_by_role("button", name="Send 2 counts").click()
    await expect(page.locator("#accept")).to_be_focused()
    await expect(page.locator("#accept-error")).to_contain_text("Nothing was sent")
    assert (await received(http, officer.observer))[UNIT]["revision"] is None

    await checked(page, pasted(row(UNIT, 120), row(OTHER_UNIT, 20)))
    await page.get_by_role("button", name="Send 2 counts").click()
    await expect(page.locator("#sending-status")).to_have_text(
        "All 2 counts were received and have receipts."
    )
    await expect(page.locator("#answers tbody tr")).to_have_count(2)
    await expect(page.locator(f'#own-table [data-unit="{UNIT}"]')).to_contain_text("121")
    await expect(page.locator(f'#own-table [data-unit="{UNIT}"]')).to_contain_text("published later")
    stored = (await received(http, officer.observer))[UNIT]
    assert (stored["revision"], stored["ballots"]) == (1, 121)
    assert await violations(page, {}) == []

    await checked(page, pasted(row(UNIT, 12_000, AT.replace("23:00", "23:30"))))
    await page.locator("#accept").fill("yes")
    await page.keyboard.press("Tab")
    await page.get_by_role("button", name="Send 1 count").click()
    await expect(page.locator("#sending-status")).to_have_text("The count was received and has its receipt.")
    assert (await received(http, officer.observer))[UNIT]["ballots"] == 12_001


@needs_chromium
async def test_the_token_stays_in_the_memory_of_the_page(officer: Officer) -> None:
    """It is in no address, storage, cookie or element, and only headers of requests to the door have it."""
    headers: list[tuple[str, dict[str, str]]] = []
    page = await officer.open()
    page.on("request", lambda request: headers.append((request.url, request.headers)))
    await page.locator("#token").fill(officer.sender.secret)
    await page.keyboard.press("Enter")
    await expect(page.locator("#signed-in")).to_be_visible()
    await expect(page.locator("#token")).to_have_value("")
    found = await page.evaluate(
        """() => [location.href, document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage),
            JSON.stringify(history.state), document.documentElement.outerHTML,
            ...[...document.querySelectorAll("input, textarea")].map((each) => each.value)]"""
    )
    assert not [each for each in found if officer.sender.secret in str(each)]
    assert await officer.visitor.context.cookies() == []
    assert officer.visitor.requests_elsewhere(officer.sender.gateway.push_url) == []
    assert not [url for url, _ in headers if officer.sender.secret in url]
    assert any(officer.sender.secret in sent.get("authorization", "") for _, sent in headers)
    assert not [sent for _, sent in headers if sent.get("referer")]
    assert not [line for line in officer.sender.gateway.log if officer.sender.secret in line]
    await page.get_by_role("button", name="Forget the token").click()
    await expect(page.locator("#token")).to_be_focused()
    await expect(page.locator("#own")).to_be_hidden()


@needs_chromium
async def test_names_and_cells_are_shown_as_texts(officer: Officer, tmp_path: Path) -> None:
    """Whatever the registry and a file contain. Unknown kinds of files are refused; other encodings are read."""
    page = await officer.sign_in()
    await expect(page.locator("#signed-in-text")).to_contain_text(HOSTILE)
    await expect(page.locator(f'#own-table [data-unit="{UNIT}"] th')).to_contain_text(HOSTILE)
    await checked(page, pasted(row(HOSTILE, 5)))
    await expect(page.locator("#file-error li")).to_contain_text("onerror")
    for name, content in (
        ("<b>x.pdf", b"%PDF"),
        ("x.xlsx", b"PK\x03\x04 no workbook"),
        ("x.csv", b"\xff\xfe"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        await page.locator("#file").set_input_files(path)
        await page.locator("#check").click()
        await expect(page.locator("#file-error li")).not_to_have_text("")
        await expect(page.locator("#paste")).to_have_value("")
    saved = pasted(row("0604-0003", 8)).replace("\t", ";").replace("preliminary", "foreløpig")
    path = tmp_path / "norsk.csv"
    path.write_bytes(saved.encode("cp1252"))
    await page.locator("#file").set_input_files(path)
    await page.locator("#check").click()
    await expect(page.locator("#preview-notes")).to_contain_text("Windows-1252")
    await expect(page.locator("#preview-table")).to_contain_text("preliminary")
    assert await page.locator("main img, main b").count() == 0


@needs_chromium
async def test_counts_survive_a_lost_connection_and_a_revoked_token(
    officer: Officer, http: aiohttp.ClientSession
) -> None:
    """The page says so, keeps trying, and sends nothing twice; a reload would be a loss, so the browser asks first."""
    gateway = officer.sender.gateway
    async with cuttable_proxy(gateway.push_url) as proxy:
        page = await officer.sign_in(proxy.url)
        await checked(page, pasted(row(UNIT, 30, AT.replace("23:00", "23:40"))))
        await expect(page.locator("#preview-title")).to_be_focused()
        await proxy.cut()
        await page.locator("#send").click()
        if await page.locator("#accept").is_visible():
            await page.locator("#accept").fill("yes")
            await page.locator("#send").click()
        await expect(page.locator("#sending-status")).to_contain_text("Sending again is safe")
        asked: list[str] = []
        page.once("dialog", lambda dialog: asyncio.ensure_future(_stay(dialog, asked)))
        await page.evaluate("() => setTimeout(() => location.reload(), 0)")
        await expect(page.locator("#sending-status")).to_contain_text("Sending again is safe")
        await proxy.restore()
        await expect(page.locator("#sending-status.good")).to_be_visible()
        assert asked == ["beforeunload"]
        first = (await received(http, officer.observer))[UNIT]

        await gateway.revoke(officer.sender)
        other = await gateway.issue(officer.sender.election, [HERE])
        later = pasted(row(UNIT, 31, AT.replace("23:00", "23:50")))
        await checked(page, later)
        await expect(page.locator("#sign-in-error")).to_contain_text("The counts are still on this page")
        await expect(page.locator("#paste")).to_have_value(later)
        await page.locator("#token").fill(other.secret)
        await page.locator("#election").fill("another")
        await page.keyboard.press("Enter")
        await expect(page.locator("#sign-in-error")).to_contain_text("The page has counts of the election")
        await page.locator("#election").fill(other.election)
        await page.keyboard.press("Enter")
        await page.locator("#check").click()
        await page.get_by_role("button", name="Send 1 count").click()
        await expect(page.locator("#sending-status.good")).to_be_visible()
        assert (await received(http, officer.observer))[UNIT]["revision"] == first["revision"] + 1


async def _stay(dialog: Any, asked: list[str]) -> None:
    asked.append(dialog.type)
    await dialog.dismiss()


@needs_chromium
async def test_another_count_that_was_quicker_is_never_replaced_unseen(
    officer: Officer, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """The first of two counts is refused, the next one not sent; the receipts of others can be kept as files."""
    page = await officer.sign_in()
    at = AT.replace("T23:00", "T23:55")
    counts = [a_report(OTHER_UNIT, 0, 40, counted_at=each) for each in (at, at.replace(":55:00", ":55:30"))]
    for count in counts:
        del count["revision"]
    file = {"name": "two.json", "mimeType": "application/json", "buffer": json.dumps(counts).encode()}
    await page.locator("#file").set_input_files(file)  # type: ignore[arg-type]
    await page.locator("#check").click()
    await expect(page.locator("#preview-title")).to_be_focused()
    now = (await received(http, officer.observer))[OTHER_UNIT]["revision"] or 0
    quicker = a_report(OTHER_UNIT, now + 1, 41, counted_at=at.replace(":55:", ":56:"))
    assert (await push(http, officer.sender, quicker)).status == 201
    await page.locator("#send").click()
    if await page.locator("#accept").is_visible():
        await page.locator("#accept").fill("YES")
        await page.locator("#send").click()
    await expect(page.locator("#answers")).to_contain_text("Another count of the unit was quicker")
    await expect(page.locator("#answers tr.not_sent")).to_have_count(1)
    await page.get_by_role("button", name="Check again").click()
    await expect(page.locator("#file-error li")).to_contain_text("which was counted later")
    assert (await received(http, officer.observer))[OTHER_UNIT]["ballots"] == 42

    await checked(page, pasted(row(OTHER_UNIT, 43, at.replace(":55:", ":57:"))))
    await page.get_by_role("button", name="Send 1 count").click()
    await expect(page.locator("#sending-status.good")).to_be_visible()
    for kind in ("CSV", "JSON"):
        async with page.expect_download() as downloading:
            await page.get_by_role("button", name=f"({kind})").click()
        download = await downloading.value
        path = tmp_path / download.suggested_filename
        await download.save_as(path)
        text = path.read_text(encoding="utf-8-sig")
        assert re.fullmatch(rf"receipts-.*\.{kind.lower()}", path.name)
        if kind == "JSON":
            answers = [(each["unit"], each["outcome"]) for each in json.loads(text)]
            assert answers == [(OTHER_UNIT, "accepted"), (OTHER_UNIT, "refused")]
        else:
            assert text.splitlines()[1].startswith(f"{OTHER_UNIT};")


IN_LANGUAGES = [
    ("nb-NO", ("Linje 2, kolonne A (unit): «604-0002» er ikke et tellested", "Mente du 0604-0002?",
               "«1.234» er ikke et helt tall. Det kan leses som 1234",
               "er ikke en kjent status. Mente du endeleg? Statusene er ikke talt, telles, foreløpig, endelig,")),
    ("nn-NO", ("Linje 2, kolonne A (unit): «604-0002» er ikkje ein teljestad", "Meinte du 0604-0002?",
               "«1.234» er ikkje eit heilt tal. Det kan lesast som 1234",
               "er ikkje ein kjend status. Meinte du endeleg? Statusane er ikkje talt,")),
]  # fmt: skip


@needs_chromium
@pytest.mark.parametrize(
    ("language", "words"),
    variants(IN_LANGUAGES, IN_LANGUAGES[1]),
)
async def test_mistakes_and_notes_are_in_the_language_of_the_page(
    browser: Browser, officer: Officer, language: str, words: tuple[str, ...]
) -> None:
    """Codes and parameters become sentences; the same mistakes follow a change of the language."""
    async with visiting(browser, locale=language) as visitor:
        page = await officer._replace(visitor=visitor).sign_in()
        wrong = row(OTHER_UNIT, 5).replace("preliminary", "endelegg")
        await checked(page, pasted(row("604-0002", 5), row(UNIT, 5).replace("\t6\t", "\t1.234\t"), wrong))
        shown = page.locator("#file-error")
        for each in words:
            await expect(shown).to_contain_text(each)
        await expect(shown.locator("li [lang=en]")).to_have_count(0)
        await page.locator("#language").select_option("en")
        await expect(shown).to_contain_text("“1.234” is not a whole number. It can be read as 1234")
        await expect(shown.locator("li [lang=en]")).to_have_count(0)
        total = "sum\t\t\t\t6\t1\t2\t5"
        await checked(page, pasted(row(UNIT, 5, AT.replace("T23:00", "T23:59")), total))
        await page.locator("#language").select_option(language[:2])
        await expect(page.locator("#preview-notes")).to_contain_text(
            "Linje 3: Ein" if "nn" in language else "Linje 3: En"
        )


@needs_chromium
async def test_what_the_gateway_would_hold_is_said_before_it_is_sent(
    browser: Browser, gateway: Gateway, small: GeneratedElection
) -> None:
    """In each language; it needs no consent, and the receipt says the same."""
    election = await gateway.load(a_registry(small, rules="recommended"))
    sender = await gateway.issue(election, [HERE])
    async with visiting(browser, locale="nb-NO") as visitor:
        page = await Officer(visitor, sender, sender).sign_in()
        await checked(page, pasted(row(UNIT, 300), row(OTHER_UNIT, 300)))
        held, card = (
            page.locator("#preview-holds"),
            page.locator(f'#preview-table [data-unit="{OTHER_UNIT}"]'),
        )
        await expect(held).to_contain_text("ville 1 telling bli holdt tilbake: den får kvittering")
        await expect(card).to_have_class("hold")
        await expect(card).to_contain_text(
            "Ville bli holdt tilbake. Disse 301 valgtingsstemmene er de samme som i"
        )
        await page.locator("#language").select_option("nn")
        await expect(card).to_contain_text("Ville bli halden tilbake. Desse 301 ")
        await expect(held).to_contain_text("ville 1 teljing bli halden tilbake")
        await page.locator("#language").select_option("en")
        await expect(card).to_contain_text("Would be held. These 301 election-day ballots equal those of")
        await expect(held).to_contain_text(
            "1 count would be held: received, but checked before it is published"
        )
        await page.evaluate(AXE_SCRIPT)
        assert await violations(page, {}) == []
        await page.get_by_role("button", name="Send 2 counts").click()
        await expect(page.locator("#answers")).to_contain_text("received, and checked before it is published")


@needs_chromium
async def test_a_phone_shows_a_token_that_may_only_read_what_there_is(
    browser: Browser, officer: Officer
) -> None:
    """Nothing is wider than the screen, in nynorsk and in the dark; times are those of the election, wherever it is."""
    operator = await officer.sender.gateway.issue(officer.sender.election, [HERE], role="operator")
    options = {"viewport": {"width": 360, "height": 780}, "color_scheme": "dark", "locale": "nn-NO"}
    options["timezone_id"] = "Asia/Tokyo"
    async with visiting(browser, **options) as visitor:
        page = await Officer(visitor, operator, operator).open()
        earliest = datetime.now(ZoneInfo("Europe/Oslo"))
        await page.locator("#token").fill(operator.secret)
        await page.keyboard.press("Enter")
        await expect(page.locator("#own-title")).to_be_focused()
        hours = {f"{at:%H}" for at in (earliest, datetime.now(ZoneInfo("Europe/Oslo")))}
        updated = await page.locator("#own-status").text_content()
        assert re.search(r"\d\d(?=[.:])", updated or "")[0] in hours, updated  # type: ignore[index]
        await expect(page.locator("#own-title")).to_have_text("Mine teljingar")
        await expect(page.locator("#file-section")).to_be_hidden()
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= 360
        await page.evaluate(AXE_SCRIPT)
        assert await violations(page, {"runOnly": ["color-contrast"]}) == []
