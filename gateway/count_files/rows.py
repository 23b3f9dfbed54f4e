"""PURE: the rows of a table, whether it comes from a text or from a workbook."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import StringIO
from itertools import islice

import msgspec

from gateway.count_files.messages import Message, Place, said
from gateway.count_files.parts import BadCountFile

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_DIRECTIVE = re.compile(r'"?sep=(.)"?(\r\n|\r|\n|$)', re.IGNORECASE)
"""A first line that states the delimiter for spreadsheets."""
HEAD_ROWS = 30
"""Rows that are not empty among which the header is."""


class TableRow(msgspec.Struct, frozen=True):
    """A row with at least one cell that is not empty."""

    line: int
    """The line of a text in which it begins, or the row of a sheet."""
    cells: Sequence[str]
    """Its cells without white space around them."""


class Table(msgspec.Struct, frozen=True):
    """The rows of a table, read once; and how its columns are separated, if it is a text."""

    rows: Iterator[TableRow]
    delimiter: str | None = None
    mistakes_from: Callable[[int], Iterable[Message]] = lambda _: ()
    """Returns what is wrong with the form of the table, which has its header in the given line."""


def text_table(name: str, text: str, known: Callable[[Sequence[str]], int]) -> Table:
    """Return the rows of a table that is a text (CSV, RFC 4180).

    The delimiter is the one by which the best of the first rows has most of the columns that are `known`; a line
    `sep=;` before the table decides. Raises BadCountFile, also while the rows are read.
    """
    skipped = 0
    if directive := _DIRECTIVE.match(text):
        delimiter, skipped = directive[1], 1
        text = text[directive.end() :]
        if delimiter not in DELIMITERS:
            raise BadCountFile([said("unknown_separator", Place(name, 1))])
    else:
        delimiter = max(DELIMITERS, key=lambda each: _most_columns(text, each, known))
    return Table(_text_rows(name, text, delimiter, skipped), delimiter)


def _most_columns(text: str, delimiter: str, known: Callable[[Sequence[str]], int]) -> tuple[int, int]:
    """Return how many known columns the best of the first rows has, and how many columns at all."""
    best = (0, 0)
    try:
        rows = _text_rows("", text, delimiter, 0)
        for row in islice(rows, HEAD_ROWS):
            best = max(best, (known(row.cells), len(row.cells)))
    except BadCountFile:
        return best
    return best


def _text_rows(name: str, text: str, delimiter: str, skipped: int) -> Iterator[TableRow]:
    """Yield the rows that are not empty. A row begins in the line that it is given; a quoted cell may span several."""
    lines = csv.reader(StringIO(text, newline=""), strict=True, delimiter=delimiter)
    line = skipped + 1
    try:
        for cells in lines:
            if any(cells):  # spreadsheets save up to a million rows that are empty
                stripped = [cell.strip() for cell in cells]
                if any(stripped):
                    yield TableRow(line, stripped)
            line = skipped + lines.line_num + 1
    except csv.Error as error:
        raise BadCountFile([said("bad_csv", Place(name, line), detail=str(error))]) from None


def first_rows(rows: Iterable[TableRow]) -> tuple[list[TableRow], Iterator[TableRow]]:
    """Return the first HEAD_ROWS rows, and an iterator over the others."""
    others = iter(rows)
    return list(islice(others, HEAD_ROWS)), others
