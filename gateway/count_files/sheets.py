"""PURE: find the sheet of a workbook that has the table, and note what a person may not see in it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

from gateway.count_files.messages import LISTED_MAX, Message, Place, abbreviated, listed, said
from gateway.count_files.parts import BadCountFile
from gateway.count_files.rows import HEAD_ROWS, Table
from gateway.count_files.workbook import read_workbook
from gateway.count_files.workbook_sheet import Sheet
from gateway.count_files.workbook_zip import ZIP_MARK, BadWorkbook, Bounds

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def workbook_table(
    name: str,
    content: bytes,
    bounds: Bounds,
    known: Callable[[Sequence[str]], int],
    notes: list[Message],
) -> Table:
    """Return the rows of the sheet that has a table with `known` columns, and add notes about hidden and ignored parts.

    Raises BadCountFile if there is no such sheet, or more than one.
    """
    if content.startswith(_OLE):
        raise BadCountFile([said("workbook_protected", Place(name))])
    if not content.startswith(ZIP_MARK):
        raise BadCountFile([said("not_a_workbook", Place(name))])
    try:
        sheets = read_workbook(content, bounds)
    except BadWorkbook as error:
        raise BadCountFile([said("bad_workbook", Place(name), detail=str(error))]) from None
    if not sheets:
        raise BadCountFile([said("sheets_empty", Place(name))])
    sheet = _with_table(name, sheets, known)
    if len(sheets) > 1:
        others = [abbreviated(each.name) for each in sheets if each is not sheet]
        notes.append(said("sheet_read", Place(name), sheet=abbreviated(sheet.name), others=others))
    if sheet.hidden_rows:
        rows, more = listed(list(map(str, sheet.hidden_rows)))
        notes.append(said("hidden_rows", Place(name), rows=rows, more=more))
    if columns := sheet.hidden_with_content():
        shown, more = listed(list(columns))
        notes.append(said("hidden_columns", Place(name), columns=shown, more=more))
    return Table(sheet.table_rows(), mistakes_from=partial(_merged_cells, name, sheet))


def _merged_cells(name: str, sheet: Sheet, head_line: int) -> Iterator[Message]:
    """Yield a mistake for each group of merged cells with content in the table, which starts with its header."""
    for merged in sheet.merged:
        (row, column), (last_row, _) = merged.first, merged.last
        if last_row >= head_line and merged.first != merged.last and column in sheet.rows.get(row, ()):
            yield said("cells_merged", Place(name, max(row, head_line)), cells=merged.name)


def _with_table(name: str, sheets: Sequence[Sheet], known: Callable[[Sequence[str]], int]) -> Sheet:
    with_table = [
        sheet for sheet in sheets if any(known(row.cells) for row in islice(sheet.table_rows(), HEAD_ROWS))
    ]
    shown = [sheet for sheet in with_table if not sheet.is_hidden]
    if len(shown) > 1:
        names = [abbreviated(sheet.name) for sheet in shown[:LISTED_MAX]]
        raise BadCountFile([said("several_tables", Place(name), sheets=names)])
    if not shown and with_table:
        raise BadCountFile([said("table_hidden", Place(name), sheet=abbreviated(with_table[0].name))])
    visible = [sheet for sheet in sheets if not sheet.is_hidden]
    return (shown or visible or sheets)[0]
