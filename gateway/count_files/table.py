"""PURE: tables of counts, as people fill them in with a spreadsheet.

A table has one row per category of a unit; all rows of a unit form one report. Its columns are those of `columns`. What
is empty in one row of a unit (`revision`, `counted_at`, `status`, `reason`) is as in its other rows; an empty figure is
omitted from the report, and an empty `revision` means the next one. Rows without figures are left out, and so are units
without any, unless their status says that nothing was counted.
"""

from collections.abc import Iterator, Mapping, Sequence

from gateway.characters import CONTROL, code_point
from gateway.count_files.columns import (
    Columns,
    PartyNames,
    is_figure,
    known_columns,
    missing_column,
    read_columns,
)
from gateway.count_files.local_times import zone_of
from gateway.count_files.lost_zeros import LostZeros
from gateway.count_files.misread import misread, misread_text
from gateway.count_files.numbers import NotWhole, is_date, read_whole, spreadsheet_problem
from gateway.count_files.parts import BadCountFile, MistakeList, Part, abbreviated
from gateway.count_files.rows import DELIMITERS, Table, TableRow, first_rows
from gateway.count_files.totals import Row, Totals, is_total
from gateway.count_files.units import UnitReader
from gateway.count_files.words import CATEGORY_WORDS, NAME, REASON_WORDS, STATUS_WORDS, plain
from gateway.election.registry import Registry

ROWS_MAX = 200_000
"""Rows that are not empty: ten categories of each of the units of a large country."""
_LISTED = 5
_BYTE_ORDER_MARK = "\ufeff"


