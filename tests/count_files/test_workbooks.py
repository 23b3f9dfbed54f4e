"""Excel workbooks: the same tables as texts, and what only they can contain."""

import io
import tracemalloc
import zipfile
from contextlib import suppress
from datetime import datetime
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.utils import get_column_letter

from gateway.count_files.column_letters import column_letters, column_number
from gateway.count_files.files import encode_report, read_counts
from gateway.count_files.parts import BadCountFile
from gateway.count_files.workbook_zip import Bounds
from gateway.election.validation import check_shape
from tests.count_files.tables import (
    changed,
    csv,
    documents,
    grid,
    mistakes,
    notes,
    plain_workbook,
    registry,
    row,
    saved,
    workbook,
)
from tests.counts import examples

CELLS = grid(row(), row("0301-0002", "election_day"))


DAY = datetime(2024, 3, 1)  # noqa: DTZ001
TIME_OF_COUNT = datetime(2024, 9, 9, 22, 5)  # noqa: DTZ001


def book(cells: list[list[Any]] = CELLS) -> openpyxl.Workbook:
    return openpyxl.load_workbook(io.BytesIO(workbook(cells)))


def test_a_workbook_is_read_as_the_same_table_in_a_text() -> None:
    assert documents("t.xlsx", workbook(CELLS)) == documents(
        "t.csv", csv(row(), row("0301-0002", "election_day"))
    )
    assert notes("t.xlsx", workbook(CELLS)) == ()


@pytest.mark.parametrize("from_1904", [False, True])
def test_a_date_cell_is_a_time_in_the_zone_of_the_election(from_1904: bool) -> None:
    with_dates = book()
    if from_1904:
        with_dates.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    sheet = with_dates.active
    for number, format_ in ((2, "dd/mm/yyyy hh:mm"), (3, "[$-414]d. mmmm yyyy;@")):
        sheet.cell(number, 3, TIME_OF_COUNT).number_format = format_
    assert documents("t.xlsx", saved(with_dates)) == documents("t.xlsx", workbook(CELLS))


@pytest.mark.parametrize(
    ("cell", "value", "words"),
    [
        ("G2", True, "ballots (column G) must be a whole number, not 'TRUE'"),
        (
            "G2",
            "=SUM(1,2)",
            "ballots (column G) must be a whole number, not '=SUM(1,2)': a formula without a stored value",
        ),
        ("H2", "#REF!", "blank (column H) must be a whole number, not '#REF!': an error of the spreadsheet"),
        ("K2", DAY, "A (column K) must be a whole number, not '2024-03-01 00:00:00': a date"),
        ("A2", DAY, "unit (column A) '2024-03-01 00:00:00' is a date"),
        ("G2", 31.5, "ballots (column G) must be a whole number, not '31.5': it can be read as"),
        ("G2", 1e20, "ballots (column G) must be a whole number, not '1e+20'"),
        ("G2", -3, "ballots (column G) must be a whole number, not '-3': a count is not negative"),
        ("D2", "=A1", "status (column D) '=A1' is a formula without a stored value"),
        ("F2", "#N/A", "category (column F) '#N/A' is an error of the spreadsheet"),
        ("Z2", 5, "'5' is in a column without a name (26 cells, but only 13 columns)"),
    ],
)
def test_a_cell_that_is_no_figure_is_named(cell: str, value: object, words: str) -> None:
    changed_book = book()
    changed_book.active[cell] = value
    text, *_ = mistakes("t.xlsx", saved(changed_book))
    assert text.startswith(f"t.xlsx, line 2: {words}"), text


@pytest.mark.parametrize(
    ("format_", "value", "words"),
    [
        ("0 %", 31, "not '31 [0 %]': the format of its cell shows another number"),
        ("#,##0,", 31000, "not '31000 [#,##0,]': the format of its cell shows another number"),
        ('0.0,,"M"', 5, "the format of its cell shows another number"),
        ('0"000"', 31, "the format of its cell shows another number"),
        ("\\10", 31, "the format of its cell shows another number"),
        ("dd.mm.yyyy", 31, "a date; the spreadsheet changed what was entered"),
        ("hh:mm", 0, "a date;"),
    ],
)
def test_a_figure_that_the_spreadsheet_shows_as_another_one_is_refused(
    format_: str, value: int, words: str
) -> None:
    formatted = book()
    formatted.active["G2"] = value
    formatted.active["G2"].number_format = format_
    text, *_ = mistakes("t.xlsx", saved(formatted))
    assert "ballots (column G) must be a whole number, not " in text
    assert words in text


