"""The API page: every sample that it shows is run as it is shown, its links lead somewhere, and its forms send."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from gateway.rehearsal.generator import GeneratedElection
from tests.counts import count, variants
from tests.feed.served import FakeRecord, served
from tests.running import Gateway, Sender
from tests.signer.signing import signing
from tests.web.browsing import needs_chromium, visiting
from tests.web.change_makers import a_previous
from tests.web.conftest import IN_OTHER_SHAPE
from tests.web.doors import COUNTRY, OTHER_UNIT, a_client, a_registry, a_report, pushed, shown
from tests.web.test_signed_record import until_shown

TIMEOUT_S = 60.0
ENDLESS, WITH_MISTAKE = "get_feed", "get_results"
OF_OPERATORS = ("get_board", "post_decision", "get_rules", "put_rules")
REFUSED = {"post_decision": "not_decided"}
"""Samples whose requests name what no election has, and the code of the answer."""
READ = """() => Object.fromEntries([...document.querySelectorAll("article[id]")].flatMap((article) => {
    const code = article.querySelector("pre.sample code");
    return code ? [[article.id, code.textContent]] : [];
}))"""
RUN_JAVASCRIPT = """
import { readFileSync } from "node:fs";
const results = {};
let output = "";
console.log = (...values) => { output += values.map((each) =>
    typeof each === "string" ? each : JSON.stringify(each)).join(" "); };
for (const [name, { file, token }] of Object.entries(JSON.parse(readFileSync(0, "utf8")))) {
    output = "";
    process.env.VALGNATT_TOKEN = token;
    try { await import(file); results[name] = output; } catch (error) { results[name] = "FAILED " + error; }
}
process.stdout.write(JSON.stringify(results), () => process.exit(0));
"""
RUN_PYTHON = """
import contextlib, io, json, os, sys, traceback
results = {}
for name, sample in json.load(sys.stdin).items():
    os.environ["VALGNATT_TOKEN"] = sample["token"]
    with contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            exec(compile(sample["source"], name, "exec"), {"__name__": "__main__"})
            results[name] = output.getvalue()
        except BaseException:
            results[name] = "FAILED " + traceback.format_exc()
