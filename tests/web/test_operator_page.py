"""The page for operators in a real browser: problems first, commands to copy, and a token that nothing keeps."""

import asyncio
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page, Route, expect

from gateway.rehearsal.generator import GeneratedElection
from tests.running import Gateway, Sender
from tests.web.browsing import cuttable_proxy, needs_chromium, visiting
from tests.web.doors import COUNTRY, FOREIGN_UNIT, HERE, THERE, a_client, a_registry, a_report, push, pushed
from tests.web.test_accessibility import violations

HOSTILE = "<img src=x onerror=alert(1)>'; rm -rf ~ #"


async def shown(page: Page, operator: Sender) -> None:
    """Enter an operator's token and wait for the board."""
    await page.fill("#token", operator.secret)
    await page.click("#entry-form button")
    await expect(page.locator("#rows tbody tr").first).to_be_visible()


@needs_chromium
async def test_operators_see_problems_first_and_copy_commands(
    gateway: Gateway, browser: Browser, small: GeneratedElection
) -> None:
    """Refused before silent before those that report; nothing in a name is markup, and every command is exact."""
    end = (datetime.now(UTC) + timedelta(hours=3)).replace(microsecond=0)
    registry = a_registry(small, publish_from=end.isoformat(), rehearsal=True)
    registry["areas"] = [
        {**area, "name": HOSTILE} if area["id"] == HERE else area for area in registry["areas"]
    ]
    election = await gateway.load(registry)
    operator = await gateway.issue(election, [COUNTRY], role="operator")
    here, there = await gateway.issue(election, [HERE]), await gateway.issue(election, [THERE])
    async with a_client() as http:
        await pushed(http, there, a_report(f"{THERE}-0001"))
        (await push(http, here, a_report() | {"status": "none"})).problem(422, "invalid_report")
    async with visiting(browser, permissions=["clipboard-read", "clipboard-write"]) as visitor:
        page = await visitor.open(f"{gateway.push_url}/operator?election={election}&silent=45")
        await page.fill("#token", here.secret)
        await page.click("#entry-form button")
        await expect(page.locator("#problem")).to_have_text(
            "This is a sender's token. The board needs a token of role operator."
        )
        visitor.errors.clear()  # the browser reports the status 403
        await shown(page, operator)
        await expect(page.locator("#rehearsal")).to_be_visible()
        first = page.locator("#problems li").first
        await expect(first).to_contain_text(f"{HOSTILE} (invalid_report × 1)", timeout=15_000)
        await expect(page.locator("#problems li").nth(1)).to_contain_text("no token")
        states = page.locator("#rows tbody tr td:nth-child(2) span")
        assert [await states.nth(number).text_content() for number in (0, 1)] == [
            "refused",
            "without a token",
        ]
        assert await page.locator("#rows tbody tr th span").first.text_content() == HOSTILE
        assert await page.locator("#main img").count() == 0
        await page.locator("#rows tbody tr").first.get_by_role("button").click()
        assert await page.evaluate("navigator.clipboard.readText()") == f"valgnatt token revoke {here.key}"
        acts = await page.locator("#acts code").all_text_contents()
        later = (end + timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M:%S")
        assert acts[1:] == [f"valgnatt election close {election}"]
        assert acts[0].startswith(f"valgnatt election embargo {election} --until ")
        until = datetime.fromisoformat(acts[0].rpartition(" ")[2])
        assert until == datetime.fromisoformat(f"{later}+00:00")
        issue = (
            f"valgnatt token issue --election {election} --each municipality --missing-only --out tokens.csv"
        )
        await expect(page.locator("#problems code")).to_have_text(issue)
        copy = page.locator("#problems li", has=page.locator("code")).get_by_role("button").last
        await copy.click()
        async with a_client() as http:
            (await push(http, here, a_report(FOREIGN_UNIT))).problem(403, "unit_forbidden")
        await expect(first).to_contain_text("unit_forbidden", timeout=15_000)
        await expect(copy).to_be_focused()
        quoted = await page.evaluate(
            "text => import('/static/0/commands.js').then(({shellWord}) => shellWord(text))", HOSTILE
        )
        assert await asyncio.to_thread(_echoed, quoted) == HOSTILE
        kept = await page.evaluate(
            "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
        )
        assert operator.secret not in kept + page.url + "".join(visitor.requests)
        assert "silent=45" in page.url
        await page.evaluate(AXE_SCRIPT)
        for width, theme in ((1280, "light"), (390, "dark")):
            await page.set_viewport_size({"width": width, "height": 900})
            await page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            assert await violations(page, {}) == []
            assert await page.evaluate("document.documentElement.scrollWidth") == width
        assert await page.input_value("#token") == ""
        assert visitor.errors == []
        assert visitor.requests_elsewhere(gateway.push_url) == []


MINUTE_MS = 60_000
ROW = {
    "units": 2, "reported": 1, "expected": True, "tokens": [{}], "refusals": [], "last_accepted_at": None,
    "last_contact_at": "1970-01-01T00:00:00Z", "last_heard_at": "1970-01-01T00:00:00Z",
}  # fmt: skip
EARLIER, LATER = "1970-01-01T00:20:00Z", "1970-01-01T00:25:00Z"
STATES: list[tuple[dict[str, Any], str]] = [
    ({"last_heard_at": LATER}, "reporting"),
    ({"last_heard_at": EARLIER}, "reporting"),
    ({}, "silent"),
    ({"last_heard_at": None}, "silent"),
    ({"last_heard_at": None, "last_contact_at": None}, "never"),
    ({"expected": False}, "expired"),
    ({"expected": False, "tokens": []}, "noToken"),
    ({"reported": 2}, "done"),
    ({"reported": 2, "refusals": [{"code": "malformed", "last_at": LATER}]}, "refused"),
    ({"refusals": [{"code": "malformed", "last_at": LATER}], "last_accepted_at": EARLIER}, "refused"),
    ({"refusals": [{"code": "malformed", "last_at": EARLIER}], "last_accepted_at": LATER}, "silent"),
    ({"refusals": [{"code": "stale_revision", "last_at": LATER}]}, "silent"),
]
"""Municipalities at 00:30, and their states if 15 minutes without a sign are silence."""


def _echoed(word: str) -> str:
    """Return what a shell makes of a word."""
    return subprocess.run(
        ["sh", "-c", f"printf %s {word}"], capture_output=True, text=True, check=True
    ).stdout


@needs_chromium
async def test_the_minutes_of_silence_and_the_filter_are_in_the_address(
    gateway: Gateway, browser: Browser, small: GeneratedElection
) -> None:
    """They are read from it and written to it; and the page says since when the board gets no answer.

    All below a path, as behind a proxy.
    """

    async def without_path(route: Route) -> None:
        await route.continue_(url=route.request.url.replace("/push/", "/"))

    election = await gateway.load(a_registry(small))
    operator = await gateway.issue(election, [COUNTRY], role="operator")
    sender = await gateway.issue(election, [HERE])
    async with a_client() as http:
        await pushed(http, sender, a_report())
    async with cuttable_proxy(gateway.push_url) as proxy, visiting(browser, locale="nb-NO") as visitor:
        profile = await visitor.own_profile()
        await profile.route("**/push/**", without_path)
        page = await visitor.open(f"{proxy.url}/push/operator?election={election}&silent=30&which=reporting")
        await shown(page, operator)
        rows = page.locator("#rows tbody tr")
        await expect(rows).to_have_count(1)
        await expect(rows.locator("td span").first).to_have_text("melder")
        states = await page.evaluate(
            """([rows, now_ms, silent_ms]) => import("/static/0/board.js").then(({ stateOf }) =>
                rows.map((row) => stateOf(row, { closed_at: null }, now_ms, silent_ms)))""",
            [[ROW | changed for changed, _ in STATES], 30 * MINUTE_MS, 15 * MINUTE_MS],
        )
        assert states == [state for _, state in STATES]
        await page.select_option("#which", "silent")
        await page.fill("#silent", "9")
        await page.wait_for_url("**silent=9**")
        assert "which=silent" in page.url
        await proxy.cut()
        await expect(page.locator("#problem")).to_contain_text("Ikke noe svar siden", timeout=15_000)
        await expect(page.locator("#board")).to_be_visible()
        await page.click("#forget")
        await expect(page.locator("#entry")).to_be_visible()
        await expect(page.locator("#board")).to_be_hidden()
        await proxy.restore()
