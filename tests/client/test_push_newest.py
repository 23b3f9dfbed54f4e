"""`valgnatt push` between a file and the record: one report per unit, the newest count, and each report once."""

import io
import json
import signal
import sqlite3
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.client import delivery as delivery_module
from gateway.client import preparation as preparation_module
from gateway.client.delivery import Delivery, Door
from gateway.client.outbox import Outbox
from gateway.client.push_files import destination
from gateway.count_files.reports import Mistakes
from gateway.errors import GatewayError
from gateway.rehearsal.generator import GeneratedElection
from gateway.terminal import Terminal
from tests.client.desk import TIMEOUT_S, Desk, counted, until
from tests.running import Gateway, Sender
from tests.web.doors import a_report, shown, units_of

pytestmark = pytest.mark.long

UNIT, OTHER = "0604-0001", "0604-0002"
HEAD = "unit,revision,counted_at,status,category,ballots,blank,rejected,FL"
TIME = "2024-09-09T22:05:00+02:00"


async def current(sender: Sender, unit: str = UNIT) -> dict[str, Any]:
    """The current report of a unit at the push door."""
    url = sender.url(f"/reports/{unit}")
    async with aiohttp.ClientSession(headers=sender.headers) as http, http.get(url) as answer:
        assert answer.status == 200
        report: dict[str, Any] = (await answer.json())["report"]
        return report


async def published(gateway: Gateway, sender: Sender, sequence: int) -> Counter[str]:
    """How many publications there are of each unit, once that many are shown."""
    await shown(gateway, sender.election, sequence)
    url = f"{gateway.feed_url}/v1/elections/{sender.election}/publications?limit=1000"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        lines = (await answer.text()).splitlines()
    assert len(lines) == sequence
    return Counter(json.loads(line)["report"]["unit"] for line in lines)


def table(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([HEAD, *rows]) + "\n")
    return path


async def test_categories_in_two_files_and_values_of_one_row_are_one_report(
    desk: Desk, sender: Sender
) -> None:
    """A revision in any row; the files in any order."""
    advance = table(desk.directory / "b.csv", f"{UNIT},,{TIME},final,advance,40,0,0,40")
    day = table(desk.directory / "a.csv", f"{UNIT},,{TIME},final,election_day,70,0,0,70")
    other = table(
        desk.directory / "other.csv",
        f"{OTHER},,{TIME},final,advance,31,0,0,31",
        f"{OTHER},02,,,election_day,58,0,0,58",
    )
    status, output = desk.push(advance, day, other)
    assert (status, "2 receipts\n" in output) == (0, True), output
    for unit, revision in ((UNIT, 1), (OTHER, 2)):
        report = await current(sender, unit)
        assert report["revision"] == revision
        assert set(report["counts"]) == {"advance", "election_day"}


async def test_one_category_in_two_commands_does_not_take_back_the_other(desk: Desk) -> None:
    """Neither with the same time, a later one, nor a revision, unless a person gives a revision and a reason."""
    first = table(desk.directory / "a.csv", f"{UNIT},,{TIME},final,advance,40,0,0,40")
    assert (await desk.push_here(first))[0] == 0
    row = f"{UNIT},%s,%s,final,election_day,70,0,0,70"
    later = TIME.replace("22:05", "22:06")
    for time, words in ((TIME, "has other figures than the newest report"), (later, "has no 'advance'")):
        status, output = await desk.push_here(table(desk.directory / "b.csv", row % ("", time)))
        assert status == 2
        assert "b.csv, line 2: unit 0604-0001" in output
        assert words in output
    status, output = await desk.push_here(table(desk.directory / "b.csv", row % (2, later)))
    assert (status, "has no 'advance'" in output, "the revision 2 and a reason" in output) == (2, True, True)
    revoked = table(desk.directory / "b.csv", f"{row % (2, later)},revoked")
    revoked.write_text(revoked.read_text().replace(HEAD, f"{HEAD},reason"))
    status, output = await desk.push_here(revoked)
    assert (status, "figures fell" in output) == (0, True)


async def test_a_given_revision_takes_back_a_category_without_a_reason_only_unchecked(desk: Desk) -> None:
    first = table(desk.directory / "a.csv", f"{UNIT},1,{TIME},final,advance,40,0,0,40")
    assert (await desk.push_here(first))[0] == 0
    desk.outbox = desk.directory / "another.db"
    second = table(desk.directory / "b.csv", f"{UNIT},7,{TIME},final,election_day,70,0,0,70")
    status, output = await desk.push_here(second)
    assert (status, "b.csv, line 2: unit 0604-0001 has no 'advance'" in output) == (2, True)
    status, output = desk.push(second, "--unchecked")
    assert (status, "figures fell" in output) == (0, True)


