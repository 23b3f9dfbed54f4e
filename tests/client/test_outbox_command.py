"""`valgnatt push --list` and `--discard`."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.client.outbox import Outbox
from gateway.client.outbox_items import Destination
from gateway.client.outbox_list import SHOWN_MAX, kept_lines
from gateway.client.outbox_use import OutboxInUse, use_for_sending, while_nobody_sends
from gateway.client.push_answers import Answer
from tests.client.desk import Desk, counted
from tests.client.test_red_lines import at_a_terminal
from tests.web.doors import OTHER_UNIT, UNIT, a_report

ELSEWHERE = Destination("https://former.example", "e0")
TIMEOUT_S = 30.0


@contextmanager
def opened(path: Path) -> Iterator[Outbox]:
    outbox = Outbox(path)
    try:
        yield outbox
    finally:
        outbox.close()


def body(report: dict[str, Any]) -> bytes:
    return json.dumps(report).encode()


def fill(desk: Desk, *reports: dict[str, Any], to: Destination | None = None) -> None:
    """Add reports as `push` does that was ended before it had an answer."""
    with opened(desk.outbox) as outbox:
        outbox.add(to or desk.to, [(each["unit"], each["revision"], body(each)) for each in reports])


def listed(desk: Desk, *arguments: object) -> list[dict[str, Any]]:
    with desk.command("--list", "--json", *arguments, VALGNATT_TOKEN="") as process:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    return [json.loads(line) for line in output.splitlines()]


def shown(desk: Desk, *arguments: object, **environ: str) -> tuple[int, str, str]:
    with desk.command(*arguments, **environ) as process:
        output, errors = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, output, errors


def test_a_list_has_everything_that_waits_with_names_and_without_a_token(desk: Desk) -> None:
    fill(desk, a_report(), a_report(OTHER_UNIT, revision=3))
    fill(desk, a_report("x-1"), to=ELSEWHERE)
    status, output, _ = shown(desk, "--list", "--election", "", VALGNATT_TOKEN="")
    lines = output.splitlines()
    assert (status, len(lines)) == (0, 5), output
    assert lines[0] == f"election {desk.to.election}, for {desk.to.gateway}:"
    assert lines[1].startswith(
        f"  unit {UNIT} Løgrstrand, revision 1, counted at 2024-09-09T22:36:55+02:00, waiting since 20"
    )
    assert lines[1].endswith("; no answer yet")
    assert lines[3] == "election e0, for https://former.example:"
    assert lines[4].startswith("  unit x-1, revision 1, counted at")
    first, *others = listed(desk)
    assert len(others) == 1, "those of the election that is named"
    assert (first["unit"], first["name"], first["answer"]) == (UNIT, "Løgrstrand", None)
    assert first["waiting_since"].startswith("20")


def test_a_list_says_of_which_reports_there_are_proofs(desk: Desk) -> None:
    """Of one that is sent again too; and how many have a receipt and no proof yet."""
    fill(desk, *(a_report(revision=number) for number in (1, 2, 3)))
    with opened(desk.outbox) as outbox:
        items = list(outbox.waiting(desk.to))
        outbox.record([(item, Answer("accepted", sequence=item.revision)) for item in items])
    assert shown(desk, "--list")[1] == "Nothing waits in the outbox.\n"
    with opened(desk.outbox) as outbox:
        outbox.proofs.store([(item, b"proof") for item in items[:2]])
    last = (
        f"election {desk.to.election}, for {desk.to.gateway}: 2 reports have a proof in the outbox, 1 report with a"
        " receipt not yet; --proofs DIR writes them as files"
    )
    assert shown(desk, "--list")[1].splitlines() == ["Nothing waits in the outbox.", last]
    fill(desk, a_report(revision=2))
    assert shown(desk, "--list")[1].splitlines()[1].endswith("and is sent again; has a proof")
    assert [each["proof"] for each in listed(desk)] == [True]


def test_an_empty_outbox_is_not_created_by_a_list(desk: Desk) -> None:
    assert shown(desk, "--list")[:2] == (0, "Nothing waits in the outbox.\n")
    assert listed(desk) == []
    assert not desk.outbox.exists()


def test_a_discarded_report_is_not_sent_and_the_others_are(desk: Desk) -> None:
    fill(desk, a_report(), a_report(OTHER_UNIT))
    status, output, errors = shown(desk, "--discard", UNIT)
    assert (status, "no terminal to ask at; add --yes" in errors) == (1, True)
    with at_a_terminal(desk, "--discard", UNIT) as (officer, process):
        officer.reads("Remove 1 report without sending? [y/N] ")
        assert f"unit {UNIT} Løgrstrand, revision 1" in officer.shown
        officer.types("n")
        officer.reads("nothing was removed")
        assert process.wait(TIMEOUT_S) == 1
    assert len(listed(desk)) == 2
    status, output, errors = shown(desk, "--discard", UNIT, "--yes")
    assert (status, "Removed 1 report from the outbox.\n" in output) == (0, True), output + errors
    assert "withdraw" not in output
    status, printed = desk.push()
    assert (status, "1 receipt" in printed) == (0, True), printed
    assert {(each["unit"], each["outcome"], each["code"]) for each in desk.answers()} == {
        (UNIT, "not_sent", "discarded"), (OTHER_UNIT, "accepted", ""),
    }  # fmt: skip


def test_what_may_have_a_receipt_is_named_before_it_is_removed(desk: Desk) -> None:
    """From another outbox here, as where the answer was lost."""
    own, desk.outbox = desk.outbox, desk.directory / "another.db"
    later = counted(20, minute=50, unit=OTHER_UNIT) | {"revision": 4}
    assert desk.push(desk.file("a.ndjson", a_report(), later), "--yes")[0] == 0
    desk.outbox = own
    fill(desk, a_report(), a_report(OTHER_UNIT, revision=2), a_report("0602-0001"))
    status, output, _ = shown(desk, "--discard", "all", "--yes")
    assert status == 0
    assert f"unit {UNIT}, revision 1: is the gateway's newest report, revision 1: it has a receipt" in output
    assert (
        f"unit {OTHER_UNIT}, revision 2: may have a receipt; the gateway's newest report is revision 4"
        in output
    )
    assert "unit 0602-0001, revision 1: " not in output
    assert "removing them here does not withdraw them" in output
    assert listed(desk) == []


def test_without_an_answer_of_the_gateway_it_is_said_that_receipts_are_not_known(desk: Desk) -> None:
    fill(desk, a_report())
    status, output, _ = shown(desk, "--discard", "all", "--yes", VALGNATT_TOKEN="")
    unknown = "It is not known which of them the gateway has received, since there is no token"
    assert (status, unknown in output) == (0, True), output


def test_a_unit_of_which_nothing_waits_is_named_with_what_is_close(desk: Desk) -> None:
    fill(desk, a_report())
    status, _, errors = shown(desk, "--discard", "0604-0011")
    assert (status, f"unit 0604-0011; did you mean {UNIT}?" in errors) == (1, True), errors
    status, _, errors = shown(desk, "--json", "--discard", "all")
    assert (status, "--json is for --list" in errors) == (2, True)


def test_nothing_is_removed_while_a_push_sends_from_the_outbox(desk: Desk) -> None:
    fill(desk, a_report())
    use = use_for_sending(desk.outbox)
    try:
        status, _, errors = shown(desk, "--discard", "all", "--yes")
        assert (status, "end that first with Ctrl-C" in errors) == (1, True), errors
        with pytest.raises(OutboxInUse), while_nobody_sends(desk.outbox):
            pass
    finally:
        use.end()
    with while_nobody_sends(desk.outbox), pytest.raises(OutboxInUse):
        use_for_sending(desk.outbox)
    assert len(listed(desk)) == 1
    several = [use_for_sending(desk.outbox) for _ in range(2)]
    for each in several:
        each.end()


def test_removing_keeps_receipts_and_leaves_what_changed_meanwhile(tmp_path: Path) -> None:
    to = Destination("http://here", "e1")
    with opened(tmp_path / "outbox.db") as outbox:
        outbox.add(to, [(f"u{number}", 1, body(a_report(f"u{number}"))) for number in range(3)])
        received, changed, waiting = outbox.waiting(to)
        outbox.record([(received, Answer("accepted")), (changed, Answer("refused", code="malformed"))])
        outbox.resend_confirmed(to)
        outbox.add(to, [("u1", 1, body(a_report("u1", votes=5)))])
        again = next(iter(outbox.waiting(to)))
        assert outbox.discard([again, changed, waiting]) == 2
        assert [item.unit for item in outbox.waiting(to)] == ["u1"]
        assert [answer.code for item in outbox.answers(to) if (answer := item.answer)] == [None, "discarded"]
        outbox.record([(waiting, Answer("accepted"))])
        (item, waits) = outbox.item(waiting.key) or (waiting, True)
        assert (item.answer is not None and item.answer.has_receipt, waits) == (True, False), "a late answer"
        assert outbox.add(to, [("u2", 1, waiting.body)]) == 0, "and it can be added again"


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    with opened(tmp_path / "outbox.db") as outbox:
        reports = [(f"u{n}", 1, body(a_report(f"u{n}"))) for n in range(SHOWN_MAX + 5)]
        outbox.add(Destination("http://here", "e1"), reports)
        lines = kept_lines(list(outbox.kept()), {})
    assert len(lines) == SHOWN_MAX + 2
    assert lines[-1] == "… and 5 more reports; --json lists all"
    assert os.stat(tmp_path / "outbox.db").st_mode & 0o077 == 0