@pytest.mark.parametrize(
    "format_", ["#,##0", "0.00", "0000", '"ca. "0', "[Red]0;-0", "# ##0", "General", "@", '0;;"0"']
)
def test_a_figure_in_any_other_format_is_read(format_: str) -> None:
    formatted = book()
    formatted.active["G2"].number_format = format_
    assert documents("t.xlsx", saved(formatted)) == documents("t.xlsx", workbook(CELLS))


def test_the_stored_value_of_a_formula_is_read() -> None:
    content = workbook(CELLS)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
    with_formula = sheet.replace('<c r="G2" t="n"><v>31</v>', '<c r="G2"><f>SUM(K2:L2)+1</f><v>31</v>')
    assert with_formula != sheet
    assert documents("t.xlsx", changed(content, sheet1=with_formula)) == documents("t.xlsx", content)
    text_result = sheet.replace('<c r="G2" t="n"><v>31</v>', '<c r="G2" t="str"><f>A9</f><v></v>')
    (text,) = mistakes("t.xlsx", changed(content, sheet1=text_result))
    assert "unit 0301-0001, advance: ballots (column G) is missing" in text


def test_texts_with_formats_phonetics_and_escapes_are_read() -> None:
    content = plain_workbook(CELLS)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        strings = archive.read("xl/strings.xml").decode()
    first = '<si><t xml:space="preserve">unit</t></si>'
    rich = "<si><r><t>un</t></r><r><t>it</t></r><rPh sb='0' eb='1'><t>x</t></rPh></si>"
    written = strings.replace(first, rich).replace(">status<", ">_x0073_tatus_x000D_<")
    assert documents("t.xlsx", changed(content, strings=written)) == documents("t.xlsx", content)


def test_the_sheet_with_the_table_is_read_and_others_are_named() -> None:
    several = book()
    several.create_sheet("Empty", 0)
    several.create_sheet("Notater", 0)["A1"] = "Husk å ringe"
    content = saved(several)
    assert documents("t.xlsx", content) == documents("t.xlsx", workbook(CELLS))
    assert notes("t.xlsx", content) == ("t.xlsx: sheet 'Counts' is read, and not 'Notater'",)
    second = several.copy_worksheet(several["Counts"])
    second.title = "Kopi"
    (text,) = mistakes("t.xlsx", saved(several))
    assert text.startswith(
        "t.xlsx: the sheets 'Counts' and 'Kopi' each have a table of counts; save each of them as"
    )
    second.sheet_state = "hidden"
    assert "'Kopi'" in notes("t.xlsx", saved(several))[0]
    several["Counts"].sheet_state = "veryHidden"
    (text,) = mistakes("t.xlsx", saved(several))
    assert text == "t.xlsx: the table is in the hidden sheet 'Counts'; unhide it"


def test_hidden_rows_and_columns_are_read_and_named() -> None:
    hidden = book()
    hidden.active.row_dimensions[3].hidden = True
    hidden.active.column_dimensions["K"].hidden = True
    content = saved(hidden)
    assert documents("t.xlsx", content) == documents("t.xlsx", workbook(CELLS))
    assert notes("t.xlsx", content) == (
        "t.xlsx: hidden rows are read too: 3",
        "t.xlsx: hidden columns are read too: K",
    )


