"""PURE: one sheet of a workbook, from its XML (ECMA-376, part 1, section 18.3)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gateway.count_files.column_letters import column_letters, column_number
from gateway.count_files.number_formats import NumberStyles, serial_text
from gateway.count_files.rows import TableRow
from gateway.count_files.workbook_zip import BadWorkbook

COLUMNS_MAX = 1000
"""Columns with content; a spreadsheet has 16 384."""
TEXT_MAX = 32_767
"""Characters in a cell, the limit of Excel."""
ROW_MAX = 1_048_576
SPANS_MAX = 20_000
"""Groups of merged cells, and of hidden columns."""
_CELL = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_INTEGER = re.compile(r"-?[0-9]{1,15}")
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")


class Merged(msgspec.Struct, frozen=True):
    """Cells that were merged into one; only the first of them has content."""

    name: str
    """As in the spreadsheet: `A2:A4`."""
    first: tuple[int, int]
    last: tuple[int, int]
    """Row and column, both from 1."""


class Sheet(msgspec.Struct):
    """The cells with content of one sheet."""

    name: str
    is_hidden: bool
    rows: dict[int, dict[int, str]] = msgspec.field(default_factory=dict)
    """Texts by row and column, both from 1."""
    merged: list[Merged] = msgspec.field(default_factory=list)
    hidden_rows: list[int] = msgspec.field(default_factory=list)
    """Rows with content that are not shown."""
    hidden_columns: list[tuple[int, int]] = msgspec.field(default_factory=list)

    def add(self, row: int, column: int, text: str, *, is_hidden: bool) -> None:
        """Add a cell with content. Raises BadWorkbook."""
        if column > COLUMNS_MAX:
            raise BadWorkbook(
                f"content in column {column_letters(column - 1)}; at most {COLUMNS_MAX} columns are read"
            )
        cells = self.rows.get(row)
        if cells is None:
            cells = self.rows[row] = {}
            if is_hidden:
                self.hidden_rows.append(row)
        if column in cells:
            raise BadWorkbook(f"damaged: cell {column_letters(column - 1)}{row} is there twice")
        cells[column] = text

    def table_rows(self) -> Iterator[TableRow]:
        """Yield the rows with content from the top."""
        for number in sorted(self.rows):
            cells = self.rows[number]
            texts = [""] * max(cells)
            for column, text in cells.items():
                texts[column - 1] = text
            yield TableRow(number, texts)

    def hidden_with_content(self) -> list[str]:
        """Return the columns with content that are not shown, as letters."""
        used = {column for cells in self.rows.values() for column in cells} if self.hidden_columns else ()
        return [
            column_letters(column - 1)
            for column in sorted(used)
            if any(first <= column <= last for first, last in self.hidden_columns)
        ]


class CellTexts(msgspec.Struct, frozen=True):
    """The shared texts and styles to which the cells of a workbook refer."""

    strings: Sequence[str]
    styles: NumberStyles
    from_1904: bool

    def text(self, kind: str, style: str, content: str) -> str:
        """Return the content of a cell as a table in a text file would have it. Raises BadWorkbook."""
        if kind == "s":
            return self._shared(content.strip())
        if kind in ("str", "inlineStr"):
            return unescaped(content).strip()
        content = content.strip()
        if kind == "b":
            return {"1": "TRUE", "0": "FALSE"}.get(content, content)
        if kind == "d":
            return content.removesuffix("Z").replace("T", " ")
        if kind == "e" or not content:
            return content
        if style in self.styles.dates:
            return serial_text(content, from_1904=self.from_1904)
        number = _number_text(content)
        return (
            f"{number} [{self.styles.scaled[style]}]"
            if style in self.styles.scaled and number != "0"
            else number
        )

    def _shared(self, number: str) -> str:
        if not number:
            return ""
        if not _INTEGER.fullmatch(number) or not 0 <= int(number) < len(self.strings):
            raise BadWorkbook("damaged: a cell refers to a text that is missing")
        return self.strings[int(number)]


class SheetReader:
    """Takes the elements of a sheet and adds its cells to a Sheet."""

    def __init__(self, sheet: Sheet, texts: CellTexts) -> None:
        self._sheet = sheet
        self._texts = texts
        self._row = self._column = 0
        self._reference: str | None = None
        self._row_is_hidden = False
        self._kind = self._style = ""
        self._content: list[str] = []
        self._formula: list[str] | None = None
        self._into: list[str] | None = None
        """Where text is added: to the content of the cell, to its formula, or nowhere."""
        self._size = 0
        self._is_phonetic = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Take the start of an element. Raises BadWorkbook."""
        if name == "c":
            self._start_cell(attributes)
        elif name in ("v", "t"):
            self._into = None if self._is_phonetic else self._content
        elif name == "f":
            self._into = self._formula = []
        elif name == "row":
            self._row = _row_of(attributes.get("r"), self._row)
            self._column, self._reference = 0, None
            self._row_is_hidden = attributes.get("hidden") in ("1", "true")
        elif name == "rPh":
            self._is_phonetic = True
        elif name == "mergeCell":
            _append(self._sheet.merged, _merged(attributes.get("ref", "")))
        elif name == "col" and attributes.get("hidden") in ("1", "true"):
            _append(self._sheet.hidden_columns, _span(attributes))

    def end(self, name: str) -> None:
        """Take the end of an element. Raises BadWorkbook."""
        if name in ("v", "t", "f"):
            self._into = None
        elif name == "rPh":
            self._is_phonetic = False
        elif name == "c":
            self._end_cell()

    def data(self, text: str) -> None:
        """Take text. Raises BadWorkbook."""
        if self._into is not None:
            self._into.append(text)
            self._size += len(text)
            if self._size > TEXT_MAX:
                raise BadWorkbook(f"row {self._row}: more than {TEXT_MAX} characters in a cell")

    def _start_cell(self, attributes: Mapping[str, str]) -> None:
        reference = attributes.get("r")
        if reference is None:
            self._column = self._this_column() + 1
        self._reference = reference
        self._kind, self._style = attributes.get("t", "n"), attributes.get("s", "0")
        self._content = []
        self._formula = None
        self._size = 0

    def _this_column(self) -> int:
        """Return the column of the cell that began last; its reference is read only if that is needed."""
        if self._reference is not None:
            self._column = _column_of(self._reference, self._row)
            self._reference = None
        return self._column

    def _end_cell(self) -> None:
        if self._content:
            text = self._texts.text(self._kind, self._style, "".join(self._content))
        elif self._formula is not None and self._kind != "str":
            text = f"={''.join(self._formula).strip()[:100] or '?'}"
        else:
            return
        if text:
            self._sheet.add(self._row, self._this_column(), text, is_hidden=self._row_is_hidden)