json.dump(results, sys.stdout)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def page(
    browser: Browser, gateway: Gateway, small: GeneratedElection, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """The API page for an election with a previous one, a complete range of publications, and a log; its tokens."""
    rules = {"odd_time": {"do": "hold", "days": 14}}
    election = await gateway.load(a_registry(small, id=IN_OTHER_SHAPE, rules=rules), a_previous(small))
    sender = await gateway.issue(election, [COUNTRY])
    operator = await gateway.issue(election, [COUNTRY], role="operator")
    keys = tmp_path_factory.mktemp("keys") / "sign"
    async with (
        signing(gateway.database, keys, live=[election]) as signed,
        a_client() as http,
        visiting(browser) as visitor,
    ):
        await shown(gateway, election)
        await signed.wait_covered(election, 0)
        await pushed(http, sender, *(a_report(revision=each, votes=each) for each in range(1, 1001)))
        await pushed(http, sender, {**a_report(OTHER_UNIT), "counted_at": "2024-01-01T20:00:00+01:00"})
        await shown(gateway, election, 1000)
        await until_shown(gateway, http, election, 1001)
        opened = await visitor.open(f"{gateway.feed_url}/docs?election={election}&push={gateway.push_url}")
        await expect(opened.locator("#samples")).to_be_visible()
        yield opened, visitor, sender, operator


async def samples_in(page: Page, language: str) -> dict[str, str]:
    """Return the samples that the page shows, by operation."""
    await page.locator(f"input[name=language][value={language}]").check()
    found: dict[str, str] = await page.evaluate(READ)
    return found


def tokens(names: Mapping[str, str], sender: Sender, operator: Sender) -> dict[str, str]:
    return {name: (operator if name in OF_OPERATORS else sender).secret for name in names}


async def run_process(*arguments: str, stdin: str = "") -> str:
    """Run a program to its end and return its output."""
    process = await asyncio.create_subprocess_exec(
        *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(TIMEOUT_S):
        output, errors = await process.communicate(stdin.encode() or None)
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def run_in_shell(source: str, token: str, until: bytes | None, *, refused: bool) -> bytes:
    """Run a sample in a shell; return its output, up to a text if it has no end. A refused one fails."""
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", f"exec {source[source.index('curl ') :]}",
        env={**os.environ, "VALGNATT_TOKEN": token}, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(TIMEOUT_S):
        if until is not None:
            read = await process.stdout.readuntil(until)
            process.kill()
            await process.wait()
            return read
        output = await process.stdout.read()
        status = await process.wait()
    expected = (22,) if refused else (0, 28)  # 28: the time that a sample gives itself is over
    assert status in expected, source
    return output


@needs_chromium
async def test_every_sample_works_as_it_is_shown(page: Any, tmp_path: Path) -> None:
    """In curl, JavaScript and Python, for every route of both doors, with the addresses of this deployment."""
    opened, _, sender, operator = page
    described = await opened.locator("article.operation:not(.schema)").count()
    curl = await samples_in(opened, "curl")
    assert len(curl) == described > 25
    secrets = tokens(curl, sender, operator)
    for name, source in curl.items():
        until = b"event: block" if name == ENDLESS else None
        output = await run_in_shell(source, secrets[name], until, refused=name in REFUSED)
        assert REFUSED.get(name, "").encode() in output
        if name == "get_push":
            assert b" 101 " in output
            assert b'"type":"hello"' in output
        else:
            assert output, name

    python = await samples_in(opened, "python")
    given = {name: {"source": source, "token": secrets[name]} for name, source in python.items()}
    shown_by_python = json.loads(await run_process(sys.executable, "-c", RUN_PYTHON, stdin=json.dumps(given)))
    check_outputs(shown_by_python, curl)

    if (node := shutil.which("node")) is None:
        pytest.skip("Node.js is not installed")
    javascript = await samples_in(opened, "javascript")
    files = {}
    for name, source in javascript.items():
        path = tmp_path / f"{name}.mjs"
        path.write_text(source)
        files[name] = {"file": path.as_uri(), "token": secrets[name]}
    (tmp_path / "run.mjs").write_text(RUN_JAVASCRIPT)
    websocket = [] if await has_websocket(node) else ["--experimental-websocket"]
    shown_by_node = json.loads(
        await run_process(
            node, "--no-warnings", *websocket, str(tmp_path / "run.mjs"), stdin=json.dumps(files)
        )
    )
    check_outputs(shown_by_node, curl)


async def has_websocket(node: str) -> bool:
    """Whether Node.js has WebSockets without an option, as from version 22 on."""
    return int(re.findall(r"v(\d+)", await run_process(node, "--version"))[0]) >= 22


def check_outputs(outputs: Mapping[str, str], curl: Mapping[str, str]) -> None:
    """Assert that each sample has shown something, and that those which push were answered."""
    assert outputs.keys() == curl.keys()
    failed = {name: output for name, output in outputs.items() if not output or output.startswith("FAILED")}
    assert failed.keys() == REFUSED.keys(), failed
    assert all("409" in output for output in failed.values())
    assert "1000" in outputs[ENDLESS] or "1001" in outputs[ENDLESS]
    for name in ("get_push", "post_reports"):
        assert "duplicate" in outputs[name], outputs[name]


@needs_chromium
async def test_the_address_of_the_push_door_is_the_reader_s(page: Any) -> None:
    """Samples follow what is entered; reading does not depend on it."""
    opened, _, _, _ = page
    await opened.locator("#push-door").fill("https://push.example.org/valg/")
    samples = await samples_in(opened, "curl")
    assert "'https://push.example.org/valg/v1/elections/" in samples["post_reports"]
    assert "push.example.org" not in samples["get_area"]
    await opened.reload()
    await expect(opened.locator("#samples")).to_be_visible()
    assert "push.example.org" not in (await samples_in(opened, "curl"))["post_reports"]


NAMED_DOORS = [
    ("", "http://127.0.0.1:9181"),
    ("?push=https://push.example.org", "http://127.0.0.1:9181"),
    ("?push=http://[", "http://127.0.0.1:9181"),
    ("?push=http://127.0.0.1:9281/valg/", "http://127.0.0.1:9281/valg"),
]


@needs_chromium
async def test_the_push_door_is_on_its_port_of_this_host_unless_the_reader_enters_another(
    browser: Browser, small: GeneratedElection
) -> None:
    """A link to the page cannot name another host, to which the samples would send a token."""
    async with (
        served(FakeRecord(a_registry(small), []), push_port=9181) as door,
        visiting(browser) as visitor,
    ):
        page = await visitor.new_tab()
        for named, expected in variants(NAMED_DOORS, NAMED_DOORS[1]):
            await page.goto(f"{door.origin}/docs{named}")
            await expect(page.locator("#push-door")).to_have_value(expected)
            assert f"'{expected}/v1/elections/" in (await samples_in(page, "curl"))["post_reports"]
        assert not visitor.errors


@needs_chromium
async def test_every_link_of_the_page_leads_somewhere(page: Any, gateway: Gateway) -> None:
    """To a part of the page, or to an answer of this door with real names; none leads to another host."""
    opened, _, _, _ = page
    links = set(
        await opened.locator("main a").evaluate_all("links => links.map((link) => link.getAttribute('href'))")
    )
    for link in links:
        if link.startswith("#"):
            assert await opened.locator(f'[id="{link[1:]}"]').count() == 1, link
            continue
        assert link.startswith("/"), link
        assert (await opened.request.get(gateway.feed_url + link)).status == 200, link
    assert sum("/v1/elections/" in link for link in links) >= 6


@needs_chromium
async def test_requests_can_be_tried_in_the_page(page: Any) -> None:
    """Every one that this door answers without a token: status, headers, and the beginning of the body.

    In `make test`, one of six, the one without an end, and one that is sent again with a mistake.
    """
    opened, visitor, _, _ = page
    forms = opened.locator("details.try-it")
    assert await forms.count() >= 20
    names = await forms.evaluate_all("(forms) => forms.map((form) => form.closest('article').id)")
    assert ENDLESS in names
    for index, name in enumerate(names):
        if name not in (ENDLESS, WITH_MISTAKE) and index % count(6, full=1):
            continue
        form = forms.nth(index)
        await form.evaluate("(form) => { form.open = true; form.querySelector('form').requestSubmit(); }")
        state = form.get_by_role("status")
        await expect(state).to_have_text(re.compile(r"^200 after \d+ ms"))
        if name == ENDLESS:
            await expect(form.locator("pre")).to_contain_text("event: area")
            stop = form.get_by_role("button", name="Stop")
            if await stop.is_visible():  # it also stops by itself after what it shows
                await stop.click()
        await expect(form.get_by_role("button", name="Send")).to_be_enabled()
        assert len(await form.locator("pre").text_content() or "") <= 16_384
    assert not visitor.errors
    wrong = opened.locator(f"#{WITH_MISTAKE}")
    await wrong.locator("form input").nth(1).fill("none")
    await wrong.get_by_role("button", name="Send").click()
    await expect(wrong.get_by_role("status")).to_have_text(re.compile("^400 after"))
    await expect(wrong.locator(".try-it pre")).to_contain_text("level must be one of country, county")
