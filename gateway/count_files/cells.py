"""PURE: find the mistakes in the cells of a row, apart from figures that are not numbers."""

from collections.abc import Collection, Iterator, Sequence

from gateway.characters import CONTROL, code_point
from gateway.count_files.column_letters import column_letters
from gateway.count_files.columns import Columns, is_figure
from gateway.count_files.messages import Column, Message, Parameter, Place, abbreviated, said
from gateway.count_files.misread import misread
from gateway.count_files.numbers import is_date, is_whole, spreadsheet_problem
from gateway.count_files.rows import DELIMITERS, TableRow
from gateway.count_files.totals import Row
from gateway.count_files.words import NAME


class CellCheck:
    """Finds the mistakes in the cells of the rows of one table."""

    def __init__(self, name: str, head_line: int, columns: Columns, identifiers: Collection[str]) -> None:
        """`identifiers` are those of the election, which may be numbers."""
        self._name = name
        self._head_line = head_line
        self._columns = columns
        self._identifiers = identifiers

    def unnamed(self, row: TableRow) -> Message | None:
        """Return the mistake of a row that has content in a column without a name."""
        meanings, cells = self._columns.meanings, row.cells
        for place, cell in enumerate(cells):
            if cell and (place >= len(meanings) or meanings[place] is None):
                where, shown = Place(self._name, row.line), abbreviated(cell)
                column, head_line = Column("", column_letters(place)), self._head_line
                if len(cells) <= len(meanings):
                    return said("unnamed_column", where, column=column, shown=shown, head_line=head_line)
                return said(
                    "beyond_columns",
                    where,
                    column=column,
                    shown=shown,
                    head_line=head_line,
                    cells=len(cells),
                    columns=len(meanings),
                )
        return None

    def mistakes(self, row: Row) -> Iterator[Message]:
        """Yield the mistakes in the texts of a row."""
        if not any(map(is_figure, row.cells)):
            yield from self._misplaced(row)
        for column, cell in row.cells.items():
            if found := CONTROL.search(cell):
                yield self._of_cell("control_character", row, column, character=code_point(found[0]))
            elif intended := misread(cell):
                yield self._of_cell(
                    "misread_cell", row, column, shown=abbreviated(cell), intended=abbreviated(intended)
                )
            elif (unknown := self._columns.unknown.get(column)) is not None:
                yield self._of_cell(
                    "unknown_column",
                    row,
                    column,
                    shown=abbreviated(cell),
                    header=unknown.header,
                    closest=unknown.closest,
                    detail=unknown.registered_form,
                )
            elif column == NAME and is_whole(cell):
                yield self._of_cell("number_as_name", row, column, shown=abbreviated(cell))
            elif not is_figure(column):
                why = spreadsheet_problem(cell)
                if why is None and column not in ("counted_at", "revision") and is_date(cell):
                    why = said("a_date")
                if why is not None:
                    yield self._of_cell("wrong_cell", row, column, shown=abbreviated(cell), why=why)

    def _misplaced(self, row: Row) -> Iterator[Message]:
        """Yield mistakes about possible figures in wrong columns, in a row without figures that would be left out."""
        for column, cell in row.cells.items():
            if column != NAME and max(map(cell.count, DELIMITERS)) > 1:
                shown, line = abbreviated(cell), self._head_line
                yield self._of_cell("several_columns_in_cell", row, column, shown=shown, head_line=line)
            elif (
                column in ("counted_at", "status", "category")
                and is_whole(cell)
                and cell not in self._identifiers
            ):
                yield self._of_cell("misplaced_number", row, column, shown=abbreviated(cell))

    def _of_cell(self, code: str, row: Row, column: str, **parameters: Parameter) -> Message:
        """Return a message about a cell of a row."""
        where = Place(self._name, row.line)
        return Message(code, where, self._columns.column(column), parameters=parameters)


def unseen(head: Sequence[str], where: Place) -> Iterator[Message]:
    """Yield a mistake for the first header that contains a character that is not shown."""
    for place, header in enumerate(head):
        if found := CONTROL.search(header):
            column = Column(abbreviated(header), column_letters(place))
            yield said("control_character", where, column=column, character=code_point(found[0]))
            return
