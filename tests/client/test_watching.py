"""`valgnatt watch` and `valgnatt status`, against a real gateway."""

import io
import json
import os
import signal
import subprocess
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console

from gateway.client import watch_command
from gateway.client.http_json import open_door
from gateway.client.tables import LAG_CAPTION, state_of, transfers_table
from gateway.wire.transfers import Lag, Percentiles, PublicTransfers, Transfer
from tests.client.commands import running_command
from tests.running import Gateway, Sender
from tests.web.doors import a_report, shown

pytestmark = pytest.mark.long

TIMEOUT_S = 30.0


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
    with command(gateway, "watch", "0604", "--election", election, "--json") as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, printed) == (130, "")
    assert lines[0]["area"] == "0604"
    assert lines[0]["cursor"].startswith("2-")
    assert {line["parent"] for line in lines[1:]} == {"0604"}


def test_status_shows_all_transfers(gateway: Gateway, election: str) -> None:
    with command(gateway, "status", "--election", election) as process:
        printed, complaint = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, complaint
    assert "All accepted reports are published. Units reported: 2 of" in printed
    assert "municipality" in printed
    with command(gateway, "status", "--election", election, "--json") as process:
        printed, _ = process.communicate(timeout=TIMEOUT_S)
    assert json.loads(printed)["election"] == election


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


def a_transfer(name: str, **members: Any) -> Transfer:
    return Transfer(
        **{
            "municipality": "0301", "name": name, "units": 10, "reported": 4, "accepted": 4, "published": 4,
            "embargoed": 0, "oldest_unpublished_s": None, "last_accepted_at": None, "last_contact_at": None,
            "lag_s": None, **members,
        }
    )  # fmt: skip


async def test_status_shows_the_p99_of_the_lag_to_readers(gateway: Gateway, election: str) -> None:
    """That of the stage `written` in the real document, in milliseconds, with an explanation below the table."""
    async with open_door("feed door", gateway.feed_url) as door:
        document = await door.get(f"/v1/elections/{election}/transfers")
    (p99,) = (
        each["lag_s"]["written"]["p99"] for each in document["transfers"] if each["municipality"] == "0604"
    )
    assert p99 is not None
    with command(gateway, "status", "--election", election) as process:
        printed, complaint = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, complaint
    rows = [line for line in printed.splitlines() if f"{1000 * p99:.0f} ms" in line]
    assert len(rows) == 1
    assert "lag p99" in printed
    assert LAG_CAPTION in printed


def test_the_table_shows_each_municipality_s_own_lag() -> None:
    """Empty if nothing was measured, as on the push door and before the first publication."""
    lags = [Percentiles(0.001, p99) for p99 in (0.0471, 0.0591, 0.0723)]
    measured = a_transfer("Oslo", lag_s=Lag(*lags))
    nothing = a_transfer("Bergen", lag_s=Lag(*[Percentiles(None, None)] * 3))
    console = Console(width=120, file=io.StringIO())
    console.print(transfers_table(document_of(measured, nothing, a_transfer("Voss")), 10))
    rows = {line.split()[0]: line for line in console.file.getvalue().splitlines()}  # type: ignore[attr-defined]
    assert "72 ms" in rows["Oslo"]
    assert " ms" not in rows["Bergen"] + rows["Voss"]


def document_of(*transfers: Transfer, **members: Any) -> PublicTransfers:
    return PublicTransfers("e", False, 7, datetime(2025, 9, 8, 19, tzinfo=UTC), list(transfers), **members)


def test_the_state_of_all_transfers_is_one_sentence() -> None:
    """Late reports take precedence over embargoed ones."""
    good = a_transfer("Bergen")
    through = "All accepted reports are published. Units reported: 8 of 20."
    assert state_of(document_of(good, good)) == through
    waiting = a_transfer("Voss", accepted=3, published=2, oldest_unpublished_s=0.1)
    assert state_of(document_of(waiting)) == (
        "Nothing is late; 1 report not published yet. Units reported: 4 of 10."
    )
    embargoed = a_transfer("Oslo", embargoed=3)
    assert state_of(document_of(good, embargoed)) == "3 reports under embargo; nothing is late."
    late = a_transfer("Oslo", oldest_unpublished_s=34.2, embargoed=3)
    assert state_of(document_of(good, late)) == "Late: 1 of 2 municipalities; waiting longest: Oslo, 34 s."


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

    monkeypatch.setattr(watch_command, "state_of", lambda _: "any sentence: Late: 7 of 7 municipalities")
    application = web.Application()
    application.router.add_get(f"/v1/elections/{election}/transfers", transfers)
    async with TestServer(application) as server:
        assert await watch_command.status(str(server.make_url("/")), election, as_json=False) == status