async def test_a_report_with_a_revision_is_sent_if_the_gateway_cannot_be_asked_and_push_says_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: Any) -> Any:
        raise GatewayError("push door: no answer")

    monkeypatch.setattr(preparation_module, "current_reports", unavailable)
    status, output = await desk.push_here(desk.file("a.json", a_report()))
    assert (status, "1 receipt\n" in output) == (0, True)
    assert "not compared with the gateway's current reports: push door: no answer" in output


async def test_a_given_revision_of_the_current_report_is_its_receipt_in_any_notation(desk: Desk) -> None:
    """From another machine too, whose outbox does not have it."""
    report = a_report(counted_at=TIME)
    assert (await desk.push_here(desk.file("a.json", report)))[0] == 0
    desk.outbox = desk.directory / "another.db"
    again = report | {"counted_at": TIME.replace("T22:", "T20:").replace("+02:00", "Z")}
    status, output = await desk.push_here(desk.file("b.json", again))
    assert (status, "already known to the gateway" in output) == (0, True), output


async def test_only_a_status_that_differs_is_named(desk: Desk) -> None:
    report = counted(10, minute=5)
    assert (await desk.push_here(desk.file("a.json", report)))[0] == 0
    other = report | {"status": "counting", "reason": "recount"}
    status, output = await desk.push_here(desk.file("b.json", other))
    assert status == 2
    was = report["status"]
    assert (
        f"has another reason ('recount', not none) and another status ('counting', not {was!r}) than"
        in output
    )
    assert "figures than" not in output


async def test_a_count_in_the_future_is_not_sent_unless_unchecked(desk: Desk) -> None:
    """With and without a revision; later counts would be taken for older ones."""
    future = counted(10, minute=5) | {"counted_at": "2099-09-09T22:05:00+02:00"}
    for report in (future, future | {"revision": 1}):
        file = desk.file("a.json", report)
        status, output = await desk.push_here(file)
        assert status == 2
        assert (
            "a.json, line 1: unit 0604-0001: counted_at 2099-09-09T22:05:00+02:00 is in the future" in output
        )
    assert desk.push(file, "--unchecked")[0] == 0


async def test_a_command_that_was_killed_publishes_each_report_once(
    desk: Desk, gateway: Gateway, sender: Sender, small: GeneratedElection
) -> None:
    """Run again with the same outbox or a new one, during and after the sending."""
    units = units_of(small)
    file = desk.file("many.ndjson", *(counted(3, minute=5, unit=unit) for unit in units))
    with desk.command(file) as process:
        until(lambda: desk.receipts.exists() or answered(desk.outbox) or process.poll() is not None)
        process.send_signal(signal.SIGKILL)
        process.wait(TIMEOUT_S)
    status, output = desk.push(file)
    assert (status, f"{len(units)} receipts" in output) == (0, True), output
    desk.outbox = desk.directory / "another.db"
    status, output = desk.push(file)
    assert (status, f"(0 new, {len(units)} already known" in output) == (0, True), output
    assert await published(gateway, sender, len(units)) == Counter(units)


def answered(outbox: Path) -> bool:
    if not outbox.exists():
        return False
    with sqlite3.connect(f"file:{outbox}?mode=ro", uri=True) as connection:
        try:
            (found,) = connection.execute("SELECT count(*) FROM item WHERE answer IS NOT NULL").fetchone()
        except sqlite3.OperationalError:  # not created yet
            return False
    return bool(found)


async def test_files_of_a_command_are_in_the_order_of_their_times(desk: Desk) -> None:
    """10 is before 9 only by name. All of them again, in any order, are nothing new."""
    files = [desk.file(f"{minute}.json", counted(minute, minute=minute)) for minute in (10, 9, 8)]
    for order in (files, files[::-1]):
        status, output = await desk.push_here(*order)
        assert (status, "3 receipts" in output) == (0, True), output
    assert [(each["revision"], each["outcome"]) for each in desk.answers()] == [
        ("1", "duplicate"),
        ("2", "duplicate"),
        ("3", "duplicate"),
    ]
    desk.outbox = desk.directory / "another.db"
    status, output = await desk.push_here(*files)
    assert (status, "(0 new, 3 already known" in output) == (0, True), output
    status, output = await desk.push_here(files[2])
    assert (status, "(0 new, 1 already known" in output) == (0, True), output


