"""`valgnatt push`: from a file on a desk to a receipt, through mistakes, interruptions and outages."""

import asyncio
import csv
import json
import os
import pty
import signal
from pathlib import Path

import pytest

from gateway.client.outbox import Outbox
from gateway.client.push_files import destination
from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import GeneratedElection
from gateway.reserved_ports import reserved_ports
from tests.client.desk import TIMEOUT_S, Desk, counted, until
from tests.count_files.tables import workbook
from tests.running import Gateway, Sender, served
from tests.web.conftest import make_database
from tests.web.doors import COUNTRY, a_registry, a_report
from tests.wire.eml_documents import eml, selection, unit_votes

pytestmark = pytest.mark.long


def test_counts_in_a_file_get_receipts(desk: Desk) -> None:
    """Pushing the file again changes nothing; an omitted revision is the next one."""
    file = desk.file("night.ndjson", a_report(), a_report("0604-0002"))
    status, output = desk.push(file)
    assert (status, "2 receipts\n" in output) == (0, True), output
    first = desk.answers()
    assert [answer["outcome"] for answer in first] == ["accepted", "accepted"]
    status, output = desk.push(file)
    assert (status, "2 receipts (0 new, 2 already known to the gateway)" in output) == (0, True), output
    assert [answer["accepted_at"] for answer in desk.answers()] == [each["accepted_at"] for each in first]
    for _ in range(2):
        assert desk.push(desk.file("later.json", counted(11, minute=50)))[0] == 0
        assert (len(desk.answers()), desk.answers()[-1]["revision"]) == (3, "2")


async def test_an_eml_document_gets_receipts(desk: Desk) -> None:
    """Its revisions follow from its time, so a later document replaces an earlier one; a mistake names the place."""
    path = desk.directory / "night.xml"
    for minute, votes in ((36, 10), (40, 11)):
        unit = unit_votes("0604-0001", selection("FL", votes, "election_day"))
        path.write_bytes(eml(unit, issued=f"2024-09-09T22:{minute}:00+02:00"))
        status, output = await desk.push_here(path)
        assert (status, "1 receipt" in output) == (0, True), output
    first, second = desk.answers()
    assert int(second["revision"]) - int(first["revision"]) == 240
    path.write_bytes(eml(unit, issued="2024-09-09T22:50:00"))
    status, output = await desk.push_here(path)
    assert status == 2
    assert "night.xml, line 2: column 33: IssueDate: the time needs an offset from UTC" in output


async def test_a_count_without_a_revision_gets_the_next_one_only_if_it_was_counted_later(desk: Desk) -> None:
    """An old file that is handed in again changes nothing; a recount with earlier figures does, by its time."""
    old, new = counted(10, minute=37), counted(11, minute=40)
    for report, revision, outcome in (
        (old, "1", "accepted"),
        (new, "2", "accepted"),
        (old, "1", "duplicate"),
        (counted(10, minute=45), "3", "accepted"),
    ):
        status, output = await desk.push_here(desk.file("count.json", report))
        assert status == 0, output
        answers = {each["revision"]: each["outcome"] for each in desk.answers()}
        assert answers[revision] == outcome
        assert revision == max(answers) or outcome == "duplicate"
    for minute in (45, 44):
        status, output = await desk.push_here(desk.file("count.json", counted(12, minute=minute)))
        assert status == 2
        assert "count.json, line 1: unit 0604-0001, counted at 2024-09-09T22:4" in output
        assert "has other figures than the newest report (revision 3)" in output
    assert len(desk.answers()) == 3


def sender_at(gateway: Gateway, small: GeneratedElection, election: str) -> Sender:
    """A token for an election of that name."""

    async def made() -> Sender:
        await gateway.load(a_registry(small, id=election))
        return await gateway.issue(election, [COUNTRY])

    return asyncio.run(made())


def at(gateway: Gateway, sender: Sender) -> dict[str, str]:
    """The environment of a command that is to use a gateway."""
    return {
        "VALGNATT_TOKEN": sender.secret,
        "VALGNATT_PUSH_URL": gateway.push_url,
        "VALGNATT_FEED_URL": gateway.feed_url,
    }


