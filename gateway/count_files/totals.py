"""PURE: rows of totals, which are compared with the rows that they sum and are not reports."""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate

import msgspec

from gateway.count_files.columns import Columns, is_figure
from gateway.count_files.messages import Column, Message, Place, abbreviated, listed, said
from gateway.count_files.numbers import NotWhole, read_whole
from gateway.count_files.words import NAME, TOTAL_WORDS, plain

_TOTAL_MAX = 10**15


class Row(msgspec.Struct, frozen=True):
    """A row with at least one cell that is not empty; `cells` are the others by the meaning of their column."""

    line: int
    cells: dict[str, str]


def is_total(row: Row, identifiers: Collection[str]) -> bool:
    """Return whether a row is a total by its unit or category, or by its name if it has no unit.

    A text that identifies something in the election is none of the words for totals.
    """
    columns = ("unit", "category") if "unit" in row.cells else (NAME, "category")
    texts = [row.cells[column] for column in columns if column in row.cells]
    return any(text not in identifiers and plain(text) in TOTAL_WORDS for text in texts)


class Totals:
    """Compares rows of totals with the rows since the previous total, with all rows above, and with all rows."""

    def __init__(self, name: str, columns: Columns, totals: Sequence[Row], rows: Sequence[Row]) -> None:
        self._name = name
        self._columns = columns
        self._totals = totals
        self._rows = rows
        self._all = _Sums(rows)
        self._scopes: dict[str, dict[str, _Sums]] = {}

    def mistakes(self) -> Iterator[Message]:
        """Yield the totals that differ from the sum of the rows."""
        before = 0
        for total in self._totals:
            figures = {column: text for column, text in total.cells.items() if is_figure(column)}
            yield from self._compared(total, figures, before)
            before = total.line

    def note(self) -> Message | None:
        """Return the note that rows of totals were left out."""
        lines = [str(total.line) for total in self._totals]
        if not lines:
            return None
        if len(lines) == 1:
            return said("total_left_out", Place(self._name, self._totals[0].line))
        shown, more = listed(lines)
        return said("totals_left_out", Place(self._name), lines=shown, more=more)

    def _compared(self, total: Row, figures: Mapping[str, str], before: int) -> Iterator[Message]:
        where = Place(self._name, total.line)
        expected: dict[str, int] = {}
        for column, text in figures.items():
            try:
                expected[column] = read_whole(text)
            except NotWhole as error:
                title = self._columns.column(column)
                yield said("not_whole", where, column=title, shown=abbreviated(text), why=error.why)
                return
        scope = self._scope(total)
        above, since = scope.index_of(total.line), scope.index_of(before + 1)
        for first, last in ((since, above), (0, above), (0, len(scope.lines))):
            if all(scope.sum(column, first, last) in (number, None) for column, number in expected.items()):
                return
        last = above or len(scope.lines)
        for column, number in expected.items():
            found = scope.sum(column, 0, last)
            if found is not None and found != number:
                yield _differs(where, self._columns.column(column), number, found, scope.lines[:last])

    def _scope(self, total: Row) -> "_Sums":
        """Return the rows that a total is about: those of its unit, or of its category, if it names one."""
        for column in ("unit", "category"):
            text = total.cells.get(column)
            if text is not None and plain(text) not in TOTAL_WORDS:
                return self._scopes_of(column).get(text) or _Sums([])
        return self._all

    def _scopes_of(self, column: str) -> dict[str, "_Sums"]:
        if column not in self._scopes:
            rows: dict[str, list[Row]] = {}
            for row in self._rows:
                rows.setdefault(row.cells.get(column, ""), []).append(row)
            self._scopes[column] = {text: _Sums(each) for text, each in rows.items()}
        return self._scopes[column]


class _Sums:
    """The sums of columns over any successive rows, each at the cost of two look-ups."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.lines = [row.line for row in rows]
        self._rows = rows
        self._up_to: dict[str, list[tuple[int, int]]] = {}
        """By column and row: the sum of all rows before, and how many of them are no number."""

    def index_of(self, line: int) -> int:
        """Return how many rows are above a line."""
        return bisect_left(self.lines, line)

    def sum(self, column: str, first: int, last: int) -> int | None:
        """Return the sum of a column, or None if one of its cells is no number, which is a mistake of its own."""
        if column not in self._up_to:
            self._up_to[column] = list(
                accumulate(map(partial(_figure, column), self._rows), _added, initial=(0, 0))
            )
        up_to = self._up_to[column]
        (before, wrong_before), (total, wrong) = up_to[min(first, last)], up_to[last]
        return total - before if wrong == wrong_before else None


def _figure(column: str, row: Row) -> tuple[int, int]:
    try:
        return read_whole(row.cells.get(column, "0")), 0
    except NotWhole:
        return 0, 1


def _added(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]


def _differs(where: Place, column: Column, total: int, found: int, lines: Sequence[int]) -> Message:
    """Return the message for a total that differs from the sum of these lines."""
    shown, sum_shown = _shown(total), _shown(found)
    if not lines:
        return said("total_of_no_rows", where, column=column, total=shown, sum=sum_shown)
    if len(lines) == 1:
        return said("total_of_one_row", where, column=column, total=shown, sum=sum_shown, first=lines[0])
    return said(
        "total_differs", where, column=column, total=shown, sum=sum_shown, first=lines[0], last=lines[-1]
    )


def _shown(number: int) -> int | Message:
    return number if number < _TOTAL_MAX else said("huge_number")