def test_merged_cells_in_the_table_are_refused_and_above_it_they_are_not() -> None:
    title = book([["Stortingsvalget 2024"], [], *CELLS])
    title.active.merge_cells("A1:M1")
    title.active.merge_cells("A20:B21")
    assert documents("t.xlsx", saved(title)) == documents("t.xlsx", workbook(CELLS))
    title.active.merge_cells("C4:C5")
    (text, *_) = mistakes("t.xlsx", saved(title))
    assert text.startswith("t.xlsx, line 4: the cells C4:C5 are merged; unmerge them")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "t.xls",
            b"",
            "t.xls: .xls is not read; save the table as an Excel workbook (.xlsx) or as CSV UTF-8 (.csv)",
        ),
        ("t.ODS", b"", "t.ODS: .ods is not read; save the table"),
        ("t.xlsb", b"", ".xlsb is not read"),
        (
            "t.xlsx",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
            "protected with a password, or an old workbook",
        ),
        ("t.xlsx", b"unit;status", "not an Excel workbook (.xlsx)"),
        ("t.xlsx", b"", "not an Excel workbook (.xlsx)"),
        ("t.xlsx", b"PK\x03\x04" + bytes(100), "damaged, or not an Excel workbook"),
        ("t.csv", workbook(CELLS), "line 1: a workbook, not CSV; give it the extension .xlsx"),
        ("t.xlsx", workbook([[]]), "all its sheets are empty"),
        ("t.xlsx", workbook([["a", "b"]]), "line 1: no column 'unit'"),
        ("t.xlsx", changed(workbook(CELLS), sheet1=None), "damaged: it has no part xl/worksheets/sheet1.xml"),
        (
            "t.xlsx",
            plain_workbook(CELLS, strings="<sst/>"),
            "damaged: a cell refers to a text that is missing",
        ),
        (
            "t.xlsx",
            changed(workbook(CELLS), sheet1="<worksheet><row>"),
            "xl/worksheets/sheet1.xml cannot be read",
        ),
    ],
    ids=range(13),
)
def test_what_is_no_workbook_that_can_be_read_is_named(name: str, content: bytes, words: str) -> None:
    (text,) = mistakes(name, content)
    assert words in text


def sheet_with(rows: str) -> bytes:
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return plain_workbook(sheet=f'<worksheet xmlns="{namespace}"><sheetData>{rows}</sheetData></worksheet>')


BILLION_LAUGHS = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><worksheet>&b;</worksheet>'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (changed(workbook(CELLS), sheet1=bytes(1 << 22)), "larger than 1 MiB when it is unpacked"),
        (
            sheet_with("<row>" + "<c/>" * 100_000 + "</row>"),
            "contains more than 50000 cells and other elements",
        ),
        (
            sheet_with('<row r="1"><c r="XFD1"><v>1</v></c></row>'),
            "content in column XFD; at most 1000 columns are read",
        ),
        (sheet_with('<row r="2000000000"/>'), "damaged: row '2000000000' after row 0"),
        (
            sheet_with('<row r="1"><c r="A1"><v>1</v></c><c r="A1"><v>1</v></c></row>'),
            "cell A1 is there twice",
        ),
        (sheet_with('<row r="2"/><row r="2"/>'), "damaged: row '2' after row 2"),
        (
            sheet_with(f'<row><c t="str"><v>{"x" * 40_000}</v></c></row>'),
            "more than 32767 characters in a cell",
        ),
        (
            changed(workbook(CELLS), sheet1=BILLION_LAUGHS),
            "contains a document type, which no spreadsheet writes",
        ),
        (plain_workbook(CELLS, strings=BILLION_LAUGHS), "contains a document type"),
        (
            sheet_with("</sheetData>" + '<mergeCell ref="A9:B9"/>' * 20_001 + "<sheetData>"),
            "more than 20000 groups of",
        ),
        (sheet_with("<a>" * 100), "too many different or nested elements"),
        (
            sheet_with("".join(f"<a{number}/>" for number in range(1100))),
            "too many different or nested elements",
        ),
        (
            sheet_with("".join(f'<a b{number}="1"/>' for number in range(1100))),
            "too many different or nested",
        ),
        (sheet_with(f'<a b="{"x" * 600_000}"/>'), "damaged: a tag in xl/one.xml is too long"),
        (sheet_with(f"<!-- {'x' * 600_000}"), "damaged: a tag in xl/one.xml is too long"),
        (changed(workbook(CELLS), styles=BILLION_LAUGHS), "contains a document type"),
    ],
    ids=range(16),
)
def test_a_workbook_that_would_take_too_much_is_refused(content: bytes, words: str) -> None:
    """By bytes, elements, columns and characters, before it takes them."""
    with pytest.raises(BadCountFile) as found:
        read_counts("t.xlsx", content, registry(), Bounds(unpacked_max=1 << 20, elements_max=50_000))
    (text,) = found.value.mistakes
    assert words in text