def test_a_second_gateway_gets_all_of_a_file_and_gives_its_own_receipts(
    desk: Desk, gateway: Gateway, sender: Sender, small: GeneratedElection, postgres: EmbeddedPostgres
) -> None:
    """As between a rehearsal and the election: the same file, election and outbox, another gateway.

    What waits for one of them is not sent to the other, and status 0 is not given while it waits.
    """
    file = desk.file("night.ndjson", a_report(), a_report("0604-0002"))
    assert desk.push(file)[0] == 0
    with served(make_database(postgres)) as second:
        there = at(second, sender_at(second, small, sender.election))
        status, output = desk.push(file, **there)
        assert (status, "2 receipts\n" in output) == (0, True), output
        assert [answer["outcome"] for answer in desk.answers()] == ["accepted", "accepted"]
        more = desk.file("more.ndjson", a_report(revision=2))
        status, _ = desk.push(more, **there | {"VALGNATT_TOKEN": "x" * 43})
        assert status == 1
        status, output = desk.push()
        assert (status, "0 receipts" in output) == (1, True), output
        assert f"The outbox has 1 report for {second.push_url}, not sent to {gateway.push_url}" in output
        status, output = desk.push("--moved-from", second.push_url)
        assert (status, "Took over 3 reports" in output) == (0, True), output
        assert [answer["revision"] for answer in desk.answers()] == ["1", "1", "2"]


def test_a_gateway_whose_record_was_replaced_gets_all_of_a_file_again(
    desk: Desk, small: GeneratedElection, postgres: EmbeddedPostgres
) -> None:
    """Behind the same address another database answers: receipts from before are no reason not to send.

    Of a watched directory likewise, whose files keep the numbers that they were given.
    """
    watched = desk.directory / "outgoing"
    watched.mkdir()
    unnumbered = a_report("0604-0002")
    del unnumbered["revision"]
    (watched / "a.json").write_text(json.dumps(unnumbered))
    with reserved_ports(2) as (push_port, feed_port):
        options = {"push_port": push_port, "feed_port": feed_port}
        file = desk.file("night.ndjson", a_report())
        for gone in ("", ", 1 report with earlier receipts that this gateway no longer knows"):
            with served(make_database(postgres), **options) as gateway:
                environ = at(gateway, sender_at(gateway, small, desk.to.election))
                status, output = desk.push(file, **environ)
                assert (status, f"1 receipt{gone}\n" in output) == (0, True), output
                with desk.command("--watch", watched, "--settle-s", 0.2, **environ) as process:
                    assert process.stderr is not None
                    while f"1 receipt{gone}\n" not in (line := process.stderr.readline()):
                        assert line
                    process.send_signal(signal.SIGINT)
                answers = [(each["unit"], each["revision"], each["outcome"]) for each in desk.answers()]
                assert answers == [("0604-0001", "1", "accepted"), ("0604-0002", "1", "accepted")]


def test_spellings_of_an_address_are_one_gateway() -> None:
    for url, gateway in (
        ("http://Door.example:80/", "http://door.example"),
        ("https://user:secret@door.example:443", "https://door.example"),
        ("https://door.example:80", "https://door.example:80"),
        ("http://[::1]:8081/", "http://[::1]:8081"),
        ("http://door.example./push/", "http://door.example/push"),
    ):
        assert destination(url, "e").gateway == gateway


def test_again_resends_all_reports_that_have_a_receipt(desk: Desk) -> None:
    """As needed after the gateway's database was restored; here nothing was lost, so all are duplicates."""
    assert desk.push(desk.file("night.ndjson", a_report(), a_report("0604-0002")))[0] == 0
    first = desk.answers()
    status, output = desk.push("--again")
    assert (status, "Resending 2 confirmed reports" in output) == (0, True), output
    assert [answer["outcome"] for answer in desk.answers()] == ["duplicate", "duplicate"]
    assert [answer["accepted_at"] for answer in desk.answers()] == [each["accepted_at"] for each in first]


