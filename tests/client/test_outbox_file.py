"""An outbox that cannot be opened, read or written is named with the reason; nothing in it is lost."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.client import outbox_file
from gateway.client.outbox import Outbox, OutboxConflict
from gateway.client.outbox_file import OutboxUnavailable, when_available
from gateway.client.outbox_items import Destination
from gateway.client.publisher import Answer

HERE = Destination("http://here", "e")


def damaged(path: Path) -> None:
    """A real outbox, of which the pages after the first are overwritten."""
    outbox = Outbox(path)
    outbox.add(HERE, [("1-1", number, b'{"a":"%s"}' % (b"x" * 2000)) for number in range(1, 20)])
    outbox.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))


def of_another_version(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 7")


def of_another_program(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE bookmark (url TEXT)")


def with_another_table_of_this_name(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE item (price INTEGER)")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "a directory; name a file with --outbox"),
        (lambda path: path.write_text("unit,revision\n" * 100), "not an outbox; keep a copy"),
        (damaged, "damaged; keep a copy"),
        (of_another_version, r"a newer version of valgnatt wrote it \(format 7, not 3\)"),
        (of_another_program, "contains tables of another program"),
        (with_another_table_of_this_name, "no such column.*; keep a copy"),
        (lambda path: path.symlink_to("/proc/none/outbox.db"), "No such file"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda path: path.symlink_to("/dev/full"), "outbox"),
    ],
)
def test_a_file_that_is_no_outbox_is_named(make: Callable[[Path], None], words: str, tmp_path: Path) -> None:
    """Whether that shows when it is opened or when it is read; its content is not changed."""
    path = tmp_path / "outbox.db"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(OutboxUnavailable, match=words) as raised:
        list(Outbox(path).waiting(HERE))
    assert str(raised.value).startswith(f"outbox {path}: ")
    if path.is_file() and make is not damaged:
        assert path.read_bytes() == before


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxUnavailable, match="file is not a directory"):
        Outbox(tmp_path / "file" / "outbox.db")
    with pytest.raises(OutboxUnavailable, match=r"outbox /proc/none/outbox\.db: No such file"):
        Outbox(Path("/proc/none/outbox.db"))


def limited(outbox: Outbox, pages: int) -> None:
    """Let the file have at most so many pages, as on a device that is full."""
    outbox._file.rows(f"PRAGMA max_page_count = {pages}")


def test_a_full_device_takes_nothing_half_and_recovers(tmp_path: Path) -> None:
    """Neither some reports of a file, nor some answers; what was there before stays."""
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.add(HERE, [("1-1", 1, b"{}"), ("1-1", 2, b"{}")])
    limited(outbox, 1)
    many = [("1-2", number, b'{"a":"%s"}' % (b"x" * 500)) for number in range(1, 100)]
    answers = [(item, Answer("accepted", digest="x" * 9000)) for item in outbox.waiting(HERE)]
    for _ in range(2):
        with pytest.raises(OutboxUnavailable, match=r"outbox\.db: no space left on its device; free some"):
            outbox.add(HERE, many)
        with pytest.raises(OutboxUnavailable, match="no space left"):
            outbox.record(answers)
        assert [(item.revision, item.answer) for item in outbox.waiting(HERE)] == [(1, None), (2, None)]
    limited(outbox, 1000)
    assert outbox.add(HERE, many) == 99
    outbox.record(answers)
    assert outbox.waiting_count(HERE) == 99
    outbox.close()


def test_a_call_that_conflicts_leaves_no_transaction_open(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.add(HERE, [("1-1", 1, b'{"a":1}')])
    with pytest.raises(OutboxConflict):
        outbox.add(HERE, [("1-2", 1, b"{}"), ("1-1", 1, b'{"a":2}')])
    assert outbox.add(HERE, [("1-2", 1, b"{}")]) == 1
    outbox.close()


def test_a_file_that_was_moved_or_deleted_takes_no_more_reports(tmp_path: Path) -> None:
    """They would be gone with the process."""
    path = tmp_path / "outbox.db"
    outbox = Outbox(path)
    path.rename(tmp_path / "moved.db")
    with pytest.raises(OutboxUnavailable, match="No such file"):
        outbox.add(HERE, [("1-1", 1, b"{}")])
    Outbox(path).close()
    with pytest.raises(OutboxUnavailable, match="moved, replaced or deleted; start the command again"):
        outbox.add(HERE, [("1-1", 1, b"{}")])
    outbox.close()


@pytest.mark.parametrize(("unit", "revision"), [("1-1", 1 << 63), ("\ud800", 1)])
def test_what_sqlite_cannot_store_is_reported(unit: str, revision: int, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    with pytest.raises(OutboxUnavailable, match="cannot store a report"):
        outbox.add(HERE, [("1-0", 1, b"{}"), (unit, revision, b"{}")])
    assert outbox.waiting_count(HERE) == 0
    outbox.close()


def test_an_answer_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.add(HERE, [("1-1", 1, b"{}")])
    outbox._file.rows("UPDATE item SET answer = CAST('nonsense' AS BLOB)")
    with pytest.raises(OutboxUnavailable, match=r"damaged: .*; keep a copy"):
        list(outbox.answers(HERE))
    outbox.close()


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(30.0):
        while not fact():  # noqa: ASYNC110 - facts without an event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("unattended", [False, True])
async def test_a_lock_of_another_process_is_waited_for(
    unattended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one message, and another one when it is over; the event loop goes on."""
    monkeypatch.setattr(outbox_file, "BUSY_S", 0.0)
    outbox = Outbox(tmp_path / "outbox.db")
    said: list[str] = []
    locked = sqlite3.connect(tmp_path / "outbox.db", isolation_level=None)
    locked.execute("BEGIN IMMEDIATE")
    adding = asyncio.create_task(
        when_available(lambda: outbox.add(HERE, [("1-1", 1, b"{}")]), said.append, keep_trying=unattended)
    )
    await until(lambda: bool(said))
    locked.execute("ROLLBACK")
    assert await adding == 1
    limit = "" if unattended else " for 60 s at most"
    assert said == [
        f"outbox {outbox.path}: another process has locked it; trying again{limit}",
        "The outbox is available again.",
    ]
    locked.close()
    outbox.close()


async def test_a_lock_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless nobody is there to start the command again. That also goes for a full device."""
    monkeypatch.setattr(outbox_file, "BUSY_S", 0.0)
    monkeypatch.setattr(outbox_file, "LOCKED_S", 0.0)
    monkeypatch.setattr(outbox_file, "RETRY_FIRST_S", 0.01)
    outbox = Outbox(tmp_path / "outbox.db")
    said: list[str] = []
    locked = sqlite3.connect(tmp_path / "outbox.db", isolation_level=None)
    locked.execute("BEGIN IMMEDIATE")
    with pytest.raises(OutboxUnavailable, match="locked"):
        await when_available(lambda: outbox.add(HERE, [("1-1", 1, b"{}")]), said.append)
    locked.execute("ROLLBACK")
    locked.close()
    outbox.add(HERE, [("1-1", 1, b"{}")])
    limited(outbox, 1)
    many = [("1-2", number, b'{"a":"%s"}' % (b"x" * 500)) for number in range(1, 100)]
    with pytest.raises(OutboxUnavailable, match="no space"):
        await when_available(lambda: outbox.add(HERE, many), said.append)
    adding = asyncio.create_task(
        when_available(lambda: outbox.add(HERE, many), said.append, keep_trying=True)
    )
    await until(lambda: bool(said))
    limited(outbox, 1000)
    assert await adding == 99
    assert len(said) == 2
    outbox.close()
