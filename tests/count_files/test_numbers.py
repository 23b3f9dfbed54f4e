"""Figures as people and spreadsheets write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.count_files.numbers import NotWhole, read_whole
from tests.count_files.tables import csv, documents, grid, mistakes, row, workbook


@pytest.mark.parametrize("separator", [" ", "\u00a0", "\u202f", "'", "’"])
@pytest.mark.parametrize("decimals", ["", ",0", ".0", ",00", ".0000"])
@given(number=st.integers(0, 2**31 - 1))
def test_digits_in_groups_and_zero_decimals_are_the_number(
    separator: str, decimals: str, number: int
) -> None:
    assert read_whole(f"{number:,}".replace(",", separator) + decimals) == number
    assert read_whole(f"{number}{decimals}") == number


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("31,000", "it can be read as 31000 or as 31; enter one of these"),
        ("31.000", "it can be read as 31000 or as 31;"),
        ("1.234", "it can be read as 1234 or as 1.234, which is not whole"),
        ("1,5", "it can be read as 15 or as 1.5, which is not whole"),
        ("1 234,000", "it can be read as 1234000 or as 1234;"),
        ("0,000", "it can be read as 0 or as 0;"),
        *((f"{minus}5", "a count is not negative") for minus in "-−–—‐‑‒―﹣－"),
        ("(5)", "a count is not negative"),
        ("5-", "a count is not negative"),
        ("٣", "it contains the digit U+0663; use 0 to 9"),
        ("３", "it contains the digit U+FF13"),
        ("kr 5", "it contains 'k'"),
        ("5 €", "it contains '€'"),
        ("31 %", "it contains '%'"),
        ("1e3", "it contains 'e'"),
        ("+1", "it contains '+'"),
        ("1.234.567", ""),
        ("1 23", "its digits are not in groups of three"),
        ("1'234 567", "its digits are not in groups of three"),
        ("#REF!", "an error of the spreadsheet; correct its formula"),
        ("#VERDI!", "an error of the spreadsheet"),
        ("#DIV/0!", "an error of the spreadsheet"),
        ("#N/A", "an error of the spreadsheet"),
        ("=SUM(A1:A2)", "a formula without a stored value"),
        ("2024-03-01 00:00:00", "a date; the spreadsheet changed what was entered"),
        ("", ""),
        (",", ""),
    ],
)
def test_other_texts_are_no_number_and_the_message_says_why(text: str, why: str) -> None:
    with pytest.raises(NotWhole) as found:
        read_whole(text)
    assert str(found.value).startswith(why)


@given(st.text(max_size=30))
def test_a_text_that_is_read_as_a_number_has_its_digits_and_no_others(text: str) -> None:
    try:
        number = read_whole(text)
    except NotWhole:
        return
    whole = text.replace(",", ".").partition(".")[0]
    assert str(number) == ("".join(each for each in whole if each in "0123456789").lstrip("0") or "0")


def test_the_mistake_names_line_column_and_cell_in_the_words_of_the_file() -> None:
    head = ("Krets", "Tidspunkt", "Status", "Kategori", "Stemmesedler", "Blanke", "Forkastede", "A", "H")
    cells = ("0301-0001", "09.09.2024 22:05", "Foreløpig", "Forhånd", "1.234", 1, 0, 20, 10)
    expected = (
        "t.{}, line 2: Stemmesedler (column E) must be a whole number, not '1.234': it can be read as 1234 or as 1.234,"
        " which is not whole"
    )
    for kind, content in (
        ("csv", csv(dict(zip(head, cells, strict=True)), head=head)),
        ("xlsx", workbook([head, cells])),
    ):
        (text,) = mistakes(f"t.{kind}", content)
        assert text == expected.format(kind)


def test_thousands_in_a_table_are_figures() -> None:
    content = csv(row(ballots="1 031,0", A="1\u202f020", H="10,0"))
    (report,) = documents("t.csv", content)
    assert report["counts"]["advance"]["ballots"] == 1031
    assert documents("t.xlsx", workbook(grid(row(ballots=1031.0, A=1020)))) == [report]