def test_on_another_machine_the_next_revision_comes_from_the_gateway(desk: Desk) -> None:
    assert desk.push(desk.file("a.json", a_report(revision=7)))[0] == 0
    desk.outbox = desk.directory / "another.db"
    assert desk.push(desk.file("b.json", counted(11, minute=50)))[0] == 0
    assert desk.answers()[-1]["revision"] == "8"


def test_a_mistake_in_a_file_is_reported_and_nothing_is_sent(desk: Desk) -> None:
    """Not of this file, nor of the good one beside it."""
    wrong = a_report("0604-0002", party_x=1)
    status, output = desk.push(desk.file("good.json", a_report()), desk.file("wrong.json", wrong))
    assert status == 2
    assert "wrong.json, line 1: unit 0604-0002 Sæmvann: $.party_x" in output
    assert "nothing was sent" in output
    assert not desk.receipts.exists()
    for arguments, words in (
        ((desk.directory / "none.csv",), "none.csv: No such file"),
        (("/dev/zero",), "/dev/zero: a device, not a regular file"),
        ((desk.file("a.csv"),), "a.csv, line 1"),
        (
            (desk.file("empty.json", a_report()), desk.file("empty.ndjson")),
            "empty.ndjson: contains no report",
        ),
    ):
        status, output = desk.push(*arguments)
        assert status == 2
        assert words in output


def sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def test_one_interrupt_ends_the_question_before_sending(desk: Desk) -> None:
    """Nothing is sent, and the outbox stays empty."""
    master, terminal = pty.openpty()
    try:
        with desk.command(desk.file("a.json", a_report()), stdin=terminal) as process:
            assert process.stdout is not None
            assert process.stdout.read(5) == "Send?"
            until(lambda: sleeps(process.pid))  # within the read that follows the question
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT_S) == 130
        assert waiting(desk) == 0
    finally:
        os.close(master)
        os.close(terminal)


def test_a_refused_report_ends_with_status_1(desk: Desk) -> None:
    """Other figures under a revision that is in already, from another outbox."""
    assert desk.push(desk.file("a.json", a_report()))[0] == 0
    desk.outbox = desk.directory / "another.db"
    status, output = desk.push(desk.file("b.json", a_report(votes=99)))
    assert status == 1
    assert "revision_conflict" in output
    assert "the gateway has another report under this revision" in output
    assert "give a correction a higher revision" in output
    assert [answer["code"] for answer in desk.answers()] == ["revision_conflict"]


def test_a_superseded_report_has_no_receipt(desk: Desk) -> None:
    """Nothing is lost, but only receipts give status 0."""
    assert desk.push(desk.file("a.json", a_report(revision=5)))[0] == 0
    desk.outbox = desk.directory / "another.db"
    status, output = desk.push(desk.file("b.json", a_report(revision=3)))
    assert status == 1
    assert "0 receipts" in output
    assert "no receipt: unit 0604-0001, revision 3: revision 5 has already been accepted" in output
    assert "if this count is newer, give it a higher revision" in output


def test_after_an_operator_raises_the_ceiling_a_file_gets_its_receipt(desk: Desk, gateway: Gateway) -> None:
    """The revision comes from the gateway's answers, also if this sender has reported for the unit before."""
    assert desk.push(desk.file("first.json", a_report()))[0] == 0
    own, desk.outbox = desk.outbox, desk.directory / "another.db"
    assert desk.push(desk.file("high.json", a_report(revision=2_000_000_000, votes=99)))[0] == 0
    desk.outbox = own
    file = desk.file("true.json", counted(11, minute=50))
    for _ in range(2):
        status, output = desk.push(file, "--accept")
        assert (status, "at most 2000000000, not 2000000001; an operator" in output) == (1, True), output
    asyncio.run(raise_revisions(gateway, desk.to.election))
    status, output = desk.push(file, "--accept")
    assert (status, "1 receipt" in output) == (0, True), output
    assert [(each["revision"], each["outcome"]) for each in desk.answers()][-1] == ("2000000001", "accepted")


