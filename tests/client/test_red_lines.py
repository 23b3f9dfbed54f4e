"""The comparison that push shows before it sends reports, and red lines, which need consent."""

import json
import os
import pty
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.rehearsal.generator import GeneratedElection
from tests.client.desk import TIMEOUT_S, Desk, counted, until
from tests.client.test_push_files import waiting
from tests.running import Gateway, Sender
from tests.web.doors import COUNTRY, OTHER_UNIT, UNIT, a_registry

LATER = "2099-09-09T21:00:00+02:00"


@pytest.fixture
async def sender(gateway: Gateway, small: GeneratedElection) -> Sender:
    """An election under embargo, in which a municipality has 5 000 eligible voters and one of its units 334."""
    eligible = {"0604": 5_000, UNIT: 334}
    registry = a_registry(small, publish_from=LATER)
    areas = [each | {"eligible": eligible.get(each["id"], each["eligible"])} for each in registry["areas"]]
    return await gateway.issue(await gateway.load(registry | {"areas": areas}), [COUNTRY])


class Officer:
    """A person at a terminal who reads what push shows, and answers."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self.shown = ""

    def reads(self, text: str) -> None:
        """Wait until a text is shown."""
        while text not in self.shown:
            self.shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(self._terminal, 1 << 16).decode())

    def types(self, text: str) -> None:
        os.write(self._terminal, text.encode() + b"\n")


@contextmanager
def at_a_terminal(desk: Desk, *arguments: object, **environ: str) -> Iterator[tuple[Officer, Any]]:
    master, terminal = pty.openpty()
    try:
        with desk.command(*arguments, terminal=terminal, COLUMNS="200", **environ) as process:
            yield Officer(master), process
    finally:
        os.close(master)
        os.close(terminal)


def test_12_000_ballots_with_334_eligible_voters_are_not_sent(desk: Desk) -> None:
    """Without a person and without --accept: not with --yes either, nor what else is in the command."""
    right = counted(100, minute=10, unit=OTHER_UNIT)
    file = desk.file("night.ndjson", counted(11_999, minute=10), right)
    status, output = desk.push(file, "--yes")
    assert status == 2
    lines = output.splitlines()
    assert lines[-1] == "valgnatt: nothing was sent"
    assert "12 000 ballots, 334 eligible voters" in output
    assert "has 12 101 ballots but only 5 000 eligible voters" in output
    assert "again with --accept (--yes does not cover red lines)" in output
    assert waiting(desk) == 0
    assert not desk.receipts.exists()


def test_accept_sends_what_crosses_a_red_line(desk: Desk) -> None:
    status, output = desk.push(desk.file("a.json", counted(11_999, minute=10)), "--accept")
    assert (status, "1 receipt" in output, output.count("RED LINE")) == (0, True, 2), output
    assert output.index("RED LINE") < output.index("1 receipt")


@pytest.mark.parametrize(("answer", "is_sent"), [("yes", True), ("y", False), ("", False)])
def test_at_a_terminal_a_red_line_needs_the_word_yes_after_the_list(
    desk: Desk, answer: str, is_sent: bool
) -> None:
    """Also with --yes. Everything that a person has to see comes before the question."""
    with at_a_terminal(desk, desk.file("a.json", counted(11_999, minute=10)), "--yes") as (officer, process):
        officer.reads("Send all the same? [yes/N] ")
        shown = officer.shown
        assert "– → 12 000" in shown
        assert shown.index("12 000 ballots, 334 eligible voters") < shown.index("type the word yes")
        officer.types(answer)
        officer.reads("1 receipt" if is_sent else "Nothing was sent.")
        assert process.wait(TIMEOUT_S) == (0 if is_sent else 1)
    assert waiting(desk) == 0


def test_warnings_come_before_the_question_and_after_n_nothing_was_sent(desk: Desk) -> None:
    """With the current reports of the gateway, under embargo too."""
    assert desk.push(desk.file("a.json", counted(100, minute=10, status="final")), "--yes")[0] == 0
    with at_a_terminal(desk, desk.file("b.json", counted(90, minute=20, status="counting"))) as (
        officer,
        process,
    ):
        officer.reads("Send? [y/N] ")
        for text in ("101 → 91", "30.2 → 27.2 %", "final → counting", "blank 1, rejected 2"):
            assert text in officer.shown
        assert "warning: unit 0604-0001" in officer.shown
        assert "101 → 91 ballots (−10)" in officer.shown
        assert "fewer votes in election_day: FL 100 → 90" in officer.shown
        officer.types("n")
        officer.reads("Nothing was sent.")
        assert process.wait(TIMEOUT_S) == 1
    assert len(desk.answers()) == 1


def test_with_a_token_that_is_not_accepted_the_question_is_whether_to_keep_the_report(desk: Desk) -> None:
    file = desk.file("a.json", counted(100, minute=10))
    for answer, kept in (("n", 0), ("y", 1)):
        with at_a_terminal(desk, file, VALGNATT_TOKEN="x" * 43) as (officer, process):
            officer.reads("Keep 1 report in the outbox, to be sent when this is corrected? [y/N] ")
            assert "ask the operator for a new one" in officer.shown
            officer.types(answer)
            officer.reads("kept in the outbox; send later with:" if kept else "Nothing was sent.")
            assert process.wait(TIMEOUT_S) == 1
        assert waiting(desk) == kept


async def test_a_fall_without_a_reason_is_not_sent_and_with_one_it_is(desk: Desk) -> None:
    assert (await desk.push_here(desk.file("a.json", counted(300, minute=10))))[0] == 0
    fall = counted(50, minute=20)
    status, output = await desk.push_here(desk.file("b.json", fall))
    assert (status, "301 → 51 ballots (−250) without a reason" in output) == (2, True), output
    assert "or enter the reason of a fall (recount, revoked, late_ballots" in output
    status, output = await desk.push_here(desk.file("b.json", fall | {"reason": "recount"}))
    assert (status, "warning: unit 0604-0001" in output, "RED LINE" in output) == (0, True, False), output


async def test_a_count_that_waits_under_a_provisional_revision_is_compared_when_its_file_is_pushed_again(
    desk: Desk,
) -> None:
    file = desk.file("a.json", counted(50, minute=20))
    assert desk.push(file, VALGNATT_TOKEN="x" * 43)[0] == 1
    own, desk.outbox = desk.outbox, desk.directory / "another.db"
    assert (await desk.push_here(desk.file("b.json", counted(300, minute=10))))[0] == 0
    desk.outbox = own
    status, output = await desk.push_here(file)
    assert (status, "301 → 51 ballots (−250) without a reason" in output) == (2, True), output


async def test_a_report_with_a_revision_that_waited_is_compared_before_it_is_sent(desk: Desk) -> None:
    """By the reports that the gateway has then: those of the unit, and of the other units of its municipality."""
    fall = counted(50, minute=20) | {"revision": 7}
    tall = counted(600, minute=20, unit=OTHER_UNIT) | {"revision": 7}
    status, output = desk.push(desk.file("a.ndjson", fall, tall), VALGNATT_TOKEN="x" * 43)
    assert status == 1, output
    own, desk.outbox = desk.outbox, desk.directory / "another.db"
    now = desk.file(
        "b.ndjson", counted(300, minute=10), counted(4_500, minute=10, unit="0604-0003", status="final")
    )
    assert (await desk.push_here(now, accept=True))[0] == 0
    desk.outbox = own
    status, output = desk.push()
    assert (status, "301 → 51 ballots (−250) without a reason" in output) == (1, True), output
    assert f"unit {OTHER_UNIT}" in output
    assert "but only 5 000 eligible voters" in output
    assert "send them with:" in output
    assert waiting(desk) == 2
    status, output = desk.push("--accept")
    assert (status, "2 receipts" in output) == (0, True), output


async def test_the_ballots_of_a_municipality_include_its_other_units_at_the_gateway(desk: Desk) -> None:
    """From another machine, whose outbox does not have them."""
    status, output = await desk.push_here(
        desk.file("a.json", counted(4_500, minute=10, unit=OTHER_UNIT)), accept=True
    )
    assert status == 0, output
    desk.outbox = desk.directory / "another.db"
    assert (await desk.push_here(desk.file("b.json", counted(200, minute=10))))[0] == 0
    status, output = await desk.push_here(desk.file("c.json", counted(600, minute=20)))
    assert (status, "has 5 102 ballots (before: 4 702) but only 5 000" in output) == (2, True), output


async def test_a_token_for_one_unit_is_compared_with_what_it_may_know(
    desk: Desk, gateway: Gateway, sender: Sender, tmp_path: Path
) -> None:
    """The other units of the municipality are not asked for, and nothing is refused."""
    own = await gateway.issue(sender.election, [UNIT])
    status, output = await Desk(tmp_path, gateway, own).push_here(
        desk.file("a.json", counted(100, minute=10))
    )
    assert (status, "not compared" in output) == (0, False), output


async def test_without_the_gateway_the_eligible_voters_are_still_compared(
    desk: Desk, gateway: Gateway, sender: Sender, tmp_path: Path
) -> None:
    """The report has a revision, so that it would be kept and sent later."""
    nowhere = Desk(tmp_path, gateway, sender, push_url="http://127.0.0.1:1")
    report = counted(11_999, minute=10) | {"revision": 1}
    status, output = await nowhere.push_here(desk.file("a.json", report))
    assert status == 2
    assert "not compared with the gateway's current reports" in output
    assert "only ballots and eligible voters were compared" in output
    assert "12 000 ballots, 334 eligible voters" in output


def test_a_watch_holds_a_file_with_red_lines_back_and_goes_on_with_others(desk: Desk) -> None:
    """A corrected file is taken."""
    outgoing = desk.directory / "outgoing"
    outgoing.mkdir()
    (outgoing / "wrong.json").write_text(json.dumps(counted(11_999, minute=10)))
    (outgoing / "right.json").write_text(json.dumps(counted(100, minute=10, unit=OTHER_UNIT)))
    with desk.command("--watch", outgoing, "--settle-s", "0.1", "--yes") as process:
        until(lambda: desk.receipts.exists() and len(desk.answers()) == 1)
        (outgoing / "wrong.json").write_text(json.dumps(counted(119, minute=10)))
        until(lambda: len(desk.answers()) == 2)
        process.send_signal(signal.SIGINT)
        _, output = process.communicate(timeout=TIMEOUT_S)
    assert [each["unit"] for each in desk.answers()] == [OTHER_UNIT, UNIT]
    assert output.count("wrong.json: not sent:\nRED LINE: unit 0604-0001") == 1, output
    assert "start the command again with --accept" in output


async def test_a_mistake_in_a_file_is_reported_without_a_token(desk: Desk) -> None:
    """And a file without mistakes is not sent without one."""
    status, output = desk.push(
        desk.file("a.json", counted(10, minute=10, unit="0604-0999")), VALGNATT_TOKEN=""
    )
    assert (status, 'a.json, line 1: $.unit: "0604-0999" is' in output, "token" in output) == (
        2,
        True,
        False,
    ), output
    status, output = desk.push(desk.file("a.json", counted(10, minute=10)), VALGNATT_TOKEN="")
    assert (status, "no token" in output, "nothing was sent" in output) == (2, True, True), output
