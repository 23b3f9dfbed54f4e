"""The outbox: no report that was added is lost, and none is stored twice."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.client.outbox import Outbox, OutboxConflict
from gateway.client.outbox_items import Change, Destination
from gateway.client.publisher import Answer
from gateway.errors import GatewayError

HERE, THERE = Destination("http://here", "e"), Destination("http://there", "e")
OTHER = Destination("http://here", "other")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.db"


def revisions(outbox: Outbox, to: Destination, unit: str) -> list[int]:
    """The revisions of a unit that the gateway has or may get."""
    return [item.revision for item in outbox.newest_candidates(to, unit)]


def test_reports_wait_in_order_until_they_are_answered(path: Path) -> None:
    outbox = Outbox(path)
    assert outbox.add(HERE, [("1-2", 1, b'{"a":1}'), ("1-1", 1, b'{"a":2}')]) == 2
    assert outbox.add(HERE, [("1-1", 2, b'{"a":3}')]) == 1
    assert [(each.unit, each.revision) for each in outbox.waiting(HERE)] == [
        ("1-2", 1),
        ("1-1", 1),
        ("1-1", 2),
    ]
    assert list(outbox.waiting(OTHER)) == []
    first = next(outbox.waiting(HERE))
    outbox.record([(first, Answer("accepted", sequence=7))])
    outbox.close()
    again = Outbox(path)
    assert [(each.unit, each.revision) for each in again.waiting(HERE)] == [("1-1", 1), ("1-1", 2)]
    (answered,) = again.answers(HERE)
    assert answered.answer == Answer("accepted", sequence=7)
    assert revisions(again, HERE, "1-1") == [1, 2]
    assert revisions(again, HERE, "9-9") == []
    again.close()


def test_adding_a_report_again_changes_nothing(path: Path) -> None:
    """Whatever the white space; other figures under a revision are refused, with all of the same call."""
    outbox = Outbox(path)
    outbox.add(HERE, [("1-1", 1, b'{"a":1,"b":2}')])
    assert outbox.add(HERE, [("1-1", 1, b'{"b": 2, "a": 1}')]) == 0
    with pytest.raises(OutboxConflict, match="unit 1-1, revision 1"):
        outbox.add(HERE, [("1-2", 1, b"{}"), ("1-1", 1, b'{"a":2}')])
    assert len(list(outbox.waiting(HERE))) == 1
    assert revisions(outbox, HERE, "1-2") == []
    outbox.close()


def test_figures_that_were_refused_may_be_replaced_under_the_same_revision(path: Path) -> None:
    """Unless an answer is outstanding: the gateway may have accepted the first figures."""
    outbox = Outbox(path)
    outbox.add(HERE, [("1-1", 1, b'{"a":1}')])
    (item,) = outbox.waiting(HERE)
    outbox.record([(item, Answer("refused", code="invalid_report"))])
    assert outbox.add(HERE, [("1-1", 1, b'{"a":2}')]) == 1
    assert [(each.body, each.answer) for each in outbox.waiting(HERE)] == [(b'{"a":2}', None)]
    with pytest.raises(OutboxConflict):
        outbox.add(HERE, [("1-1", 1, b'{"a":3}')])
    outbox.close()


def test_reports_that_were_refused_are_none_that_the_gateway_may_have(path: Path) -> None:
    """Neither one above the ceiling nor one that was superseded, until it waits again."""
    outbox = Outbox(path)
    outbox.add(HERE, [("1-1", 3, b"{}"), ("1-1", 2_100_000_000, b"{}"), ("1-1", 4, b"{}")])
    stale = Answer("refused", code="stale_revision", current_revision=2_000_000_000)
    above = Answer("refused", code="invalid_report", violations=({"code": "revision_above_ceiling"},))
    for item, answer in zip(list(outbox.waiting(HERE)), (Answer("accepted"), above, None), strict=True):
        if answer is not None:
            outbox.record([(item, answer)])
    assert revisions(outbox, HERE, "1-1") == [3, 4]
    (waiting,) = outbox.waiting(HERE)
    outbox.record([(waiting, stale)])
    assert revisions(outbox, HERE, "1-1") == [3]
    outbox.add(HERE, [("1-1", 4, b"{}")])
    assert revisions(outbox, HERE, "1-1") == [3, 4]
    outbox.close()


def test_a_receipt_of_one_gateway_does_not_count_for_another(path: Path) -> None:
    """Each has its own reports, numbers and answers."""
    outbox = Outbox(path)
    outbox.add(HERE, [("1-1", 7, b"{}")])
    (item,) = outbox.waiting(HERE)
    outbox.record([(item, Answer("accepted"))])
    assert revisions(outbox, THERE, "1-1") == []
    assert outbox.add(THERE, [("1-1", 7, b'{"other": "figures"}')]) == 1
    assert [each.unit for each in outbox.waiting(THERE)] == ["1-1"]
    assert list(outbox.answers(THERE)) == []
    assert list(outbox.waiting(HERE)) == []
    assert outbox.at_other_gateways(HERE, include_answered=False) == {"http://there": 1}
    assert outbox.at_other_gateways(THERE, include_answered=False) == {}
    assert outbox.at_other_gateways(THERE, include_answered=True) == {"http://here": 1}
    outbox.close()


def test_a_receipt_from_before_does_not_keep_a_report_from_being_sent(path: Path) -> None:
    """Added again, it waits for another answer; the first answer is kept meanwhile."""
    outbox = Outbox(path)
    outbox.add(HERE, [("1-1", 1, b"{}"), ("1-2", 1, b"{}")])
    for item in list(outbox.waiting(HERE)):
        outbox.record([(item, Answer("accepted", sequence=4))])
    assert outbox.add(HERE, [("1-1", 1, b"{}")]) == 0
    assert [(each.unit, each.answer) for each in outbox.waiting(HERE)] == [
        ("1-1", Answer("accepted", sequence=4))
    ]
    assert len(list(outbox.answers(HERE))) == 2
    outbox.close()


def test_reports_kept_for_a_former_address_can_be_taken_over(path: Path) -> None:
    """With answers and revisions, and in order; reports for other addresses are unaffected."""
    outbox = Outbox(path)
    third = Destination("http://third", "e")
    outbox.add(HERE, [("1-1", 1, b"{}"), ("1-1", 2, b"{}")])
    outbox.add(third, [("1-3", 1, b"{}")])
    first = next(outbox.waiting(HERE))
    outbox.record([(first, Answer("accepted", sequence=4))])
    assert outbox.move(HERE, THERE) == 2
    assert [(each.unit, each.revision) for each in outbox.waiting(THERE)] == [("1-1", 2)]
    assert [each.answer for each in outbox.answers(THERE)] == [Answer("accepted", sequence=4)]
    assert revisions(outbox, THERE, "1-1") == [1, 2]
    assert revisions(outbox, HERE, "1-1") == []
    assert outbox.at_other_gateways(THERE, include_answered=True) == {"http://third": 1}
    outbox.add(HERE, [("1-1", 2, b'{"other": "figures"}')])
    with pytest.raises(OutboxConflict):
        outbox.move(HERE, THERE)
    assert len(list(outbox.waiting(HERE))) == 1
    outbox.close()


def test_a_file_of_an_older_version_is_taken_over_by_the_first_gateway_that_is_used(path: Path) -> None:
    """It recorded no gateway; waiting reports still wait, and answers are kept."""
    path.parent.mkdir()
    with sqlite3.connect(path) as old:
        old.executescript(
            "CREATE TABLE item (key INTEGER PRIMARY KEY, election TEXT NOT NULL, unit TEXT NOT NULL,"
            " revision INTEGER NOT NULL, body BLOB NOT NULL, added_at REAL NOT NULL, answered_at REAL, answer BLOB,"
            " UNIQUE (election, unit, revision)) STRICT;"
            "CREATE INDEX item_waiting ON item (election, key) WHERE answer IS NULL;"
            "CREATE TABLE file (election TEXT, name TEXT, digest BLOB, PRIMARY KEY (election, name, digest)) STRICT;"
            """INSERT INTO item VALUES (1, 'e', '1-1', 1, CAST('{}' AS BLOB), 0.0, 1.0,"""
            """ CAST('{"outcome":"accepted"}' AS BLOB)), (2, 'e', '1-2', 1, CAST('{}' AS BLOB), 0.0, NULL, NULL)"""
        )
    for _ in range(2):
        outbox = Outbox(path)
        outbox.adopt_unnamed(HERE)
        assert [each.unit for each in outbox.waiting(HERE)] == ["1-2"]
        assert [each.unit for each in outbox.answers(HERE)] == ["1-1"]
        outbox.adopt_unnamed(THERE)
        assert list(outbox.waiting(THERE)) == []
        outbox.close()


def test_reports_that_wait_in_a_file_of_an_older_version_are_judged_again(path: Path) -> None:
    """It did not note whose choice a revision was; those with an answer keep theirs."""
    path.parent.mkdir()
    with sqlite3.connect(path) as old:
        old.executescript(
            "CREATE TABLE item (key INTEGER PRIMARY KEY, gateway TEXT NOT NULL, election TEXT NOT NULL,"
            " unit TEXT NOT NULL, revision INTEGER NOT NULL, body BLOB NOT NULL, added_at REAL NOT NULL,"
            " waits INTEGER NOT NULL DEFAULT 1, answered_at REAL, answer BLOB,"
            " UNIQUE (gateway, election, unit, revision)) STRICT;"
            """INSERT INTO item VALUES (1, 'http://here', 'e', '1-1', 1, CAST('{}' AS BLOB), 0.0, 0, 1.0,"""
            """ CAST('{"outcome":"accepted"}' AS BLOB)),"""
            """ (2, 'http://here', 'e', '1-2', 1, CAST('{}' AS BLOB), 0.0, 1, NULL, NULL);"""
            "PRAGMA user_version = 1"
        )
    for _ in range(2):
        outbox = Outbox(path)
        assert [(each.unit, each.chosen) for each in outbox.waiting(HERE)] == [("1-2", True)]
        assert [(each.unit, each.chosen) for each in outbox.answers(HERE)] == [("1-1", False)]
        assert outbox.units_to_judge(HERE) == ["1-2"]
        outbox.close()


def test_a_waiting_report_gets_another_revision_only_if_nobody_changed_it_meanwhile(path: Path) -> None:
    """An answer to what it was before does not end its wait."""
    outbox = Outbox(path)
    outbox.add_keyed(HERE, [("1-1", 1, b'{"a":1}', True), ("1-1", 2, b'{"a":2}', True)])
    first, second = outbox.waiting(HERE)
    moves = [Change(first, 2, b'{"a":1,"r":2}'), Change(second, 3, b'{"a":2,"r":3}')]
    assert outbox.change(HERE, moves)
    assert not outbox.change(HERE, moves)
    outbox.record([(first, Answer("accepted"))])
    assert [(each.key, each.revision, each.body) for each in outbox.waiting(HERE)] == [
        (first.key, 2, b'{"a":1,"r":2}'),
        (second.key, 3, b'{"a":2,"r":3}'),
    ]
    _, second = outbox.waiting(HERE)
    assert not outbox.change(HERE, [Change(second, 2, b"{}")])
    outbox.record([(second, Answer("refused", code="revision_conflict"))])
    assert [each.revision for each in outbox.waiting(HERE)] == [2, 3]
    outbox.close()


def test_confirmed_reports_can_be_queued_again_in_order(path: Path) -> None:
    """Reports with a receipt and superseded ones; a report that was refused for its figures stays refused."""
    outbox = Outbox(path)
    outbox.add(HERE, [("1-1", 1, b"{}"), ("1-1", 2, b"{}"), ("1-2", 1, b"{}"), ("1-3", 1, b"{}")])
    answers = [
        Answer("accepted", sequence=1),
        Answer("refused", code="stale_revision"),
        Answer("refused", code="invalid_report"),
    ]
    for item, answer in zip(list(outbox.waiting(HERE)), answers, strict=False):
        outbox.record([(item, answer)])
    assert outbox.resend_confirmed(OTHER) == 0
    assert outbox.resend_confirmed(HERE) == 2
    assert [(each.unit, each.revision) for each in outbox.waiting(HERE)] == [
        ("1-1", 1),
        ("1-1", 2),
        ("1-3", 1),
    ]
    assert outbox.resend_confirmed(THERE) == 0
    outbox.close()


def test_only_its_owner_may_read_it(path: Path) -> None:
    Outbox(path).close()
    assert path.stat().st_mode & 0o077 == 0


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GatewayError, match="outbox"):
        Outbox(tmp_path / "file" / "outbox.db")


def test_added_reports_survive_an_immediate_kill(path: Path) -> None:
    """The process is killed as soon as it has printed how many it added."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom gateway.client.outbox import Destination, Outbox\n"
        "to = Destination('http://here', 'e')\n"
        "outbox = Outbox(Path(sys.argv[1]))\n"
        "for n in range(1, 100000):\n    outbox.add(to, [('1-1', n, b'{}')])\n    print(n, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = 0
        while output < 20:
            output = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        output = max([output, *map(int, process.stdout.read().split())])
    outbox = Outbox(path)
    assert revisions(outbox, HERE, "1-1")[-1] >= output
    outbox.close()
