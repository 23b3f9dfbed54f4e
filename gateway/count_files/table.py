"""PURE: tables of counts, as people fill them in with a spreadsheet.

A table has one row per category of a unit; all rows of a unit form one report. Its columns are those of `columns`. What
is empty in one row of a unit (`revision`, `counted_at`, `status`, `reason`) is as in its other rows; an empty figure is
omitted from the report, and an empty `revision` means the next one. Rows without figures are left out, and so are units
without any, unless their status says that nothing was counted.
"""

from collections.abc import Iterator, Mapping, Sequence

from gateway.count_files.cells import CellCheck, unseen
from gateway.count_files.columns import Columns, PartyNames, known_columns, missing_column, read_columns
from gateway.count_files.lost_zeros import LostZeros
from gateway.count_files.messages import LISTED_MAX, Message, Place, abbreviated, listed, said
from gateway.count_files.numbers import is_whole
from gateway.count_files.parts import BadCountFile, MistakeList, Part
from gateway.count_files.rows import DELIMITERS, Table, TableRow, first_rows
from gateway.count_files.totals import Row, Totals, is_total
from gateway.count_files.units import UnitReader
from gateway.count_files.words import CATEGORY_WORDS, NAME, REASON_WORDS, STATUS_WORDS, plain
from gateway.election.local_time import zone_of
from gateway.election.registry import Registry

ROWS_MAX = 200_000
"""Rows that are not empty: ten categories of each of the units of a large country."""
_BYTE_ORDER_MARK = "\ufeff"


class TableReader:
    """Reads one table. Its mistakes and notes go to the given lists."""

    def __init__(
        self, name: str, registry: Registry | None, mistakes: MistakeList, notes: list[Message]
    ) -> None:
        self._name = name
        self._registry = registry
        self._mistakes = mistakes
        self._notes = notes
        self._parties = PartyNames(registry)
        self._zone = zone_of(registry) if registry is not None else None
        self._identifiers = {*registry.by_id, *registry.categories} if registry is not None else set[str]()
        self._lost_zeros = LostZeros(registry)
        self._columns = Columns((), {})

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
            raise BadCountFile([*self._mistakes.messages, *error.messages]) from None
        units: dict[str, list[Row]] = {}
        for row in rows:
            if "unit" in row.cells:
                units.setdefault(row.cells["unit"], []).append(row)
            elif any(column != NAME for column in row.cells):
                self._mistakes.add(said("no_unit", self._where(row)))
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
            lines, more = listed([str(row.line) for row in reader.left_out])
            self._notes.append(said("rows_left_out", Place(self._name), lines=lines, more=more))
        checked = Totals(self._name, self._columns, totals, rows)
        self._mistakes.extend(checked.mistakes())
        if note := checked.note():
            self._notes.append(note)

    def _left_out(self, units: Sequence[tuple[str, Sequence[Row]]]) -> Iterator[str]:
        """Yield units without figures; add notes about those with a status, and about texts that are not units."""
        with_status: list[str] = []
        no_units: list[str] = []
        for unit, rows in units:
            if self._registry is not None and unit not in self._registry.by_id:
                no_units.append(unit)
                continue
            yield unit
            with_status += [unit] if any("status" in row.cells for row in rows) else []
        if with_status:
            shown, more = listed(with_status)
            self._notes.append(said("units_left_out", Place(self._name), units=shown, more=more))
        if no_units:
            shown, more = listed(no_units)
            self._notes.append(said("no_units_left_out", Place(self._name), texts=shown, more=more))

    def _rows(self, table: Table) -> tuple[list[Row], list[Row]]:
        """Return the rows of reports, and those of totals."""
        first, others = first_rows(table.rows)
        at = max(range(len(first)), key=lambda place: self.known(first[place].cells), default=0)
        head = first[at] if first else TableRow(1, ())
        self._above(first[:at], head.line)
        self._columns = self._read_head(head, table.delimiter)
        check = CellCheck(self._name, head.line, self._columns, self._identifiers)
        self._mistakes.extend(table.mistakes_from(head.line))
        rows: list[Row] = []
        totals: list[Row] = []
        count = 0
        for following in (first[at + 1 :], others):
            for each in following:
                count += 1
                if count > ROWS_MAX:
                    raise BadCountFile([said("too_many_rows", Place(self._name), most=ROWS_MAX)])
                if row := self._row(each, head.cells, check):
                    (totals if is_total(row, self._identifiers) else rows).append(row)
        return rows, totals

    def _above(self, rows: Sequence[TableRow], head_line: int) -> None:
        """Add a note about rows above the table, or mistakes if they have figures."""
        for row in rows:
            if sum(map(is_whole, row.cells)) > 1:
                where = Place(self._name, row.line)
                self._mistakes.add(said("figures_above_header", where, head_line=head_line))
        if rows:
            texts = [abbreviated(next(filter(None, row.cells))) for row in rows[:LISTED_MAX]]
            where = Place(self._name, rows[0].line, rows[-1].line)
            self._notes.append(said("above_table", where, texts=texts))

    def _read_head(self, head: TableRow, delimiter: str | None) -> Columns:
        where = Place(self._name, head.line)
        columns = read_columns(head.cells, self._parties, where)
        if isinstance(columns, Message):
            raise BadCountFile([columns])
        if found := missing_column(columns):
            missing, word = found
            separator = said(DELIMITERS[delimiter]) if delimiter is not None else None
            no_column = said("no_column", where, missing=missing, word=word, separator=separator)
            raise BadCountFile([no_column, *unseen(head.cells, where)])
        return columns

    def _row(self, each: TableRow, head: Sequence[str], check: CellCheck) -> Row | None:
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
        if wrong := check.unnamed(each):
            self._mistakes.add(wrong)
        if repeats := self._repeated_head(head, cells):
            self._mistakes.add(said(repeats, self._where(row)))
            return None
        if not row.cells:
            return None
        self._mistakes.extend(check.mistakes(row))
        for column, words in (
            ("status", STATUS_WORDS),
            ("reason", REASON_WORDS),
            ("category", CATEGORY_WORDS),
        ):
            if column in row.cells:
                row.cells[column] = self._word(column, row.cells[column], words)
        return row

    def _word(self, column: str, text: str, words: Mapping[str, str]) -> str:
        """Return the value of the contract for a word; any other text stays as it is."""
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
        """Return the code of what is wrong with a row that is a header, as where two tables were joined."""
        place = self._columns.meanings.index("unit")
        unit = "".join(cells[place : place + 1]).lstrip(_BYTE_ORDER_MARK).strip('"')
        if unit != head[place] or self.known([*cells[:place], unit, *cells[place + 1 :]]) == 0:
            return None
        if all(
            cell in ("", title) for cell, title in zip(cells[place + 1 :], head[place + 1 :], strict=False)
        ):
            return "head_repeated"
        return "second_head"

    def _where(self, row: Row) -> Place:
        return Place(self._name, row.line)