def test_watched_files_that_are_complete_together_are_one_command(desk: Desk) -> None:
    """In the order of their times; a file that contradicts the others is left out, and they are sent."""
    watched = desk.directory / "outgoing"
    watched.mkdir()
    for minute in (10, 9):
        (watched / f"{minute}.json").write_text(json.dumps(counted(minute, minute=minute)))
    table(watched / "day.csv", f"{OTHER},,{TIME},final,advance,31,0,0,31")
    table(watched / "advance.csv", f"{OTHER},,{TIME},final,election_day,58,0,0,58")
    (watched / "wrong.json").write_text(json.dumps(a_report(party_x=1)))
    with desk.command("--watch", watched) as process:
        until(lambda: desk.receipts.exists() and len(desk.answers()) == 3)
        (watched / "8.json").write_text(json.dumps(counted(8, minute=8)))
        table(watched / "more.csv", f"0604-0003,,{TIME},final,advance,31,0,0,31")
        until(lambda: len(desk.answers()) == 4)
        process.send_signal(signal.SIGINT)
        _, output = process.communicate(timeout=TIMEOUT_S)
    assert "Traceback" not in output
    assert {(each["unit"], each["revision"], each["outcome"]) for each in desk.answers()} == {
        (UNIT, "1", "accepted"),
        (UNIT, "2", "accepted"),
        (OTHER, "1", "accepted"),
        ("0604-0003", "1", "accepted"),
    }
    for name in ("8.json", "wrong.json"):
        assert output.count(f"{name}: not sent") == 1
    assert "8.json, line 1: unit 0604-0001, counted at 2024-09-09T22:08:00+02:00, has other figures" in output


# Another system pushes between the question and the sending.


class Hands:
    """A delivery in this process, so that something else can happen at each of its steps."""

    def __init__(self, directory: Path, sender: Sender) -> None:
        self.printed = io.StringIO()
        self.outbox = Outbox(directory / "outbox.db")
        url = sender.gateway.push_url
        door = Door(url, sender.secret, destination(url, sender.election))
        console = Terminal(file=self.printed, soft_wrap=True)
        self.delivery = Delivery(door, None, self.outbox, None, console, keep_trying=False)
        self.sender = sender

    async def prepare(self, *reports: dict[str, Any]) -> None:
        files = {"a.ndjson": "\n".join(json.dumps(report) for report in reports).encode()}
        self.delivery.add((await self.delivery.prepare(self.delivery.read(files))).counts)

    async def other_system(self, report: dict[str, Any]) -> None:
        async with (
            aiohttp.ClientSession() as http,
            http.post(self.sender.url(), json=report, headers=self.sender.headers) as answer,
        ):
            assert answer.status == 201


@pytest.fixture
def hands(tmp_path: Path, sender: Sender) -> Hands:
    return Hands(tmp_path, sender)


@pytest.mark.parametrize("revision", [1, 5])
async def test_a_revision_that_another_system_took_meanwhile_is_chosen_again(
    hands: Hands, revision: int
) -> None:
    """If the count is the newer one: after a conflict, and after a refusal as stale."""
    await hands.prepare(counted(20, minute=30), counted(7, minute=30, unit=OTHER))
    await hands.other_system(a_report(revision=revision, votes=10, counted_at="2024-09-09T22:10:00+02:00"))
    assert await hands.delivery.send() == 0
    report = await current(hands.sender)
    assert (report["revision"], report["counts"]["election_day"]["votes"]) == (revision + 1, {"FL": 20})
    assert "2 receipts\n" in hands.printed.getvalue()


async def test_the_same_count_from_another_system_is_its_receipt(hands: Hands) -> None:
    await hands.prepare(counted(20, minute=30))
    await hands.other_system(counted(20, minute=30) | {"revision": 5})
    assert await hands.delivery.send() == 0
    assert (await current(hands.sender))["revision"] == 5
    assert "1 receipt (0 new, 1 already known" in hands.printed.getvalue()


@pytest.mark.parametrize("minute", [30, 40])
async def test_a_newer_count_from_another_system_stays_and_the_older_one_has_no_receipt(
    hands: Hands, minute: int
) -> None:
    await hands.prepare(counted(20, minute=30))
    await hands.other_system(counted(10, minute=minute) | {"revision": 1})
    assert await hands.delivery.send() == 1
    assert (await current(hands.sender))["counts"]["election_day"]["votes"] == {"FL": 10}
    printed = hands.printed.getvalue()
    assert (
        "a.ndjson, line 1: unit 0604-0001, counted at 2024-09-09T22:30:00+02:00, has other figures" in printed
    )
    assert "0 receipts" in printed