def test_unpacking_stops_at_the_bound_even_if_the_directory_of_the_zip_file_lies() -> None:
    """A sheet of 64 MiB that says that it has 1000 bytes; no more than the bound is unpacked."""
    content = bytearray(changed(workbook(CELLS), sheet1=b"<worksheet>" + b" " * (64 << 20)))
    size = (11 + (64 << 20)).to_bytes(4, "little")
    assert content.count(size) == 2
    lying = bytes(content).replace(size, (1000).to_bytes(4, "little"))
    tracemalloc.start()
    try:
        (text,) = mistakes("t.xlsx", lying)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert "damaged: xl/worksheets/sheet1.xml" in text


def test_cells_far_apart_take_no_memory_and_a_million_rows_without_content_are_left_out() -> None:
    """Their formats are skipped."""
    far = book()
    far.active.cell(1_048_576, 1, "0301-0001")
    far.active.cell(1_048_576, 6, "late")
    assert len(documents("t.xlsx", saved(far))) == 2
    content = workbook(CELLS)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
    empty = "".join(f'<row r="{number}" s="1"><c r="A{number}" s="1"/></row>' for number in range(4, 20_000))
    assert documents(
        "t.xlsx", changed(content, sheet1=sheet.replace("</sheetData>", empty + "</sheetData>"))
    ) == (documents("t.xlsx", content))


def test_columns_have_the_letters_of_the_spreadsheet() -> None:
    for column in (1, 26, 27, 702, 703, 16_384):
        assert column_letters(column - 1) == get_column_letter(column)
        assert column_number(get_column_letter(column)) == column


PIECES = [
    *(
        "<c>",
        "</c>",
        "<v>",
        "</v>",
        '<c r="A1">',
        '<c t="s">',
        '<c t="b">',
        '<c t="d">',
        '<c t="e">',
        '<c s="1">',
    ),
    *(
        "<row>",
        '<row r="9">',
        "</row>",
        "<is><t>",
        "</t></is>",
        "<f>x</f>",
        "<rPh>",
        "&amp;",
        "&x;",
        "]]>",
        "٣",
    ),
    *('<mergeCell ref="A1:B2"/>', '<mergeCell ref="x"/>', '<col min="x" max="" hidden="1"/>'),
    *("9" * 400, "-1", "1e999", "nan", "_xD800_", "_x0000_"),
]


@settings(max_examples=examples(100), deadline=None)
@given(st.data())
def test_a_damaged_workbook_is_read_or_reported(data: st.DataObject) -> None:
    """And what is read can be sent."""
    content = plain_workbook(CELLS)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {stem: archive.read(f"xl/{stem}.xml").decode() for stem in ("one", "strings", "workbook")}
    for _ in range(data.draw(st.integers(1, 3))):
        stem = data.draw(st.sampled_from(sorted(parts)))
        text = parts[stem]
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 20)))
        parts[stem] = text[:start] + data.draw(st.sampled_from(PIECES) | st.text(max_size=3)) + text[end:]
    encoded = {stem: text.encode("utf-8", "replace") for stem, text in parts.items()}
    with suppress(BadCountFile):
        for part in read_counts("t.xlsx", changed(content, **encoded), registry()).parts:
            assert not check_shape(encode_report({"revision": 1} | part.document))


@settings(max_examples=examples(150), deadline=None)
@given(st.integers(0, 3000), st.binary(max_size=8), st.booleans())
def test_damaged_bytes_of_a_workbook_are_reported(at: int, new: bytes, cut: bool) -> None:
    content = plain_workbook(CELLS)
    at %= len(content)
    with suppress(BadCountFile):
        read_counts("t.xlsx", content[:at] + new + (b"" if cut else content[at + len(new) :]), registry())
