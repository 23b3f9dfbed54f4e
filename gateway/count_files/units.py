"""PURE: make the report of a unit from its rows in a table.

What is empty in one row (`revision`, `counted_at`, `status`, `reason`) is as in the other rows of the unit. Rows
without figures are left out, and so are units without any, unless their status says that nothing was counted.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from gateway.count_files.columns import Columns, is_figure
from gateway.count_files.local_times import NotATime, read_counted_at
from gateway.count_files.lost_zeros import LostZeros
from gateway.count_files.messages import Message, Place, abbreviated, said
from gateway.count_files.numbers import NotWhole, read_whole
from gateway.count_files.parts import MistakeList, Part
from gateway.count_files.totals import Row
from gateway.election.registry import COUNT_MAX
from gateway.election.report import COUNT_NAMES
from gateway.election.rfc3339 import read_time

_OF_REPORT = ("revision", "counted_at", "status", "reason")
_WITHOUT_FIGURES = ("not_counted", "counting", "counted_elsewhere", "unstated")
"""Statuses of a unit for which a table may have no figures."""


class UnitReader:
    """Reads the units of one table; its mistakes go to the given list."""

    def __init__(
        self, name: str, columns: Columns, zone: ZoneInfo | None, lost_zeros: LostZeros, mistakes: MistakeList
    ) -> None:
        self._name = name
        self._columns = columns
        self._zone = zone
        self._lost_zeros = lost_zeros
        self._mistakes = mistakes
        self._by_meaning = columns.by_meaning()
        self.left_out: list[Row] = []
        """Rows without figures whose time or status differs from that of the report of their unit."""

    def read(self, unit: str, rows: Sequence[Row]) -> Part | None:
        """Return the rows of a unit as one report; None if it is left out, or if there are mistakes, which it adds."""
        known = len(self._mistakes)
        with_figures = [row for row in rows if any(is_figure(column) for column in row.cells)]
        if not with_figures and not _says_nothing_was_counted(rows):
            return None
        where = self._where(rows[0])
        if lost := self._lost_zeros.intended(unit):
            column = self._columns.column("unit")
            self._mistakes.add(said("lost_zeros", where, column=column, shown=abbreviated(unit), units=lost))
            return None
        members = dict(self._members(rows, with_figures))
        counts, lines = self._counts_of(unit, with_figures)
        if len(self._mistakes) > known:
            return None
        status = members.get("status")
        if not counts and status is not None and status not in _WITHOUT_FIGURES:
            self._mistakes.add(said("no_figures", where, unit=unit, status=abbreviated(status)))
            return None
        places = {category: Place(self._name, line) for category, line in lines.items()}
        return Part(self._name, where, {"unit": unit, **members, "counts": counts}, places, self._by_meaning)

    def _counts_of(self, unit: str, rows: Sequence[Row]) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the counts of a unit by category, and the line of each."""
        counts: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for row in rows:
            category, where = row.cells.get("category"), self._where(row)
            if category is None:
                self._mistakes.add(said("no_category", where, unit=unit))
            elif category in counts:
                line = lines[category]
                self._mistakes.add(said("category_repeated", where, unit=unit, category=category, line=line))
            else:
                counts[category] = dict(self._counts(where, row))
                lines[category] = row.line
        return counts, lines

    def _members(self, rows: Sequence[Row], with_figures: Sequence[Row]) -> Iterator[tuple[str, Any]]:
        """Yield the members of a report that all rows of its unit share, and add rows that differ to the mistakes.

        Rows without figures are left out, unless the others lack the member; but no revision or reason is.
        """
        lines = {row.line for row in with_figures}
        for column in _OF_REPORT:
            given = [row for row in rows if column in row.cells]
            if not given:
                continue
            first = next((row for row in with_figures if column in row.cells), given[0])
            text = first.cells[column]
            value = self._member(first, column)
            may_be_left_out = column in ("counted_at", "status") and first.line in lines
            for row in given:
                if self._is_same(column, row.cells[column], text):
                    continue
                if may_be_left_out and row.line not in lines:
                    self.left_out += [row] if row not in self.left_out[-1:] else []
                else:
                    self._mistakes.add(self._differs(column, row, first))
            yield column, value

    def _differs(self, column: str, row: Row, first: Row) -> Message:
        """Return the message for a row whose cell differs from that of the first row of its unit."""
        return said(
            "rows_differ",
            self._where(row),
            column=self._columns.column(column),
            unit=row.cells["unit"],
            shown=abbreviated(row.cells[column]),
            other=abbreviated(first.cells[column]),
            line=first.line,
        )

    def _member(self, row: Row, column: str) -> Any:
        text = row.cells[column]
        if column == "revision":
            return self._number(self._where(row), column, text)
        if column == "counted_at":
            try:
                return read_counted_at(text, self._zone)
            except NotATime as error:
                self._mistakes.add(
                    said(
                        "cell_not_a_time",
                        self._where(row),
                        column=self._columns.column(column),
                        unit=row.cells["unit"],
                        shown=abbreviated(text),
                        why=error.why,
                    )
                )
        return text

    def _is_same(self, column: str, text: str, other: str) -> bool:
        return text == other or self._meaning(column, text) == self._meaning(column, other)

    def _meaning(self, column: str, text: str) -> object:
        """Return what two cells of a column have in common if they mean the same: a number, an instant, or the text."""
        try:
            if column == "revision":
                return read_whole(text)
            if column == "counted_at":
                return read_time(read_counted_at(text, self._zone))
        except (NotWhole, NotATime):
            return text
        return text

    def _counts(self, where: Place, row: Row) -> Iterator[tuple[str, Any]]:
        votes = {}
        for column, text in row.cells.items():
            if is_figure(column) and column not in self._columns.unknown:
                number = self._number(where, column, text)
                if column in COUNT_NAMES:
                    yield column, number
                else:
                    votes[column] = number
        yield "votes", votes

    def _number(self, where: Place, column: str, text: str) -> int:
        """Return the whole number in a cell; if there is none, add that to the mistakes and return 0."""
        try:
            number = read_whole(text)
        except NotWhole as error:
            title, shown = self._columns.column(column), abbreviated(text)
            self._mistakes.add(said("not_whole", where, column=title, shown=shown, why=error.why))
            return 0
        if number > COUNT_MAX:
            title, shown = self._columns.column(column), abbreviated(text)
            least = 1 if column == "revision" else 0
            self._mistakes.add(
                said("out_of_range", where, column=title, least=least, most=COUNT_MAX, shown=shown)
            )
            return 0
        return number

    def _where(self, row: Row) -> Place:
        return Place(self._name, row.line)


def _says_nothing_was_counted(rows: Sequence[Row]) -> bool:
    """Return whether rows without figures are a report: by their status, or as they have a revision or a reason."""
    entered = {column for row in rows for column in row.cells}
    if entered & {"revision", "reason"}:
        return True
    statuses = {row.cells["status"] for row in rows if "status" in row.cells}
    return "counted_at" in entered and bool(statuses) and statuses <= {*_WITHOUT_FIGURES}
