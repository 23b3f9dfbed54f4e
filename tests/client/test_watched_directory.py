"""Which files of a directory are taken, and that nothing in it stops the others or is reported twice."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.client import inotify, regular_files, watched_directory
from gateway.client.completeness import CLOSED_S
from gateway.client.inotify import DirectoryChanges
from gateway.client.regular_files import StillOpen, is_open_for_writing, read_regular
from gateway.client.watched_directory import OPEN_S, DirectoryUnavailable, WatchedDirectory
from gateway.count_files.files import FILE_MAX

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs inotify")
SETTLE_S = 10.0


class Watched:
    """A watched directory and its clock."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.now = 0.0
        self.directory = WatchedDirectory(path, settle_s=SETTLE_S, **options)
        self.messages: list[str] = []

    def look(self, later_s: float = 0.0) -> list[str]:
        """Return the names of the files that can be taken then, and collect messages."""
        self.now += later_s
        look = self.directory.look(self.now)
        self.messages += look.messages
        return [name for name in look.complete if self.directory.read(name, self.now) is not None]

    def take(self, later_s: float = 0.0) -> list[str]:
        """Take what is complete."""
        names = self.look(later_s)
        for name in names:
            self.directory.mark_done(name, (self.path / name).read_bytes())
        return names


@pytest.fixture(params=["changes", "no changes"])
def watched(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """With and without reported changes."""
    if request.param == "no changes":
        monkeypatch.setattr(DirectoryChanges, "open", lambda _: None)
    (tmp_path / "w").mkdir()
    return Watched(tmp_path / "w")


@pytest.fixture
def reported(tmp_path: Path) -> Watched:
    (tmp_path / "w").mkdir()
    watched = Watched(tmp_path / "w")
    watched.look()
    return watched


def test_each_content_is_taken_once(watched: Watched) -> None:
    """Also if another program touches the file, or takes it away and puts it back."""
    file = watched.path / "a.csv"
    file.write_text("1")
    watched.look()
    assert watched.take(SETTLE_S) == ["a.csv"]
    os.utime(file, (1, 1))
    assert (watched.take(), watched.take(SETTLE_S)) == ([], [])
    file.rename(watched.path.parent / "a.csv")
    assert watched.take(1) == []
    (watched.path.parent / "a.csv").rename(file)
    assert (watched.take(), watched.take(SETTLE_S)) == ([], [])
    file.write_text("2")
    watched.look()
    assert watched.take(SETTLE_S) == ["a.csv"]
    assert watched.messages == []


def test_only_files_with_counts_are_taken_and_others_are_named_once(watched: Watched) -> None:
    """Except those that other programs are still making."""
    for name in (
        "b.JSON",
        "c.ndjson",
        "d.jsonl",
        ".hidden.csv",
        "~$e.csv",
        "f.csv.part",
        "g.csv~",
        "h.csv.done",
    ):
        (watched.path / name).write_text("1")
    (watched.path / "archive").mkdir()
    (watched.path / "counts.ods").write_text("1")
    watched.look()
    assert watched.take(SETTLE_S) == ["b.JSON", "c.ndjson", "d.jsonl"]
    assert watched.messages == [
        "counts.ods: left alone, as its name does not end with .json, .ndjson, .jsonl, .csv, .xlsx, .xml"
    ]


def odd_files(path: Path) -> Iterator[tuple[str, str]]:
    """Make what cannot be taken; yield its name and words of the message."""
    (path / "dir.csv").mkdir()
    yield "dir.csv", "a directory"
    os.mkfifo(path / "fifo.csv")
    yield "fifo.csv", "a named pipe"
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path / "s.csv"))
    yield "s.csv", "a socket"
    (path / "link.csv").symlink_to("nowhere")
    yield "link.csv", "a symbolic link to nothing"
    (path / "loop.csv").symlink_to("loop.csv")
    yield "loop.csv", "Too many levels of symbolic links"
    (path / "null.csv").symlink_to("/dev/null")
    yield "null.csv", "a device"
    with (path / "huge.csv").open("wb") as file:
        file.truncate(FILE_MAX + 1)
    yield "huge.csv", "larger than 20 MiB"


