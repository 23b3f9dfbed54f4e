"""Our reader of workbooks and openpyxl find the same values, in what openpyxl writes and in what spreadsheets write."""

import io
import zipfile
from datetime import date, datetime, time, timedelta
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900

from gateway.count_files.workbook import read_workbook
from gateway.count_files.workbook_zip import Bounds
from tests.count_files.tables import changed, documents, grid, plain_workbook, row, saved, workbook
from tests.counts import examples

Cells = dict[tuple[int, int], Any]
"""By row and column, both from 1."""


def ours(content: bytes) -> dict[tuple[int, int], str]:
    """The texts of the first sheet, as tables are read from it."""
    sheet = read_workbook(content, Bounds())[0]
    return {(row, column): text for row, cells in sheet.rows.items() for column, text in cells.items()}


def of_openpyxl(content: bytes) -> Cells:
    """The values of the first sheet; the formulas of the cells that have no value."""
    values, formulas = (
        openpyxl.load_workbook(io.BytesIO(content), data_only=data_only) for data_only in (True, False)
    )
    found = {}
    for cells in formulas.worksheets[0].iter_rows():
        for cell in cells:
            value = values.worksheets[0].cell(cell.row, cell.column).value
            found[cell.row, cell.column] = as_read(cell.value if value is None else value, values.epoch)
    return {place: value for place, value in found.items() if value not in (None, "")}


def as_read(value: Any, epoch: datetime) -> Any:
    """A value without what a text does not show: whether it is a date, a time or a duration; a date has a time."""
    match value:
        case datetime():
            return value
        case time():
            return datetime.combine(epoch, value)
        case timedelta():
            return epoch + value
        case str():
            return value.strip()
    return value


def agrees(text: str | None, value: Any) -> bool:
    match value:
        case bool():
            return text == str(value).upper()
        case int() | float():
            return (
                text is not None
                and float(text) == value
                and (abs(value) >= 1e15 or "." not in text or value % 1 != 0)
            )
        case datetime():
            return text is not None and datetime.fromisoformat(text) == value
    return text == value


def assert_same_values(content: bytes) -> Cells:
    texts, values = ours(content), of_openpyxl(content)
    assert texts.keys() == values.keys()
    for place, value in values.items():
        assert agrees(texts[place], value), (place, texts[place], value)
    return values


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8).filter(
    lambda text: not text.startswith("=") and "_x" not in text and text not in ("\ufffe", "\uffff")
)
MOMENTS = st.datetimes(datetime(1904, 1, 2), datetime(9999, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
VALUES = st.one_of(
    st.integers(-(10**14), 10**14),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    TEXTS,
    MOMENTS,
    MOMENTS.map(datetime.date),
    MOMENTS.map(datetime.time),
    st.integers(0, 10**7).map(lambda seconds: timedelta(seconds=seconds)),
    st.sampled_from(["#REF!", "#N/A", "#DIV/0!", "=SUM(A1:B2)", '="a"&B1']),
    st.lists(TEXTS.filter(bool), min_size=1, max_size=3).map(
        lambda texts: CellRichText(*(TextBlock(InlineFont(b=True), text) for text in texts))
    ),
)
FORMATS = st.sampled_from([None, None, "0.00", "#,##0", "[Red]0;-0", '"dag "0', "@", "General"])
PLACES = st.tuples(st.integers(1, 8), st.integers(1, 8))


@settings(max_examples=examples(100), deadline=None)
@given(st.dictionaries(PLACES, st.tuples(VALUES, FORMATS), min_size=1, max_size=12), st.booleans())
def test_what_openpyxl_writes_has_the_values_that_openpyxl_reads(
    cells: dict[tuple[int, int], tuple[Any, str | None]], from_1904: bool
) -> None:
    """Dates before March 1900 excepted, which are a day off in some spreadsheets."""
    book = openpyxl.Workbook()
    book.epoch = CALENDAR_MAC_1904 if from_1904 else CALENDAR_WINDOWS_1900
    book.active["A9"] = "the sheet has content"
    for (row_, column), (value, format_) in cells.items():
        cell = book.active.cell(row_, column, value)
        if format_ is not None and not isinstance(value, date | time | timedelta):
            cell.number_format = format_
    assert_same_values(saved(book))


_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def sheet_with(rows: str) -> bytes:
    return changed(
        workbook([["x"]]), sheet1=f'<worksheet xmlns="{_MAIN}"><sheetData>{rows}</sheetData></worksheet>'
    )


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        ('<c t="inlineStr"><is><t xml:space="preserve"> a b </t></is></c>', ["a b"]),
        (
            '<c t="inlineStr"><is><r><t>a</t></r><r><t>b</t></r><rPh sb="0" eb="1"><t>x</t></rPh></is></c>',
            ["ab"],
        ),
        (
            '<c r="A1"><f t="shared" ref="A1:B1" si="0">A2+1</f><v>5</v></c><c><f t="shared" si="0"/><v>7.5</v></c>',
            [5, 7.5],
        ),
        ('<c r="A1"><f t="array" ref="A1:B1">A2:B2</f><v>1</v></c><c r="B1"><v>2</v></c>', [1, 2]),
        ('<c t="b"><f>A2=1</f><v>1</v></c><c t="b"><v>0</v></c>', [True, False]),
        ('<c t="e"><f>1/0</f><v>#DIV/0!</v></c><c t="str"><f>"x"</f><v>x</v></c>', ["#DIV/0!", "x"]),
        ("<c><f>SUM(A2:A3)</f></c><c><f>B9</f><v></v></c>", ["=SUM(A2:A3)", "=B9"]),
        ('<c r="A1"/><c r="B1"><v>3.1E1</v></c><c><v>31.0</v></c>', [31, 31]),
        ('<c t="d"><v>2024-09-09T22:05:00</v></c>', [datetime(2024, 9, 9, 22, 5)]),  # noqa: DTZ001
    ],
    ids=range(9),
)
def test_what_spreadsheets_write_has_the_values_that_openpyxl_reads(cells: str, values: list[Any]) -> None:
    """Inline texts, shared formulas, results of formulas, cells without a reference, and dates as in ISO 8601."""
    assert list(assert_same_values(sheet_with(f"<row>{cells}</row>")).values()) == values


def test_a_workbook_in_the_strict_format_is_read() -> None:
    """As "Strict Open XML Spreadsheet" saves it; openpyxl finds no sheets in one."""
    content = plain_workbook(grid(row()))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {stem: archive.read(f"xl/{stem}.xml") for stem in ("one", "strings", "workbook")}
    strict = {
        stem: part.replace(_MAIN.encode(), b"http://purl.oclc.org/ooxml/spreadsheetml/main")
        for stem, part in parts.items()
    }
    assert documents("t.xlsx", changed(content, **strict)) == documents("t.xlsx", content)