async def raise_revisions(gateway: Gateway, election: str) -> None:
    async with gateway.administration() as acts:
        await acts.raise_revisions(election, "0604-0001")


def test_an_invalid_token_is_reported_and_the_counts_wait(desk: Desk) -> None:
    file = desk.file("a.json", a_report())
    status, output = desk.push(file, VALGNATT_TOKEN="x" * 43)
    assert status == 1
    assert "401" in output
    assert "x" * 43 not in output
    assert "ask the operator for a new one" in output
    assert (
        "1 report without a receipt kept in the outbox; send later with: valgnatt push --election" in output
    )
    assert desk.push()[0] == 0
    assert [answer["outcome"] for answer in desk.answers()] == ["accepted"]


def test_counts_without_a_revision_wait_too_if_the_token_is_not_valid(desk: Desk) -> None:
    """Their revisions are chosen when the gateway can be asked."""
    status, output = desk.push(desk.file("a.json", counted(10, minute=5)), VALGNATT_TOKEN="x" * 43)
    assert (status, waiting(desk)) == (1, 1)
    assert "– → 11" not in output
    assert "? → 11" in output
    assert "ask the operator for a new one" in output
    assert (
        "1 report without an answer kept in the outbox; send later with: valgnatt push --election" in output
    )
    other = desk.directory / "another.db"
    status, output = desk.push(desk.file("b.json", counted(9, minute=1)), "--outbox", other)
    assert status == 0, output
    assert desk.push()[0] == 0
    assert [(each["revision"], each["outcome"]) for each in desk.answers()] == [("2", "accepted")]


def test_without_an_answer_push_keeps_trying_and_says_that_it_is_safe_to_stop(
    desk: Desk, gateway: Gateway, sender: Sender, tmp_path: Path
) -> None:
    """Counts with and without a revision are kept, and sent by a command without files."""
    nowhere = Desk(tmp_path, gateway, sender, push_url="http://127.0.0.1:1")
    for report in (counted(10, minute=5), a_report("0604-0002")):
        with nowhere.command(nowhere.file("a.json", report)) as process:
            assert process.stderr is not None
            lines = iter(process.stderr.readline, "")
            output = next(line for line in lines if "It is safe to stop with Ctrl-C" in line)
            assert f"Send them later with: valgnatt push --election {sender.election}" in output
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT_S) == 130
    assert waiting(nowhere) == 2
    status, output = desk.push("--moved-from", "http://127.0.0.1:1")
    assert (status, "2 receipts" in output) == (0, True), output


def test_an_unknown_election_or_area_is_named_with_those_that_are_close(desk: Desk) -> None:
    file = desk.file("a.json", a_report())
    status, output = desk.push(file, "--election", f"{desk.to.election}x")
    assert status == 1
    assert f"no election '{desk.to.election}x'; did you mean {desk.to.election}" in output
    status, output = desk.push("--template", "--areas", "0604,lograstrand")
    assert (status, "no area 'lograstrand' in" in output) == (2, True), output
    assert "did you mean 0604-0001 (Løgrstrand)?" in output


def test_a_token_of_another_municipality_is_named_with_the_place_in_the_file(
    desk: Desk, gateway: Gateway, sender: Sender, tmp_path: Path
) -> None:
    other = asyncio.run(gateway.issue(sender.election, ["0602"]))
    status, output = Desk(tmp_path, gateway, other).push(desk.file("a.json", counted(10, minute=5)))
    assert (status, "nothing was sent" in output) == (2, True)
    assert (
        "a.json, line 1: unit 0604-0001 Løgrstrand: this token may not report for this unit; check" in output
    )