class TableReader:
    """Reads one table. Its mistakes and notes go to the given lists."""

    def __init__(self, name: str, registry: Registry | None, mistakes: MistakeList, notes: list[str]) -> None:
        self._name = name
        self._registry = registry
        self._mistakes = mistakes
        self._notes = notes
        self._parties = PartyNames(registry)
        self._zone = zone_of(registry) if registry is not None else None
        self._identifiers = {*registry.by_id, *registry.categories} if registry is not None else set[str]()
        self._lost_zeros = LostZeros(registry)
        self._columns = Columns((), {})
        self._head_line = 1

    def known(self, cells: Sequence[str]) -> int:
        """Return how many cells of a row are headers that are known."""
        return known_columns(cells, self._parties)

    def read(self, table: Table, empty_units: list[str]) -> Iterator[Part]:
        """Yield the reports of a table, whose shape is not checked, and add what is wrong to the mistakes.

        Add units that are left out to `empty_units`. Raises BadCountFile if the table cannot be divided into rows,
        lacks a column, or has more than ROWS_MAX rows; and TooManyMistakes.
        """
        try:
            rows, totals = self._rows(table)
        except BadCountFile as error:
            raise BadCountFile([*self._mistakes.texts, *error.mistakes]) from None
        units: dict[str, list[Row]] = {}
        for row in rows:
            if "unit" in row.cells:
                units.setdefault(row.cells["unit"], []).append(row)
            elif any(column != NAME for column in row.cells):
                self._mistakes.add(f"{self._where(row)}: no unit")
        left_out: list[tuple[str, list[Row]]] = []
        reader = UnitReader(self._name, self._columns, self._zone, self._lost_zeros, self._mistakes)
        for unit, of_unit in units.items():
            known = len(self._mistakes)
            part = reader.read(unit, of_unit)
            if part is not None:
                yield part
            elif len(self._mistakes) == known:
                left_out.append((unit, of_unit))
        empty_units += self._left_out(left_out)
        if reader.left_out:
            lines = _listed([str(row.line) for row in reader.left_out])
            self._notes.append(f"{self._name}: rows left out, since there are no figures: line {lines}")
        checked = Totals(self._name, self._columns, totals, rows)
        self._mistakes.extend(checked.mistakes())
        if note := checked.note():
            self._notes.append(note)

    def _left_out(self, units: Sequence[tuple[str, Sequence[Row]]]) -> Iterator[str]:
        """Yield units without figures; add notes about those with a status, and about texts that are no units."""
        with_status: list[str] = []
        no_units: list[str] = []
        for unit, rows in units:
            if self._registry is not None and unit not in self._registry.by_id:
                no_units.append(unit)
                continue
            yield unit
            with_status += [unit] if any("status" in row.cells for row in rows) else []
        if with_status:
            self._notes.append(f"{self._name}: left out, since there are no figures: {_listed(with_status)}")
        if no_units:
            self._notes.append(f"{self._name}: left out, since they are no units: {_listed(no_units)}")

    def _rows(self, table: Table) -> tuple[list[Row], list[Row]]:
        """Return the rows of reports, and those of totals."""
        first, others = first_rows(table.rows)
        at = max(range(len(first)), key=lambda place: self.known(first[place].cells), default=0)
        head = first[at] if first else TableRow(1, ())
        self._head_line = head.line
        self._above(first[:at])
        self._columns = self._read_head(head, table.delimiter)
        self._mistakes.extend(table.mistakes_from(head.line))
        rows: list[Row] = []
        totals: list[Row] = []
        count = 0
        for following in (first[at + 1 :], others):
            for each in following:
                count += 1
                if count > ROWS_MAX:
                    raise BadCountFile(
                        [f"{self._name}: more than {ROWS_MAX} rows; divide it into several files"]
                    )
                if row := self._row(each, head.cells):
                    (totals if is_total(row, self._identifiers) else rows).append(row)
        return rows, totals

    def _above(self, rows: Sequence[TableRow]) -> None:
        """Add a note about rows above the table, or mistakes if they have figures."""
        for row in rows:
            if sum(_is_number(cell) for cell in row.cells) > 1:
                self._mistakes.add(
                    f"{self._name}, line {row.line}: figures above the header of the table, which is in line"
                    f" {self._head_line}; move them below it, or delete the line"
                )
        if rows:
            texts = ", ".join(repr(abbreviated(next(filter(None, row.cells)))) for row in rows[:_LISTED])
            lines = f"line {rows[0].line}" if len(rows) == 1 else f"lines {rows[0].line} to {rows[-1].line}"
            self._notes.append(f"{self._name}, {lines}: above the table, and not read: {texts}")

    def _read_head(self, head: TableRow, delimiter: str | None) -> Columns:
        where = f"{self._name}, line {head.line}"
        columns = read_columns(head.cells, self._parties)
        if isinstance(columns, str):
            raise BadCountFile([f"{where}: {columns}"])
        if missing := missing_column(columns):
            separated = f"; columns are separated by {DELIMITERS[delimiter]}" if delimiter is not None else ""
            raise BadCountFile([f"{where}: no column {missing}{separated}"])
        return columns

    def _row(self, each: TableRow, head: Sequence[str]) -> Row | None:
        """Return a row by its columns, or None if nothing is in them; add what is wrong with its texts."""
        meanings, cells = self._columns.meanings, each.cells
        row = Row(
            each.line,
            {
                meaning: cell
                for meaning, cell in zip(meanings, cells, strict=False)
                if cell and meaning is not None
            },
        )
        where = self._where(row)
        if wrong := _unnamed(meanings, cells, self._head_line):
            self._mistakes.add(f"{where}: {wrong}")
        if repeats := self._repeated_head(head, cells):
            self._mistakes.add(f"{where}: {repeats}")
            return None
        if not row.cells:
            return None
        self._mistakes.extend(f"{where}: {wrong}" for wrong in self._wrong_texts(row))
        for column, words in (
            ("status", STATUS_WORDS),
            ("reason", REASON_WORDS),
            ("category", CATEGORY_WORDS),
        ):
            if column in row.cells:
                row.cells[column] = self._word(column, row.cells[column], words)
        return row

    def _word(self, column: str, text: str, words: Mapping[str, str]) -> str:
        """Return the value of the contract for a word; a text that is no word stays as it is."""
        if column != "category":
            return words.get(plain(text), text)
        if self._registry is None or text in self._registry.categories:
            return text
        word = plain(text)
        same = [each for each in self._registry.categories if plain(each) == word]
        if len(same) == 1:
            return same[0]
        meaning = words.get(word, text)
        return meaning if meaning in self._registry.categories else text

    def _repeated_head(self, head: Sequence[str], cells: Sequence[str]) -> str | None:
        """Return what is wrong with a row that is a header, as where two tables were joined."""
        place = self._columns.meanings.index("unit")
        unit = "".join(cells[place : place + 1]).lstrip(_BYTE_ORDER_MARK).strip('"')
        if unit != head[place] or self.known([*cells[:place], unit, *cells[place + 1 :]]) == 0:
            return None
        if all(
            cell in ("", title) for cell, title in zip(cells[place + 1 :], head[place + 1 :], strict=False)
        ):
            return "repeats the header; delete this line"
        return "is a second header, with other columns; put the rows that follow it into a file of their own"

    def _wrong_texts(self, row: Row) -> Iterator[str]:
        """Yield what is wrong with the texts of a row, apart from figures that are not numbers."""
        if not any(map(is_figure, row.cells)):
            yield from self._misplaced(row)
        for column, cell in row.cells.items():
            title = self._columns.title(column)
            if found := CONTROL.search(cell):
                yield f"{title} contains the character {code_point(found[0])}"
            elif intended := misread(cell):
                yield f"{title} {misread_text(cell, intended)}"
            elif column in self._columns.unknown:
                yield f"{abbreviated(cell)!r} is in a column that is not read: {self._columns.unknown[column]}"
            elif column == NAME and _is_number(cell):
                yield f"{title} is a column for names, not for {abbreviated(cell)!r}"
            elif not is_figure(column):
                problem = spreadsheet_problem(cell)
                if problem is None and column not in ("counted_at", "revision") and is_date(cell):
                    problem = "a date; the spreadsheet changed what was entered"
                if problem is not None:
                    yield f"{title} {abbreviated(cell)!r} is {problem}"

    def _misplaced(self, row: Row) -> Iterator[str]:
        """Yield what may be figures in the wrong place, in a row that has none and would be left out."""
        for column, cell in row.cells.items():
            title, shown = self._columns.title(column), abbreviated(cell)
            if column != NAME and max(map(cell.count, DELIMITERS)) > 1:
                yield f"{title} {shown!r} has several columns in one cell; separate them as in line {self._head_line}"
            elif (
                column in ("counted_at", "status", "category")
                and _is_number(cell)
                and cell not in self._identifiers
            ):
                yield f"{title} {shown!r} is a number, and the row has no figures; move it to its column"

    def _where(self, row: Row) -> str:
        return f"{self._name}, line {row.line}"


def _unnamed(meanings: Sequence[str | None], cells: Sequence[str], head_line: int) -> str | None:
    """Return what is wrong with a row that has content in a column without a name."""
    beyond = f" ({len(cells)} cells, but only {len(meanings)} columns)" if len(cells) > len(meanings) else ""
    for place, cell in enumerate(cells):
        if cell and (place >= len(meanings) or meanings[place] is None):
            return (
                f"{abbreviated(cell)!r} is in a column without a name{beyond};"
                f" name the column in line {head_line}, or empty the cell"
            )
    return None


def _is_number(text: str) -> bool:
    try:
        read_whole(text)
    except NotWhole:
        return False
    return True


def _listed(units: Sequence[str]) -> str:
    more = f" and {len(units) - _LISTED} more" if len(units) > _LISTED else ""
    return ", ".join(map(abbreviated, units[:_LISTED])) + more
