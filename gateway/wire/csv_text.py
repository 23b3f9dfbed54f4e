"""CSV as this gateway writes it: RFC 4180, UTF-8, and no cell that a spreadsheet would evaluate."""

import csv
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable

MEDIA_TYPE = "text/csv"
BYTE_ORDER_MARK = BOM_UTF8
"""The byte order mark by which spreadsheets recognise UTF-8. Programs would read it as part of the first header."""
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""First characters of a cell that a spreadsheet would evaluate as a formula."""


class _ReturnRow:
    """A file for `csv.writer` whose `writerow` then returns the row."""

    def write(self, row: str) -> str:
        return row


_write_row: Callable[[Iterable[object]], str] = csv.writer(_ReturnRow(), lineterminator="\r\n").writerow


def csv_row(cells: Iterable[object]) -> str:
    """Return cells as a line of CSV; None is an empty cell, and a text that looks like a formula is quoted."""
    return _write_row([not_a_formula(cell) for cell in cells])


def not_a_formula(cell: object) -> object:
    """Return a cell with an apostrophe before a text that a spreadsheet would evaluate."""
    if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS):
        return "'" + cell
    return cell