def test_what_cannot_be_read_is_named_once_and_the_others_are_taken(watched: Watched) -> None:
    """Without waiting for a named pipe."""
    odd = dict(odd_files(watched.path))
    name = os.fsdecode(b"\xff[red]\n.csv")
    (watched.path / name).write_text("1")
    (watched.path / "target.csv").write_text("1")
    (watched.path / "good.csv").symlink_to("target.csv")
    watched.look()
    assert watched.take(SETTLE_S) == sorted(["good.csv", "target.csv", name])
    assert watched.take(SETTLE_S) == []
    assert len(watched.messages) == len(odd)
    for text in watched.messages:
        known, _, reason = text.partition(": ")
        assert odd[known] in reason


def test_a_file_without_permission_is_named_once_and_taken_when_it_has_it(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read everything, so the refusal is simulated."""
    opened = os.open
    denied = {"a.csv"}

    def refusing(path: Path, flags: int, *arguments: object) -> int:
        if Path(path).name in denied:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refusing)
    for name in ("a.csv", "b.csv"):
        (watched.path / name).write_text(name)
    watched.look()
    assert watched.take(SETTLE_S) == ["b.csv"]
    assert [watched.take(1) for _ in range(3)] == [[]] * 3
    assert watched.messages == ["a.csv: Permission denied"]
    denied.clear()
    assert watched.take(1) == ["a.csv"]


def test_a_file_that_vanishes_between_looks_is_no_error_but_reported(watched: Watched) -> None:
    """Once, and only if its content was not taken."""
    file = watched.path / "a.csv"
    file.write_text("1")
    watched.look()
    watched.now += SETTLE_S
    assert watched.directory.look(watched.now).complete == ["a.csv"]
    file.unlink()
    assert watched.directory.read("a.csv", watched.now) is None
    assert (watched.take(1), watched.take(1)) == ([], [])
    assert watched.messages == ["a.csv: gone before it was sent"]


def test_files_of_the_command_itself_are_left_alone(tmp_path: Path) -> None:
    """Such as its table of receipts, if they are in this directory."""
    own = [tmp_path / "o.db", tmp_path / "receipts.csv", tmp_path.parent / "a.csv"]
    watched = Watched(tmp_path, own=own)
    for name in ("o.db", "receipts.csv", "a.csv"):
        (tmp_path / name).write_text("1")
    watched.look()
    assert watched.take(SETTLE_S) == ["a.csv"]
    assert watched.messages == []


def test_a_file_that_changes_while_it_is_read_is_not_taken(watched: Watched) -> None:
    file = watched.path / "a.csv"
    file.write_text("1")
    watched.look()
    watched.now += SETTLE_S
    assert watched.directory.look(watched.now).complete == ["a.csv"]
    file.write_text("2")
    assert watched.directory.read("a.csv", watched.now) is None
    watched.look()
    assert watched.take(SETTLE_S) == ["a.csv"]


def test_a_directory_that_is_away_is_an_error_until_it_is_back(watched: Watched) -> None:
    """What was taken before is not taken again, and another directory of its name is watched like the first."""
    (watched.path / "a.csv").write_text("1")
    watched.look()
    assert watched.take(SETTLE_S) == ["a.csv"]
    away = watched.path.with_name("away")
    watched.path.rename(away)
    with pytest.raises(DirectoryUnavailable, match="w: No such file or directory"):
        watched.look()
    away.rename(watched.path)
    (watched.path / "b.csv").write_text("1")
    watched.look()
    assert watched.take(SETTLE_S) == ["b.csv"]
    watched.path.rename(away)
    watched.path.mkdir()
    (watched.path / "c.csv").write_text("1")
    watched.look()
    assert watched.take(SETTLE_S) == ["c.csv"]
    watched.path.rename(away.with_name("other"))
    watched.path.write_text("")
    with pytest.raises(DirectoryUnavailable, match="Not a directory"):
        watched.look()


@on_linux
def test_a_new_directory_of_the_same_name_reports_its_changes(reported: Watched) -> None:
    reported.path.rmdir()
    reported.path.mkdir()
    reported.look()
    (reported.path / "a.csv").write_text("1")
    reported.look()
    assert reported.look(CLOSED_S) == ["a.csv"]


@on_linux
def test_a_closed_file_is_taken_after_a_moment_and_a_renamed_one_at_once(reported: Watched) -> None:
    (reported.path / "a.csv").write_text("1")
    (reported.path / "b.part").write_text("1")
    (reported.path / "b.part").rename(reported.path / "b.csv")
    assert reported.take() == ["b.csv"]
    assert reported.take(CLOSED_S) == ["a.csv"]


@on_linux
def test_a_file_is_not_taken_while_its_writer_pauses(reported: Watched) -> None:
    """However long; after a minute that is reported once."""
    with (reported.path / "a.csv").open("w") as file:
        file.write("half")
        file.flush()
        assert [reported.take(seconds) for seconds in (0, 4, SETTLE_S, OPEN_S, OPEN_S)] == [[]] * 5
        assert len(reported.messages) == 1
        assert "a.csv: not sent yet, since a program has it open for writing" in reported.messages[0]
        file.write("whole")
    reported.look()
    assert reported.take(CLOSED_S) == ["a.csv"]


@on_linux
def test_a_file_that_a_program_opened_before_the_start_is_not_taken_while_it_is_open(tmp_path: Path) -> None:
    """The system says so to the owner of the file, whatever changes were reported."""
    with (tmp_path / "a.csv").open("w") as file:
        file.write("half")
        file.flush()
        watched = Watched(tmp_path)
        watched.look()
        assert watched.take(SETTLE_S) == []
    watched.look()
    assert watched.take(SETTLE_S) == ["a.csv"]


@on_linux
def test_a_file_that_was_cut_by_its_name_is_taken_although_nobody_closes_it(reported: Watched) -> None:
    """It is reported as written, but nobody has it open."""
    (reported.path / "a.csv").write_text("12")
    reported.look()
    os.truncate(reported.path / "a.csv", 1)
    reported.look()
    assert reported.take(SETTLE_S) == ["a.csv"]


@on_linux
def test_without_word_whether_a_file_is_open_a_written_one_must_be_closed(
    reported: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for files of another owner."""
    monkeypatch.setattr(regular_files, "is_open_for_writing", lambda _: None)
    with (reported.path / "a.csv").open("w") as file:
        file.write("half")
        file.flush()
        assert [reported.take(seconds) for seconds in (0, SETTLE_S, SETTLE_S)] == [[]] * 3
    reported.look()
    assert reported.take(CLOSED_S) == ["a.csv"]


@on_linux
def test_more_changes_than_the_system_keeps_leave_only_size_and_time(
    reported: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    (reported.path / "a.csv").write_text("1")
    monkeypatch.setattr(inotify, "_change", lambda _: inotify.Change.LOST)
    reported.look()
    assert reported.take(CLOSED_S) == []
    assert reported.take(SETTLE_S) == ["a.csv"]


def test_a_file_beside_it_states_the_end(watched: Watched) -> None:
    """If it is not older: one that is left from an earlier content states nothing."""
    file, end = watched.path / "a.csv", watched.path / "a.csv.done"
    file.write_text("1")
    assert watched.take() == []
    end.touch()
    assert watched.take() == ["a.csv"]
    file.write_text("2")
    later = file.stat().st_mtime_ns + 10**9
    os.utime(file, ns=(later, later))
    assert watched.take() == []
    os.utime(end, ns=(later, later))
    assert watched.take() == ["a.csv"]


def test_files_may_have_to_wait_for_a_stated_end(tmp_path: Path) -> None:
    watched = Watched(tmp_path, only_stated=True)
    (tmp_path / "a.csv").write_text("1")
    assert [watched.take(seconds) for seconds in (0, SETTLE_S, 3600)] == [[]] * 3
    (tmp_path / "a.csv.done").touch()
    assert watched.take() == ["a.csv"]


def test_more_files_than_are_looked_at_are_reported_once(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_directory, "FILES_MAX", 3)
    for number in range(5):
        (watched.path / f"{number}.csv").write_text("1")
    watched.look()
    assert len(watched.take(SETTLE_S)) == 3
    assert watched.messages == [f"{watched.path}: more than 3 files; move those that are done elsewhere"]


@on_linux
def test_whether_a_file_is_open_for_writing_is_known_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w") as writing, path.open() as reading:
        assert is_open_for_writing(reading.fileno()) is True
        with pytest.raises(StillOpen):
            read_regular(path)
        writing.close()
        assert is_open_for_writing(reading.fileno()) is False
    assert read_regular(path) is not None
