"""`valgnatt watch` and `valgnatt status`, against a real gateway."""

import asyncio
import json
import os
import re
import signal
import subprocess
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from time import monotonic
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec import convert
from rich.console import Console

from gateway.client import status_command, watch_command
from gateway.client.http_json import open_door
from gateway.client.subscriber import Subscriber
from gateway.client.tables import Area
from gateway.client.transfers_report import LAG_CAPTION
from gateway.rehearsal.generator import GeneratedElection
from tests.client.commands import running_command
from tests.client.mirrored import mirrored
from tests.running import Gateway, Sender
from tests.web.doors import a_registry, a_report, pushed, shown

pytestmark = pytest.mark.long

TIMEOUT_S = 30.0
HERE_AS_TYPED = "drovheim"
"""Drøvheim, the municipality 0604."""


@pytest.fixture
async def election(gateway: Gateway, sender: Sender) -> str:
    async with aiohttp.ClientSession() as http:
        for unit in ("0604-0001", "0604-0002"):
            async with http.post(sender.url(), json=a_report(unit), headers=sender.headers) as answer:
                assert answer.status == 201
    await shown(gateway, sender.election, 2)
    return sender.election


def command(gateway: Gateway, *arguments: str) -> AbstractContextManager[subprocess.Popen[str]]:
    environ = {**os.environ, "VALGNATT_FEED_URL": gateway.feed_url, "COLUMNS": "120"}
    return running_command(*arguments, environ=environ)


def test_watch_gives_lines_of_json_to_a_pipe(gateway: Gateway, election: str) -> None:
    """The area and its children, as in the feed; Ctrl-C ends it without output."""
    with command(gateway, "watch", HERE_AS_TYPED, "--election", election, "--json") as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, printed) == (130, "")
    assert lines[0]["area"] == "0604"
    assert lines[0]["cursor"].startswith("2-")
    assert {line["parent"] for line in lines[1:]} == {"0604"}


async def test_watch_reads_a_mirror_and_shows_how_old_it_is(
    gateway: Gateway, election: str, tmp_path: Path
) -> None:
    """At the URL of a mirror, also without the name of the election; the names of others are shown."""
    async with mirrored(gateway, election, tmp_path / "mirror") as url:
        environ = {**os.environ, "VALGNATT_FEED_URL": url, "COLUMNS": "200"}
        with running_command("watch", HERE_AS_TYPED, "--json", environ=environ) as process:
            assert process.stdout is not None
            line = json.loads(await asyncio.to_thread(process.stdout.readline))
            process.send_signal(signal.SIGINT)
            _, printed = await asyncio.to_thread(process.communicate, timeout=TIMEOUT_S)
        assert (line["area"], process.returncode) == ("0604", 130)
        assert printed == f"Reading the mirror {url}.\n"
        board, console = watch_command._Board("0604", "Night"), Console(width=200, file=StringIO())
        async with Subscriber(url, election, areas="0604", on_change=board.note) as subscriber:
            board.subscriber = subscriber
            block = await subscriber.wait_for(lambda _: True)
        board.apply(block, convert(block.areas, dict[str, Area]), monotonic())
        console.print(board)
        assert isinstance(console.file, StringIO)
        shown = console.file.getvalue().splitlines()[0]
        assert re.fullmatch(
            rf"Night: sequence 2, from the mirror {re.escape(url)}, \d s old, .*ballots *", shown
        )
        with running_command("watch", "--election", "none", environ=environ) as process:
            _, complaint = await asyncio.to_thread(process.communicate, timeout=TIMEOUT_S)
        assert process.returncode == 1
        assert f"the gateway has: {election}" in complaint


def test_status_shows_all_transfers(gateway: Gateway, election: str) -> None:
    with command(gateway, "status", "--election", election) as process:
        printed, complaint = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, complaint
    assert "Everything received is published; " in printed
    assert "never in contact" in printed
    assert " 0604" not in printed, "rows only with --all"
    with command(gateway, "status", "--election", election, "--all") as process:
        every_row, complaint = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, complaint
    assert len(every_row.splitlines()) > len(printed.splitlines()) + 5
    with command(gateway, "status", "--election", election, "--json") as process:
        printed, _ = process.communicate(timeout=TIMEOUT_S)
    assert json.loads(printed)["election"] == election