async def test_revisions_are_not_chosen_again_for_ever(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here another system takes each of them."""
    ask, taken = delivery_module.current_reports, []

    async def asked(*arguments: Any) -> Any:
        found = await ask(*arguments)
        taken.append(len(taken) + 1)
        await hands.other_system(counted(5, minute=len(taken)) | {"revision": taken[-1]})
        return found

    monkeypatch.setattr(preparation_module, "current_reports", asked)
    monkeypatch.setattr(delivery_module, "current_reports", asked)
    await hands.prepare(counted(20, minute=30))
    assert await hands.delivery.send() == 1
    assert taken == list(range(1, delivery_module.ROUNDS_MAX + 1))
    assert "0 receipts" in hands.printed.getvalue()


async def test_a_waiting_report_that_was_overtaken_is_done_once_its_count_has_a_receipt(
    hands: Hands, tmp_path: Path
) -> None:
    """As after a kill: it waits under a number that another system took, and its file is handed in again."""
    await hands.prepare(counted(20, minute=30))
    hands.outbox.close()
    later = Hands(tmp_path, hands.sender)
    await later.other_system(counted(10, minute=10) | {"revision": 6})
    await later.prepare(counted(20, minute=30))
    assert await later.delivery.send() == 0
    assert "revision 1: this count has its receipt as revision 7" in later.printed.getvalue()


async def test_a_gateway_that_cannot_be_asked_gets_nothing(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for reports that have their revision either, which are in the same command."""

    async def unavailable(*_: Any) -> Any:
        raise GatewayError("no answer")

    monkeypatch.setattr(preparation_module, "current_reports", unavailable)
    with pytest.raises(GatewayError, match=r"no answer.*revisions of 1 unit could not be chosen") as error:
        await hands.prepare(counted(20, minute=30), a_report(OTHER))
    assert not isinstance(error.value, Mistakes)
    assert list(hands.outbox.waiting(destination(hands.sender.gateway.push_url, hands.sender.election))) == []


def test_many_units_are_asked_for_within_the_limit_of_a_token(desk: Desk, small: GeneratedElection) -> None:
    """A push door answers requests above its limit with 429, and the units are asked for again."""
    units = units_of(small)
    file = desk.file("many.ndjson", *(counted(3, minute=5, unit=unit) for unit in units))
    with desk.command(file, "--outbox", desk.directory / "other.db") as other:
        status, output = desk.push(file)
        _, other_output = other.communicate(timeout=TIMEOUT_S)
    assert (status, other.returncode) == (0, 0), output + other_output


def test_commands_that_share_an_outbox_all_report_a_refusal(desk: Desk) -> None:
    """Whichever of them receives the answer."""
    file = desk.file("a.json", a_report("9999-0001"))
    with ExitStack() as stack:
        commands = [stack.enter_context(desk.command(file, "--yes", "--unchecked")) for _ in range(4)]
        outputs = [process.communicate(timeout=TIMEOUT_S)[1] for process in commands]
    assert [process.returncode for process in commands] == [1] * 4, outputs
    assert all("refused: unit 9999-0001, revision 1" in output for output in outputs), outputs


# What people see.


def test_texts_of_files_are_shown_as_they_are(desk: Desk) -> None:
    """Neither as markup nor as control sequences, and long ones shortened; the gateway refuses these units."""
    reports = [counted(1, minute=5, unit=unit) for unit in ("[red]1[/]", "[/bold]", "\x1b[2J", "x" * 20_000)]
    file = desk.file("a.ndjson", *reports)
    status, output = desk.push(file, "--unchecked")
    assert status == 1
    assert "[red]1[/]" in output
    assert "[/bold]" in output
    assert "\x1b" not in output
    assert "x" * 41 not in output.partition("0 receipts")[0]
    status, output = desk.push(file)
    assert status == 2
    assert output.count("a.ndjson, line ") == 4
    assert "x" * 100 not in output


def test_a_template_survives_a_spreadsheet(desk: Desk) -> None:
    """Opened by a double click, in the encoding that it guesses, and saved as CSV UTF-8."""
    with desk.command("--template", "--areas", "0604") as process:
        text, output = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, output
    template = text.encode()
    encoding = "utf-8-sig" if template.startswith(b"\xef\xbb\xbf") else "cp1252"
    head, *rows = template.decode(encoding).splitlines()
    cells = dict.fromkeys(head.split(","), "")
    cells |= dict(zip(cells, rows[0].split(","), strict=False))
    cells |= {"counted_at": TIME, "status": "final", "ballots": "3", "blank": "3", "rejected": "0"}
    filled = desk.directory / "filled.csv"
    lines = [f"{line};;" for line in (head, ",".join(cells.values()), *rows[1:])]
    filled.write_bytes("\r\n".join(lines).replace(",", ";").encode("utf-8-sig"))
    status, output = desk.push(filled)
    assert (status, "1 receipt" in output) == (0, True), output
    assert "Left out: " in output
    assert desk.receipts.read_bytes().startswith(b"\xef\xbb\xbfunit,")