def _number_text(content: str) -> str:
    """Return a number as it is written in a table: without a fraction or an exponent if it is whole."""
    if _INTEGER.fullmatch(content):
        return content
    try:
        number = float(content)
    except ValueError:
        return content
    return str(int(number)) if abs(number) < 1e15 and number.is_integer() else repr(number)


def unescaped(text: str) -> str:
    """Return a text with the characters that XML does not allow, which are written as `_x000D_`."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text


def _row_of(text: str | None, before: int) -> int:
    """Return the number of a row; one without a number follows the row before."""
    if text is None:
        return before + 1
    if not text.isascii() or not text.isdigit() or not before < int(text[:9]) <= ROW_MAX:
        raise BadWorkbook(f"damaged: row {text[:20]!r} after row {before}")
    return int(text)


def _append(found: list[Any], each: object) -> None:
    if len(found) == SPANS_MAX:
        raise BadWorkbook(f"more than {SPANS_MAX} groups of merged cells, or of hidden columns")
    found.append(each)


def _column_of(reference: str, row: int) -> int:
    found = _CELL.fullmatch(reference)
    if found is None or int(found[2]) != row:
        raise BadWorkbook(f"damaged: cell {reference[:20]!r} in row {row}")
    return column_number(found[1])


def _merged(reference: str) -> Merged:
    first, _, last = reference.partition(":")
    ends = [_CELL.fullmatch(each) for each in (first, last or first)]
    (row, column), (last_row, last_column) = [
        (int(each[2]), column_number(each[1])) if each else (1, 1) for each in ends
    ]
    return Merged(reference[:20], (row, column), (last_row, last_column))


def _span(attributes: Mapping[str, str]) -> tuple[int, int]:
    first, last = (
        int(text[:6]) if (text := attributes.get(name, "")).isascii() and text.isdigit() else 0
        for name in ("min", "max")
    )
    return first, last
