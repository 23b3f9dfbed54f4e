"""The outbox: nothing that was handed over is lost, and nothing is in it twice."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.client.outbox import Outbox, OutboxConflict
from gateway.client.publisher import Answer
from gateway.errors import GatewayError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.db"


def test_what_was_handed_over_waits_in_its_order_until_it_is_answered(path: Path) -> None:
    outbox = Outbox(path)
    assert outbox.add("e", [("1-2", 1, b'{"a":1}'), ("1-1", 1, b'{"a":2}')]) == 2
    assert outbox.add("e", [("1-1", 2, b'{"a":3}')]) == 1
    assert [(each.unit, each.revision) for each in outbox.waiting("e")] == [
        ("1-2", 1),
        ("1-1", 1),
        ("1-1", 2),
    ]
    assert list(outbox.waiting("other")) == []
    first = next(outbox.waiting("e"))
    outbox.answered(first.key, Answer("accepted", sequence=7))
    outbox.close()
    again = Outbox(path)
    assert [(each.unit, each.revision) for each in again.waiting("e")] == [("1-1", 1), ("1-1", 2)]
    (answered,) = again.answers("e")
    assert answered.answer == Answer("accepted", sequence=7)
    assert again.last_revision("e", "1-1") == 2
    assert again.last_revision("e", "9-9") == 0
    again.close()


def test_handing_over_again_changes_nothing(path: Path) -> None:
    """Whatever the white space; other figures under a revision are refused, with all of the same call."""
    outbox = Outbox(path)
    outbox.add("e", [("1-1", 1, b'{"a":1,"b":2}')])
    assert outbox.add("e", [("1-1", 1, b'{"b": 2, "a": 1}')]) == 0
    with pytest.raises(OutboxConflict, match="unit 1-1, revision 1"):
        outbox.add("e", [("1-2", 1, b"{}"), ("1-1", 1, b'{"a":2}')], ("f.csv", b"x"))
    assert len(list(outbox.waiting("e"))) == 1
    assert not outbox.knows("e", "f.csv", b"x")
    outbox.close()


def test_a_file_is_known_by_name_and_content(path: Path) -> None:
    outbox = Outbox(path)
    outbox.add("e", [], ("f.csv", b"x"))
    assert outbox.knows("e", "f.csv", b"x")
    assert not outbox.knows("e", "f.csv", b"y")
    assert not outbox.knows("other", "f.csv", b"x")
    outbox.close()


def test_what_the_gateway_had_waits_once_more_in_its_order(path: Path) -> None:
    """What has a receipt, and what was overtaken; a report that was refused for its figures stays refused."""
    outbox = Outbox(path)
    outbox.add("e", [("1-1", 1, b"{}"), ("1-1", 2, b"{}"), ("1-2", 1, b"{}"), ("1-3", 1, b"{}")])
    answers = [
        Answer("accepted", sequence=1),
        Answer("refused", code="stale_revision"),
        Answer("refused", code="invalid_report"),
    ]
    for item, answer in zip(list(outbox.waiting("e")), answers, strict=False):
        outbox.answered(item.key, answer)
    assert outbox.again("other") == 0
    assert outbox.again("e") == 2
    assert [(each.unit, each.revision) for each in outbox.waiting("e")] == [
        ("1-1", 1),
        ("1-1", 2),
        ("1-3", 1),
    ]
    assert [each.unit for each in outbox.answers("e")] == ["1-2"]
    outbox.close()


def test_only_its_owner_may_read_it(path: Path) -> None:
    Outbox(path).close()
    assert path.stat().st_mode & 0o077 == 0


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GatewayError, match="outbox"):
        Outbox(tmp_path / "file" / "outbox.db")


def test_what_was_taken_survives_a_kill_in_the_next_moment(path: Path) -> None:
    """The process is ended with SIGKILL as soon as it has said how much it took."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom gateway.client.outbox import Outbox\n"
        "outbox = Outbox(Path(sys.argv[1]))\n"
        "for n in range(1, 100000):\n    outbox.add('e', [('1-1', n, b'{}')])\n    print(n, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = 0
        while said < 20:
            said = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        said = max([said, *map(int, process.stdout.read().split())])
    outbox = Outbox(path)
    assert outbox.last_revision("e", "1-1") >= said
    outbox.close()