async def test_status_shows_what_is_hidden_only_to_a_token(
    gateway: Gateway, small: GeneratedElection, tmp_path: Path
) -> None:
    """The public sees until when, the same before and after a report; an operator also sees what was received."""
    until = datetime.now(UTC) + timedelta(days=1)
    election = await gateway.load(a_registry(small, publish_from=until.isoformat()))
    sender, operator = (
        await gateway.issue(election, ["0604"]),
        await gateway.issue(election, ["0604"], role="operator"),
    )
    token = tmp_path / "token"
    token.write_text(operator.headers["Authorization"].removeprefix("Bearer "))
    local = until.astimezone(ZoneInfo("Europe/Oslo"))

    def printed_by(*arguments: object) -> str:
        environ = {"VALGNATT_PUSH_URL": gateway.push_url, "VALGNATT_FEED_URL": gateway.feed_url}
        with running_command(*arguments, environ={**os.environ, **environ, "COLUMNS": "120"}) as process:
            printed, complaint = process.communicate(timeout=TIMEOUT_S)
        assert (process.returncode, complaint) == (0, "")
        return printed

    await shown(gateway, election)
    before = printed_by("status", "--election", election, "--all")
    async with aiohttp.ClientSession() as http:
        await pushed(http, sender, a_report())
    assert printed_by("status", "--election", election, "--all") == before
    assert before.startswith(f"Hidden until {local:%Y-%m-%d %H:%M}: ")
    assert not re.search(r"\b(0|never)\b", before)
    for option in ("--token-file", "--token"):
        truth = printed_by("status", "--election", election, option, token)
        assert truth.startswith(f"Under embargo until {local:%Y-%m-%d %H:%M}: 1 report received; ")
        assert "1 accepted, 0 published, 1 embargoed" in truth
    assert json.loads(printed_by("status", "--election", election, "--token", token, "--json"))["transfers"]


def test_an_unknown_area_or_election_is_reported_in_one_line(gateway: Gateway, election: str) -> None:
    for arguments, words in (
        (("watch", "nowhere", "--election", election), "no area nowhere"),
        (("watch", "--election", "none"), "no election with this identifier"),
        (("status", "--feed-url", "http://127.0.0.1:9"), "127.0.0.1:9"),
    ):
        with command(gateway, *arguments) as process:
            printed, complaint = process.communicate(timeout=TIMEOUT_S)
        assert (process.returncode, printed) == (1, "")
        assert words in complaint
        assert len(complaint.splitlines()) == 1


async def test_status_shows_the_p99_of_the_lag_to_readers(gateway: Gateway, election: str) -> None:
    """That of the stage `written` in the real document, in milliseconds, with an explanation below the table."""
    async with open_door("feed door", gateway.feed_url) as door:
        document = await door.get(f"/v1/elections/{election}/transfers")
    (p99,) = (
        each["lag_s"]["written"]["p99"] for each in document["transfers"] if each["municipality"] == "0604"
    )
    assert p99 is not None
    with command(gateway, "status", "--election", election, "--all") as process:
        printed, complaint = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, complaint
    rows = [line for line in printed.splitlines() if f"{1000 * p99:.0f} ms" in line]
    assert len(rows) == 1
    assert "lag p99" in printed
    assert LAG_CAPTION in printed


@pytest.mark.parametrize(
    ("oldest_s", "late_after_s", "status"),
    [
        (None, 5.0, 0),
        (4.9, 5.0, 0),
        (5.0, 5.0, 0),
        (5.1, 5.0, 1),
        (3.0, 2.0, 1),
        (34.0, 60.0, 0),
        (5.1, None, 1),
    ],
)
async def test_the_exit_status_is_by_the_threshold_that_the_gateway_serves(
    gateway: Gateway,
    election: str,
    monkeypatch: pytest.MonkeyPatch,
    oldest_s: float | None,
    late_after_s: float | None,
    status: int,
) -> None:
    """Whatever the text is; for an older gateway without a threshold, that of this version applies."""
    async with open_door("feed door", gateway.feed_url) as door:
        document = await door.get(f"/v1/elections/{election}/transfers")
    assert document.pop("late_after_s") == 5.0
    if late_after_s is not None:
        document["late_after_s"] = late_after_s
    document["transfers"][0]["oldest_unpublished_s"] = oldest_s

    async def transfers(_: web.Request) -> web.Response:
        return web.json_response(document)

    monkeypatch.setattr(status_command, "state_of", lambda *_: "any sentence: Late: 7 of 7 municipalities")
    application = web.Application()
    application.router.add_get(f"/v1/elections/{election}/transfers", transfers)
    async with TestServer(application) as server:
        assert await status_command.status(str(server.make_url("/")), election, as_json=False) == status
