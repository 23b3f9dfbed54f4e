"""PURE: tables of counts (CSV, RFC 4180), as people fill them in with a spreadsheet, and the empty table for that.

A table has one row per category of a unit; all rows of a unit form one report. Its columns are `unit`, `revision`,
`counted_at`, `status`, `reason`, `category`, `ballots`, `blank`, `rejected`, `voters`, and one for each party, named by
its code. What is empty in one row of a unit (`revision`, `counted_at`, `status`, `reason`) is as in its other rows; an
empty figure is omitted from the report, and an empty `revision` means the next one.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

import msgspec

from gateway.characters import CONTROL, code_point
from gateway.count_files.misread import misread, misread_text
from gateway.count_files.parts import BadCountFile, MistakeList, Part, abbreviated
from gateway.election.registry import COUNT_MAX, Registry, read_time
from gateway.election.report import COUNT_NAMES, OPTIONAL_COUNT_NAMES

COLUMNS = (
    "unit",
    "revision",
    "counted_at",
    "status",
    "reason",
    "category",
    *COUNT_NAMES,
)
_OF_REPORT = ("revision", "counted_at", "status", "reason")
_REQUIRED = (
    "unit",
    "counted_at",
    "status",
    "category",
    *(name for name in COUNT_NAMES if name not in OPTIONAL_COUNT_NAMES),
)
ROWS_MAX = 200_000
"""Rows that are not empty: ten categories of each of the units of a large country."""
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_WITHOUT_FIGURES = ("not_counted", "counting", "counted_elsewhere", "unstated")
"""Statuses of a unit for which a table may have no figures."""
_NUMBER = re.compile(r"[0-9]+|[0-9]{1,3}(?:[ \u00a0\u202f][0-9]{3})+")
"""A whole number; its digits may be in groups of three, separated by spaces."""
_BYTE_ORDER_MARK = "\ufeff"
"""At the start of a table, so that spreadsheets do not take UTF-8 for another encoding."""


class _Row(msgspec.Struct, frozen=True):
    """A row with at least one cell that is not empty; `cells` are the others by the name of their column."""

    line: int
    cells: dict[str, str]


def read_table(name: str, text: str, mistakes: MistakeList, empty_units: list[str]) -> Iterator[Part]:
    """Yield the reports of a table, whose shape is not checked, and add what is wrong with rows to the mistakes.

    Add units without any figure, status or revision to `empty_units`: rows of the template that were not filled in.
    Raises BadCountFile if the file cannot be split into rows, lacks a column, or has more than ROWS_MAX rows; and
    TooManyMistakes.
    """
    units: dict[str, list[_Row]] = {}
    for row in _rows(name, text, mistakes):
        if "unit" in row.cells:
            units.setdefault(row.cells["unit"], []).append(row)
        else:
            mistakes.add(f"{name}, line {row.line}: no unit")
    for unit, rows in units.items():
        known = len(mistakes)
        part = _unit_of(name, unit, rows, mistakes)
        if part is not None:
            yield part
        elif len(mistakes) == known:
            empty_units.append(unit)


def template(registry: Registry, areas: Sequence[str]) -> str:
    """Return an empty table of all units at or below some areas: a row per category, a column per party.

    It starts with a byte order mark.
    """
    wanted = frozenset().union(*(registry.below(registry.by_id[area]) for area in areas))
    units = [area for area in registry.areas if area.is_unit and area.index in wanted]
    ballot = {party for unit in units for party in unit.ballot}
    parties = [party.code for party in registry.parties if party.code in ballot]
    written = StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow([*COLUMNS, *parties])
    for unit in units:
        for category in registry.categories:
            table.writerow([unit.id, "", "", "", "", category])
    return _BYTE_ORDER_MARK + written.getvalue()


def _rows(name: str, text: str, mistakes: MistakeList) -> Iterator[_Row]:
    """Yield the rows that are not empty. A row begins in the line that it is given; a quoted cell may span several."""
    delimiter = _delimiter(text)
    lines = csv.reader(StringIO(text, newline=""), strict=True, delimiter=delimiter)
    line = 1
    try:
        head = [cell.strip() for cell in next(lines, [])]
        _check_head(name, head, delimiter)
        line = lines.line_num + 1
        rows = 0
        for cells in lines:
            if not any(cells):  # spreadsheets save up to a million such rows
                line = lines.line_num + 1
                continue
            rows += 1
            if rows > ROWS_MAX:
                raise BadCountFile(
                    [*mistakes.texts, f"{name}: more than {ROWS_MAX} rows; divide it into several files"]
                )
            stripped = [cell.strip() for cell in cells]
            where, row = f"{name}, line {line}", _Row(line, _named(head, stripped))
            if wrong := _unnamed(head, stripped):
                mistakes.add(f"{where}: {wrong}")
            line = lines.line_num + 1
            if repeats := _repeated_head(head, row):
                mistakes.add(f"{where}: {repeats}")
            elif row.cells:
                mistakes.extend(f"{where}: {wrong}" for wrong in _wrong_texts(row))
                yield row
    except csv.Error as error:
        raise BadCountFile([*mistakes.texts, f"{name}, line {line}: {error}"]) from None


def _delimiter(text: str) -> str:
    """Return what separates the columns: the one by which the first line has most of the known ones."""

    def known(delimiter: str) -> int:
        try:
            head = next(csv.reader(StringIO(text, newline=""), delimiter=delimiter), [])
        except csv.Error:
            return 0
        return sum(cell.strip() in COLUMNS for cell in head)

    return max(_DELIMITERS, key=known)


def _check_head(name: str, head: Sequence[str], delimiter: str) -> None:
    named = [column for column in head if column]
    for column in named:
        if intended := misread(column):
            raise BadCountFile([f"{name}, line 1: {misread_text(column, intended)}"])
    for column in _REQUIRED:
        if column not in named:
            raise BadCountFile(
                [f"{name}, line 1: no column {column!r} (columns separated by {_DELIMITERS[delimiter]})"]
            )
    if repeated := [column for column, count in Counter(named).items() if count > 1]:
        raise BadCountFile([f"{name}, line 1: column {abbreviated(min(repeated))!r} is repeated"])


def _named(head: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    return {column: cell for column, cell in zip(head, cells, strict=False) if column and cell}


def _unnamed(head: Sequence[str], cells: Sequence[str]) -> str | None:
    """Return what is wrong with a row that has content in a column without a name."""
    beyond = f" ({len(cells)} cells, but only {len(head)} columns)" if len(cells) > len(head) else ""
    for place, cell in enumerate(cells):
        if cell and not "".join(head[place : place + 1]):
            return (
                f"{abbreviated(cell)!r} is in a column without a name{beyond};"
                " name the column in line 1, or empty the cell"
            )
    return None


def _repeated_head(head: Sequence[str], row: _Row) -> str | None:
    """Return what is wrong with a row that is a header, as where two tables were joined."""
    unit = row.cells.get("unit", "").lstrip(_BYTE_ORDER_MARK).strip('"')
    if unit != "unit" or row.cells.get("counted_at") != "counted_at":
        return None
    if all(row.cells.get(column) == column for column in head if column not in ("", "unit")):
        return "repeats the header; delete this line"
    return "is a second header, with other columns; put the rows that follow it into a file of their own"


def _wrong_texts(row: _Row) -> Iterator[str]:
    """Yield what is wrong with the characters of a row."""
    for column, cell in row.cells.items():
        if found := CONTROL.search(cell):
            yield f"{abbreviated(column)} contains the character {code_point(found[0])}"
        elif intended := misread(cell):
            yield f"{abbreviated(column)} {misread_text(cell, intended)}"


def _unit_of(name: str, unit: str, rows: Sequence[_Row], mistakes: MistakeList) -> Part | None:
    """Return the rows of a unit as one report; None if nothing was entered, or if there are mistakes, which it adds."""
    known = len(mistakes)
    members = dict(_members(name, rows, mistakes))
    counts: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for row in rows:
        figures = {column: text for column, text in row.cells.items() if _is_figure(column)}
        category = row.cells.get("category")
        where = f"{name}, line {row.line}"
        if not figures:
            continue
        if category is None:
            mistakes.add(f"{where}: no category")
        elif category in counts:
            mistakes.add(
                f"{where}: {abbreviated(category)!r} of unit {abbreviated(unit)} is repeated;"
                f" it is in line {lines[category]} too"
            )
        else:
            counts[category] = dict(_counts(where, figures, mistakes))
            lines[category] = row.line
    if len(mistakes) > known:
        return None
    where = f"{name}, line {rows[0].line}"
    status = members.get("status")
    if not counts and not members.keys() - {"counted_at"}:
        return None
    if not counts and status is not None and status not in _WITHOUT_FIGURES:
        mistakes.add(
            f"{where}: unit {abbreviated(unit)} has the status {abbreviated(status)!r} but no figures; enter figures,"
            " or empty status, revision and reason to leave the unit out"
        )
        return None
    places = {category: f"{name}, line {line}" for category, line in lines.items()}
    return Part(name, where, {"unit": unit, **members, "counts": counts}, places)


def _members(name: str, rows: Sequence[_Row], mistakes: MistakeList) -> Iterator[tuple[str, Any]]:
    """Yield the members of a report that all rows of its unit share, and add rows that differ to the mistakes."""
    for column in _OF_REPORT:
        given = [(row.line, row.cells[column]) for row in rows if column in row.cells]
        if not given:
            continue
        (first, text), *others = given
        value = _meaning(column, text)
        for line, other in others:
            if _meaning(column, other) != value:
                mistakes.add(
                    f"{name}, line {line}: {column} {abbreviated(other)!r} of unit"
                    f" {abbreviated(rows[0].cells['unit'])}, but {abbreviated(text)!r} in line {first}"
                )
        if column == "revision":
            yield column, _number(f"{name}, line {first}", column, text, mistakes)
        else:
            yield column, text


def _meaning(column: str, text: str) -> object:
    """Return what two cells of a column have in common if they mean the same: a number, an instant, or the text."""
    if column == "revision" and _NUMBER.fullmatch(text):
        return _digits(text)
    if column == "counted_at":
        try:
            return read_time(text)
        except ValueError:
            return text
    return text


def _is_figure(column: str) -> bool:
    return column in COUNT_NAMES or column not in COLUMNS


def _counts(where: str, figures: Mapping[str, str], mistakes: MistakeList) -> Iterator[tuple[str, Any]]:
    votes = {}
    for column, text in figures.items():
        number = _number(where, column, text, mistakes)
        if column in COUNT_NAMES:
            yield column, number
        else:
            votes[column] = number
    yield "votes", votes


def _number(where: str, column: str, text: str, mistakes: MistakeList) -> int:
    """Return the whole number in a cell; if there is none, add that to the mistakes and return 0."""
    column, shown = abbreviated(column), abbreviated(text)
    if not _NUMBER.fullmatch(text):
        mistakes.add(f"{where}: {column} must be a whole number, not {shown!r}")
        return 0
    digits = _digits(text)
    if len(digits) > len(str(COUNT_MAX)) or int(digits) > COUNT_MAX:
        least = 1 if column == "revision" else 0
        mistakes.add(f"{where}: {column}: expected {least} to {COUNT_MAX}, not {shown}")
        return 0
    return int(digits)


def _digits(text: str) -> str:
    """Return the digits of a number without spaces and leading zeros."""
    return re.sub(r"[^0-9]", "", text).lstrip("0") or "0"