def test_queued_reports_are_sent_after_an_outage_and_a_kill(
    desk: Desk, small: GeneratedElection, postgres: EmbeddedPostgres
) -> None:
    """The next run needs no file."""
    file = desk.file("a.ndjson", a_report(), a_report("0604-0002"))
    with reserved_ports(2) as (push_port, feed_port):
        url = f"http://127.0.0.1:{push_port}"
        desk.to = destination(url, desk.to.election)
        with desk.command(file, "--unchecked", VALGNATT_PUSH_URL=url) as process:
            until(lambda: desk.outbox.exists() and waiting(desk) == 2)
            process.send_signal(signal.SIGKILL)
        with served(make_database(postgres), push_port=push_port, feed_port=feed_port) as gateway:
            status, output = desk.push(**at(gateway, sender_at(gateway, small, desk.to.election)))
            assert status == 0, output
            assert "Sending 2 reports from the outbox first" in output
            assert [answer["outcome"] for answer in desk.answers()] == ["accepted", "accepted"]


def waiting(desk: Desk) -> int:
    outbox = Outbox(desk.outbox)
    try:
        return len(list(outbox.waiting(desk.to)))
    finally:
        outbox.close()


def test_new_files_in_a_watched_directory_are_sent(desk: Desk) -> None:
    """Once each; a file with a mistake is left alone until it is changed."""
    watched = desk.directory / "outgoing"
    watched.mkdir()
    with desk.command("--watch", watched) as process:
        (watched / "a.json").write_text(json.dumps(a_report()))
        until(lambda: desk.receipts.exists() and len(desk.answers()) == 1)
        (watched / "b.json").write_text("{")
        (watched / "c.json").write_text(json.dumps(a_report("0604-0002")))
        until(lambda: len(desk.answers()) == 2)
        (watched / "b.json").write_text(json.dumps(a_report(revision=2)))
        until(lambda: len(desk.answers()) == 3)
        process.send_signal(signal.SIGINT)
        _, output = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    assert "Traceback" not in output
    assert output.count("b.json: not sent") == 1


def test_a_template_can_be_filled_in_and_pushed(desk: Desk, sender: Sender) -> None:
    with desk.command("--template", "--areas", "0604") as process:
        table, output = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, output
    rows = list(csv.DictReader(table.removeprefix("\ufeff").splitlines()))
    assert {row["unit"].partition("-")[0] for row in rows} == {"0604"}
    path = desk.directory / "filled.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        first = rows[0] | {
            "counted_at": "2024-09-09T22:36:55+02:00", "status": "final", "ballots": "3", "blank": "3", "rejected": "0",
        }  # fmt: skip
        writer.writerow(first)
    assert desk.push(path)[0] == 0
    assert desk.answers()[0]["unit"] == first["unit"]


def test_a_template_is_pushed_as_a_workbook_with_what_was_filled_in_for_all_its_rows(desk: Desk) -> None:
    """In the words and times of the office; rows without figures are left out, and so is the total."""
    with desk.command("--template", "--areas", "0604") as process:
        table, output = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, output
    head, *rows = csv.reader(table.removeprefix("\ufeff").splitlines())
    words = {
        "unit": "Krets",
        "counted_at": "Talt",
        "ballots": "Stemmesedler",
        "blank": "Blanke",
        "rejected": "Forkastet",
    }
    everywhere = {"counted_at": "9.9.2024 kl. 22.36", "status": "Foreløpig"}
    cells = [dict(zip(head, each, strict=False)) | everywhere for each in rows]
    cells[0] |= {"ballots": 1200, "blank": "1 200", "rejected": "0,0"}
    cells.append({"unit": "Sum", "ballots": 1200})
    path = desk.directory / "filled.xlsx"
    grid = [[each.get(column, "") for column in head] for each in cells]
    path.write_bytes(workbook([[words.get(column, column) for column in head], *grid]))
    status, output = desk.push(path, "--yes", "--accept")
    assert (status, "1 receipt" in output) == (0, True), output
    units = len({each["unit"] for each in cells}) - 2
    assert f"Left out: {units} units without figures." in output
    assert (
        f"filled.xlsx, line {len(cells) + 1}: a total, equal to the sum of its rows, and not sent" in output
    )
    assert [answer["outcome"] for answer in desk.answers()] == ["accepted"]
