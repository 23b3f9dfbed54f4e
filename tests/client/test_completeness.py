"""A file is complete when its writer has finished it, and never in the middle of a pause."""

import pytest

from gateway.client.completeness import CLOSED_S, Completeness, Stamp, Verdict
from gateway.client.inotify import Change

SETTLE_S = 10.0


def stamp(size: int, inode: int = 1) -> Stamp:
    return inode, size, size, size


def judged(files: Completeness, size: int, *times: float, stated: bool = False) -> list[str]:
    return [files.judge("a.csv", stamp(size), now, stated=stated).value for now in times]


@pytest.fixture
def files() -> Completeness:
    return Completeness(SETTLE_S)


def test_a_file_that_was_there_at_the_start_is_complete_when_it_has_settled(files: Completeness) -> None:
    """Any change of size or time begins the period anew."""
    assert judged(files, 10, 0, 5, 9.9) == ["changing"] * 3
    assert judged(files, 20, 9.95, 15, 19.9) == ["changing"] * 3
    assert judged(files, 20, 19.95) == ["complete"]
    assert files.judge("a.csv", stamp(20, inode=2), 30) is Verdict.CHANGING


def test_a_file_that_its_writer_closed_is_complete_after_a_moment(files: Completeness) -> None:
    files.on_change("a.csv", Change.CREATED, 0)
    files.on_change("a.csv", Change.MODIFIED, 0)
    files.on_change("a.csv", Change.CLOSED, 0)
    assert judged(files, 10, 0, CLOSED_S - 0.1, CLOSED_S) == ["changing", "changing", "complete"]


@pytest.mark.parametrize("pause_s", [4, 11, 3600])
def test_a_writer_that_pauses_has_not_finished(files: Completeness, pause_s: float) -> None:
    """However long it pauses: it has not closed the file."""
    files.on_change("a.csv", Change.MODIFIED, 0)
    assert "complete" not in judged(files, 10, 0, pause_s)
    files.on_change("a.csv", Change.MODIFIED, pause_s + 1)
    files.on_change("a.csv", Change.CLOSED, pause_s + 1)
    assert judged(files, 20, pause_s + 1, pause_s + 1 + CLOSED_S) == ["changing", "complete"]


def test_an_open_file_that_does_not_change_is_distinguished(files: Completeness) -> None:
    files.on_change("a.csv", Change.MODIFIED, 0)
    assert judged(files, 10, 1, SETTLE_S) == ["changing", "open"]


def test_a_writer_that_opens_a_file_again_for_each_line_has_not_finished(files: Completeness) -> None:
    """As long as it does so within CLOSED_S."""
    for second in range(5):
        files.on_change("a.csv", Change.MODIFIED, second)
        files.on_change("a.csv", Change.CLOSED, second)
        assert judged(files, second, second, second + 0.9) == ["changing"] * 2
    assert judged(files, 4, 4 + CLOSED_S) == ["complete"]


def test_a_renamed_file_is_complete_at_once(files: Completeness) -> None:
    """Unless it is written afterwards."""
    files.on_change("a.csv", Change.RENAMED, 0)
    assert judged(files, 10, 0) == ["complete"]
    files.on_change("a.csv", Change.MODIFIED, 1)
    assert judged(files, 11, 1, 5) == ["changing"] * 2


def test_changed_attributes_do_not_make_a_closed_file_incomplete(files: Completeness) -> None:
    files.on_change("a.csv", Change.CLOSED, 0)
    assert judged(files, 10, 0) == ["changing"]
    files.on_change("a.csv", Change.ATTRIBUTES, 1)
    assert files.judge("a.csv", (1, 10, 10, 99), 1) is Verdict.CHANGING
    assert files.judge("a.csv", (1, 10, 10, 99), 1 + CLOSED_S) is Verdict.COMPLETE


def test_a_change_that_was_not_reported_makes_the_reported_ones_worthless(files: Completeness) -> None:
    """Another machine wrote the file; only its size and times tell when it has finished."""
    files.on_change("a.csv", Change.CLOSED, 0)
    assert judged(files, 10, 0, CLOSED_S) == ["changing", "complete"]
    assert judged(files, 20, 20, 20 + CLOSED_S, 20 + SETTLE_S) == ["changing", "changing", "complete"]


@pytest.mark.parametrize("change", [Change.MODIFIED, Change.CLOSED, Change.RENAMED])
def test_lost_changes_leave_only_size_and_time(files: Completeness, change: Change) -> None:
    files.on_change("a.csv", change, 0)
    files.on_change("", Change.LOST, 0)
    assert judged(files, 10, 0, SETTLE_S - 0.1, SETTLE_S) == ["changing", "changing", "complete"]


def test_a_stated_end_counts_at_once(files: Completeness) -> None:
    files.on_change("a.csv", Change.MODIFIED, 0)
    assert judged(files, 10, 0, stated=True) == ["complete"]


def test_only_stated_ends_may_count() -> None:
    files = Completeness(SETTLE_S, only_stated=True)
    files.on_change("a.csv", Change.CLOSED, 0)
    assert judged(files, 10, 0, 1e6) == ["changing"] * 2
    assert judged(files, 10, 1e6, stated=True) == ["complete"]


def test_a_file_of_a_former_name_is_unknown(files: Completeness) -> None:
    files.on_change("a.csv", Change.CLOSED, 0)
    files.keep(set())
    assert judged(files, 10, 5, 5 + CLOSED_S) == ["changing"] * 2
