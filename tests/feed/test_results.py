"""The table of results of a state that changes while the table is made."""

import zlib
from collections.abc import Generator
from typing import Any

import pytest

from gateway.election.state import ElectionState
from gateway.feed import results
from gateway.feed.results import ResultTable, ResultTables, TableTooLarge
from gateway.feed.selection import read_selection
from gateway.wire.areas import area_document
from gateway.wire.results import CSV, JSON
from tests.election.makers import REGISTRY, Record, a_report
from tests.wire.tables import results_csv


class Night:
    """A state that tests change, and its tables."""

    def __init__(self) -> None:
        self.record, self.state = Record(), ElectionState(REGISTRY)
        self.settled = True
        self.tables = ResultTables(self.state, lambda: self.settled)
        self._revision = 0

    def report(self, unit: str = "a-1-1") -> None:
        self._revision += 1
        self.state.apply(self.record.write(a_report(unit, self._revision)))

    def steps(
        self, level: str = "precinct", area: str | None = None
    ) -> Generator[None, None, ResultTable | None]:
        return self.tables.steps(read_selection(REGISTRY, level, area), level, area, CSV)

    def expected(self, level: str = "precinct") -> bytes:
        areas = [area for area in REGISTRY.areas if area.level == level]
        return results_csv(REGISTRY, (area_document(self.state, area.index) for area in areas))


def run(steps: Generator[None, None, Any], between: Any = lambda: None) -> Any:
    """Run steps, and call a function between them; return their value."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        between()


def test_a_table_is_of_one_moment_although_publications_are_applied_between_the_steps() -> None:
    """Of the last one: what has changed is encoded again."""
    night, left = Night(), [10]

    def between() -> None:
        if left[0]:
            left[0] -= 1
            night.report(("a-1-1", "a-2", "b-1-x-1")[left[0] % 3])
            shown[night.state.sequence] = night.expected()

    shown = {0: night.expected()}
    table = run(night.steps(), between)
    assert table.plain == shown[table.sequence]
    again = run(night.steps())
    assert (again.sequence, again.plain) == (night.state.sequence, night.expected())


def test_a_large_table_is_compressed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Into one gzip stream, in either format; a small one is compressed when it is first needed."""
    night = Night()
    night.report()
    assert run(night.steps()).packed is None
    monkeypatch.setattr(results, "SMALL_BYTES", 0)
    selection = read_selection(REGISTRY, "precinct", None)
    for form in (CSV, JSON):
        table = run(night.tables.steps(selection, "precinct", None, form))
        stream = zlib.decompressobj(31)
        assert stream.decompress(table.packed) == table.plain
        assert stream.eof
        assert not stream.unused_data


def test_a_table_is_made_of_parts_that_are_encoded_once_per_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run changes with a report; another table of the same areas encodes nothing."""
    night, encoded = Night(), []

    def counted(state: ElectionState, index: int) -> dict[str, Any]:
        encoded.append(index)
        return area_document(state, index)

    monkeypatch.setattr(results, "area_document", counted)
    run(night.steps())
    units = {area.index for area in REGISTRY.areas if area.level == "precinct"}
    assert sorted(encoded) == sorted(units)
    encoded.clear()
    run(night.steps())
    assert not encoded
    night.report("a-1-1")
    run(night.steps())
    assert encoded == [REGISTRY.by_id[unit].index for unit in ("a-1-1", "a-1-2")]
    encoded.clear()
    run(night.steps(area="a-1"))
    assert not encoded


def test_a_state_that_may_not_be_shown_makes_no_table() -> None:
    """As while many publications are applied."""
    night = Night()
    night.settled = False
    assert run(night.steps()) is None


def test_a_table_has_at_most_a_number_of_rows_and_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above that it is refused, before anything is encoded; an area below the limit is not."""
    monkeypatch.setattr(results, "ROWS_MAX", 4)
    night = Night()
    with pytest.raises(TableTooLarge, match="14 rows, more than 4"):
        run(night.steps())
    assert run(night.steps(area="a-1")).plain.count(b"\n") == 1 + 4
    monkeypatch.setattr(results, "TABLE_BYTES_MAX", 100)
    with pytest.raises(TableTooLarge, match="more than 0 MiB"):
        run(night.steps(area="a-1"))


def test_memory_for_parts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit parts are encoded again, and tables are the same."""
    monkeypatch.setattr(results, "PARTS_BYTES_MAX", 1)
    night = Night()
    night.report()
    assert run(night.steps()).plain == run(night.steps()).plain == night.expected()
    assert len(night.tables._parts) == 1


def test_the_tag_differs_with_the_content_and_the_mark() -> None:
    """Also where only the head differs."""
    night = Night()
    selection = read_selection(REGISTRY, "county", None)
    tags = {
        run(night.tables.steps(selection, "county", None, form, mark)).tag
        for form, mark in ((CSV, b""), (CSV, b"\xef\xbb\xbf"), (JSON, b""))
    }
    assert len(tags) == 3
    before = run(night.steps()).tag
    assert run(night.steps()).tag == before
    night.report()
    assert run(night.steps()).tag != before
