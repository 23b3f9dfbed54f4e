"""PURE: which sheet of a workbook has the table, and what of it may not be evident to people."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice

from gateway.count_files.parts import BadCountFile, abbreviated
from gateway.count_files.rows import HEAD_ROWS, Table
from gateway.count_files.workbook import read_workbook
from gateway.count_files.workbook_sheet import Sheet
from gateway.count_files.workbook_zip import BadWorkbook, Bounds

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = b"PK\x03\x04"
_LISTED = 5
_PROTECTED = "protected with a password, or an old workbook (.xls); save it as .xlsx, without a password"


def workbook_table(
    name: str,
    content: bytes,
    bounds: Bounds,
    known: Callable[[Sequence[str]], int],
    notes: list[str],
) -> Table:
    """Return the rows of the sheet that has a table with `known` columns, and add notes about what is not evident.

    Raises BadCountFile if there is no such sheet, or more than one.
    """
    if content.startswith(_OLE):
        raise BadCountFile([f"{name}: {_PROTECTED}"])
    if not content.startswith(_ZIP):
        raise BadCountFile([f"{name}: not an Excel workbook (.xlsx)"])
    try:
        sheets = read_workbook(content, bounds)
    except BadWorkbook as error:
        raise BadCountFile([f"{name}: {error}"]) from None
    if not sheets:
        raise BadCountFile([f"{name}: all its sheets are empty"])
    sheet = _with_table(name, sheets, known)
    if len(sheets) > 1:
        others = ", ".join(f"{abbreviated(each.name)!r}" for each in sheets if each is not sheet)
        notes.append(f"{name}: sheet {abbreviated(sheet.name)!r} is read, and not {others}")
    if sheet.hidden_rows:
        notes.append(f"{name}: hidden rows are read too: {_listed(map(str, sheet.hidden_rows))}")
    if columns := sheet.hidden_with_content():
        notes.append(f"{name}: hidden columns are read too: {_listed(columns)}")
    return Table(sheet.table_rows(), mistakes_from=partial(_merged_cells, name, sheet))


def _merged_cells(name: str, sheet: Sheet, head_line: int) -> Iterator[str]:
    """Yield a mistake for each group of merged cells with content in the table, which starts with its header."""
    for merged in sheet.merged:
        (row, column), (last_row, _) = merged.first, merged.last
        if last_row >= head_line and merged.first != merged.last and column in sheet.rows.get(row, ()):
            yield (
                f"{name}, line {max(row, head_line)}: the cells {merged.name} are merged; unmerge them, and fill in"
                " each of them"
            )


def _with_table(name: str, sheets: Sequence[Sheet], known: Callable[[Sequence[str]], int]) -> Sheet:
    with_table = [
        sheet
        for sheet in sheets
        if any(known([each.strip() for each in row.cells]) for row in islice(sheet.table_rows(), HEAD_ROWS))
    ]
    shown = [sheet for sheet in with_table if not sheet.is_hidden]
    if len(shown) > 1:
        names = " and ".join(f"{abbreviated(sheet.name)!r}" for sheet in shown[:_LISTED])
        raise BadCountFile(
            [
                f"{name}: the sheets {names} have a table of counts each; save each of them as a file of its own"
            ]
        )
    if not shown and with_table:
        raise BadCountFile(
            [f"{name}: the table is in the hidden sheet {abbreviated(with_table[0].name)!r}; unhide it"]
        )
    visible = [sheet for sheet in sheets if not sheet.is_hidden]
    return (shown or visible or sheets)[0]


def _listed(texts: Iterable[str]) -> str:
    all_texts = list(texts)
    more = f" and {len(all_texts) - _LISTED} more" if len(all_texts) > _LISTED else ""
    return ", ".join(all_texts[:_LISTED]) + more
