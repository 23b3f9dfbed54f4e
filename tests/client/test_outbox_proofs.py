"""An outbox keeps the proof of each report, and the areas of the tokens that sent them."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.client.outbox import Outbox
from gateway.client.outbox_file import OutboxUnavailable
from gateway.client.outbox_items import Destination, Item
from gateway.client.outbox_proofs import StoredProof
from gateway.client.push_answers import Answer

HERE, THERE = Destination("http://here", "e"), Destination("http://there", "e")
OTHER = Destination("http://here", "other")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    opened = Outbox(path)
    yield opened
    opened.close()


def answered(outbox: Outbox, answers: dict[tuple[str, int], Answer]) -> dict[tuple[str, int], Item]:
    """Add reports, and record their answers."""
    outbox.add(HERE, [(unit, revision, b'{"r":%d}' % revision) for unit, revision in answers])
    outbox.record([(item, answers[item.unit, item.revision]) for item in outbox.waiting(HERE)])
    return {(item.unit, item.revision): item for item in outbox.answers(HERE)}


def lacking(outbox: Outbox) -> list[tuple[str, int]]:
    return [(item.unit, item.revision) for item in outbox.proofs.missing(HERE)]


def test_proofs_are_missing_of_reports_that_may_be_in_the_record(outbox: Outbox) -> None:
    """Neither of one that was refused or rejected, nor of one that waits; also of one that was not public yet."""
    outbox.add(OTHER, [("1-9", 1, b"{}")])
    answered(
        outbox,
        {
            ("1-1", 1): Answer("accepted", state="published", sequence=1),
            ("1-1", 2): Answer("duplicate", state="embargoed"),
            ("1-2", 1): Answer("accepted", state="held"),
            ("1-2", 2): Answer("duplicate", state="rejected"),
            ("1-2", 3): Answer("duplicate", state="superseded"),
            ("1-3", 1): Answer("refused", code="stale_revision"),
        },
    )
    outbox.add(HERE, [("1-4", 1, b"{}")])
    assert lacking(outbox) == [("1-1", 1), ("1-1", 2), ("1-2", 1)]
    outbox.add(HERE, [("1-1", 1, b'{"r": 1}')])
    assert lacking(outbox) == [("1-1", 2), ("1-2", 1)], (
        "it is sent again, and its position may be another one"
    )


def test_a_stored_proof_is_not_missing_any_more(outbox: Outbox) -> None:
    found = answered(outbox, {("1-1", number): Answer("accepted", sequence=number) for number in (1, 2)})
    outbox.proofs.store([(found["1-1", 2], b"proof")])
    assert lacking(outbox) == [("1-1", 1)]
    assert list(outbox.proofs.stored(HERE)) == [StoredProof("1-1", 2, b"proof")]
    assert list(outbox.proofs.stored(THERE)) == []
    assert outbox.proofs.of(found["1-1", 1].key) is None


def test_a_proof_is_stored_only_for_the_report_that_it_was_fetched_for(outbox: Outbox) -> None:
    """Neither if the report was replaced meanwhile, nor for another one that gets its key; and it goes with it."""
    outbox.add(HERE, [("1-1", 1, b'{"a":1}')])
    (item,) = outbox.waiting(HERE)
    outbox.record([(item, Answer("refused", code="invalid_report"))])
    outbox.proofs.store([(item, b"proof")])
    outbox.add(HERE, [("1-1", 1, b'{"a":2}')])
    outbox.proofs.store([(item, b"late proof")])
    assert list(outbox.proofs.stored(HERE)) == []
    assert outbox.proofs.of(item.key) is None


def test_proofs_and_areas_move_with_their_reports(outbox: Outbox) -> None:
    found = answered(outbox, {("1-1", 1): Answer("accepted", sequence=1)})
    outbox.add(THERE, [("1-5", 1, b"{}")])
    outbox.proofs.store([(found["1-1", 1], b"proof")])
    outbox.proofs.note_areas(HERE, "secret", ["0301"])
    assert outbox.move(HERE, THERE) == 1
    assert list(outbox.proofs.stored(THERE)) == [StoredProof("1-1", 1, b"proof")]
    assert outbox.proofs.areas(THERE) == ["0301"]
    assert list(outbox.proofs.stored(HERE)) == outbox.proofs.areas(HERE) == []
    assert outbox.proofs.of(found["1-1", 1].key) is None, "another report may get this key"


def test_the_areas_of_every_token_are_kept_and_no_token(outbox: Outbox, path: Path) -> None:
    assert not outbox.proofs.knows_token(HERE, "secret-1")
    outbox.proofs.note_areas(HERE, "secret-1", ["4601", "0301"])
    outbox.proofs.note_areas(HERE, "secret-2", ["0301-0001"])
    outbox.proofs.note_areas(HERE, "secret-1", ["0301"])
    outbox.proofs.note_areas(OTHER, "secret-1", ["1103"])
    assert outbox.proofs.knows_token(HERE, "secret-1")
    assert not outbox.proofs.knows_token(THERE, "secret-1")
    assert outbox.proofs.areas(HERE) == ["0301", "0301-0001"]
    outbox.close()
    assert b"secret" not in path.read_bytes()


def test_a_receipt_learns_its_sequence_when_the_report_is_public(outbox: Outbox) -> None:
    """A refusal never replaces a receipt, nor is an answer taken for a report that waits to be sent again."""
    found = answered(outbox, {("1-1", number): Answer("accepted", state="embargoed") for number in (1, 2, 3)})
    outbox.add(HERE, [("1-1", 3, b'{"r":3}')])
    public = Answer("duplicate", state="published", sequence=7)
    refused = Answer("refused", code="stale_revision")
    outbox.proofs.note_receipts(
        [(found["1-1", 1], public), (found["1-1", 2], refused), (found["1-1", 3], public)]
    )
    answers = {item.revision: item.answer for item in outbox.answers(HERE)}
    assert answers == {
        1: public,
        2: Answer("accepted", state="embargoed"),
        3: Answer("accepted", state="embargoed"),
    }
    assert outbox.waiting_count(HERE) == 1


def test_every_report_is_listed_whatever_its_answer(outbox: Outbox) -> None:
    answered(outbox, {("1-1", 1): Answer("accepted"), ("1-1", 2): Answer("refused")})
    outbox.add(HERE, [("1-2", 1, b"{}")])
    outbox.add(THERE, [("1-3", 1, b"{}")])
    assert [(item.unit, item.revision, waits) for item, waits in outbox.all_reports(HERE)] == [
        ("1-1", 1, False),
        ("1-1", 2, False),
        ("1-2", 1, True),
    ]
    assert outbox.destinations("e") == [HERE, THERE]


def test_areas_that_cannot_be_read_are_reported(outbox: Outbox) -> None:
    outbox.proofs.note_areas(HERE, "secret", ["0301"])
    outbox._file.rows("UPDATE token SET areas = 'nonsense'")
    with pytest.raises(OutboxUnavailable, match=r"damaged: .*; keep a copy"):
        outbox.proofs.areas(HERE)


def test_a_file_of_the_version_before_proofs_is_converted(path: Path) -> None:
    """Its reports and receipts stay, and their proofs are missing."""
    with sqlite3.connect(path) as old:
        old.executescript(
            "CREATE TABLE item (key INTEGER PRIMARY KEY, gateway TEXT NOT NULL, election TEXT NOT NULL,"
            " unit TEXT NOT NULL, revision INTEGER NOT NULL, body BLOB NOT NULL, added_at REAL NOT NULL,"
            " waits INTEGER NOT NULL DEFAULT 1, answered_at REAL, answer BLOB, chosen INTEGER NOT NULL DEFAULT 0,"
            " UNIQUE (gateway, election, unit, revision)) STRICT;"
            "CREATE INDEX item_waits ON item (election, key) WHERE waits;"
            """INSERT INTO item VALUES (1, 'http://here', 'e', '1-1', 1, CAST('{}' AS BLOB), 0.0, 0, 1.0,"""
            """ CAST('{"outcome":"accepted","sequence":5}' AS BLOB), 0),"""
            """ (2, 'http://here', 'e', '1-2', 4, CAST('{}' AS BLOB), 0.0, 1, NULL, NULL, 1);"""
            "PRAGMA user_version = 2"
        )
    for _ in range(2):
        outbox = Outbox(path)
        assert lacking(outbox) == [("1-1", 1)]
        assert [(each.unit, each.revision, each.chosen) for each in outbox.waiting(HERE)] == [
            ("1-2", 4, True)
        ]
        outbox.close()
    with sqlite3.connect(path) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (3,)


def test_proofs_survive_an_immediate_kill(path: Path) -> None:
    """The process is killed as soon as it has printed how many it stored."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom gateway.client.outbox import Destination, Outbox\n"
        "from gateway.client.push_answers import Answer\n"
        "to = Destination('http://here', 'e')\n"
        "outbox = Outbox(Path(sys.argv[1]))\n"
        "outbox.add(to, [('1-1', n, b'{}') for n in range(1, 2000)])\n"
        "outbox.record([(item, Answer('accepted', sequence=1)) for item in outbox.waiting(to)])\n"
        "for n, item in enumerate(outbox.proofs.missing(to), 1):\n"
        "    outbox.proofs.store([(item, b'proof')])\n    print(n, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = 0
        while output < 20:
            output = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        output = max([output, *map(int, process.stdout.read().split())])
    outbox = Outbox(path)
    assert len(list(outbox.proofs.stored(HERE))) >= output
    assert lacking(outbox)[0] == ("1-1", len(list(outbox.proofs.stored(HERE))) + 1)
    outbox.close()
