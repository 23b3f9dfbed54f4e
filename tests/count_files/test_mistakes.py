"""Mistakes in the words of the person who filled in the file."""

import json
from typing import Any

import pytest

from gateway.count_files.column_letters import column_letters
from gateway.count_files.reports import Mistakes, read_files
from tests.count_files.test_comparison import REGISTRY

HEAD = "unit,counted_at,status,category,ballots,blank,rejected,A,B"
RIGHT = ["11-1", "2024-09-09T22:05:00+02:00", "final", "advance", "31", "1", "0", "20", "10"]
"""A row without mistakes, in the columns A to I."""


def mistake(name: str, content: str) -> str:
    with pytest.raises(Mistakes) as error:
        read_files({name: content.encode()}, REGISTRY)
    return error.value.mistakes[0]


def with_cell(column: str, text: str) -> str:
    cells = list(RIGHT)
    cells["ABCDEFGHI".index(column)] = text
    return f"{HEAD}\n{','.join(cells)}\n"


def test_the_row_is_right() -> None:
    assert len(read_files({"t.csv": with_cell("A", "11-1").encode()}, REGISTRY).versions) == 1


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        ("A", "11-4", "unit (column A): \"11-4\" is not in the registry; did you mean 11-3 (Forhånd) or 11-2 (S"),
        ("A", "Sentrum", '"Sentrum" is not in the registry; did you mean 11-2 (Sentrum)?'),
        ("A", "11", "11 is a municipality; only areas without children can report; its units are 11-1, 11-2, 11-3"),
        ("C", "finall", "unit 11-1 Toso: status (column C): \"finall\" is not one of not_counted"),
        ("C", "finall", "unstated; did you mean final?"),
        ("C", "endelegg", "; did you mean endeleg?"),
        ("D", "advanse", "unit 11-1 Toso: category (column D) 'advanse' is not a category: the categories are advance"),
        ("D", "advanse", "; did you mean advance?"),
        ("E", "32", "unit 11-1 Toso, advance: ballots (column E): 32, but votes 30 + blank 1 = 31; correct one"),
        ("E", "", "unit 11-1 Toso, advance: ballots (column E) is missing"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_table_names_line_column_cell_and_what_is_close(
    column: str, cell: str, words: str
) -> None:
    text = mistake("t.csv", with_cell(column, cell))
    assert text.startswith("t.csv, line 2: ")
    assert words in text


def test_mistakes_in_figures_and_mistakes_by_the_registry_are_named_in_the_order_of_their_lines() -> None:
    content = with_cell("A", "11-4") + with_cell("E", "1.234").partition("\n")[2]
    with pytest.raises(Mistakes) as error:
        read_files({"t.csv": content.encode()}, REGISTRY)
    unit, figure = error.value.mistakes
    assert unit.startswith('t.csv, line 2: unit (column A): "11-4" is not in the registry')
    assert figure.startswith("t.csv, line 3: ballots (column E)")


def test_a_header_that_is_no_column_is_named_with_what_is_close() -> None:
    text = mistake("t.csv", with_cell("A", "11-1").replace("rejected,A", "rejected,rejcted"))
    assert text.startswith("t.csv, line 2: '20' is in a column that is not read: 'rejcted' is neither")
    assert text.endswith("; did you mean rejected?")


def in_json(**changed: Any) -> str:
    counts = {"advance": {"ballots": 31, "blank": 1, "rejected": 0, "votes": {"A": 20, "B": 10}}}
    report = {"unit": "11-1", "counted_at": RIGHT[1], "status": "final", "counts": counts}
    return json.dumps({**report, **changed})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"unit": "11-11"}, '$.unit: "11-11" is not in the registry; did you mean 11-1 (Toso)?'),
        ({"status": "preliminry"}, "unit 11-1 Toso: $.status: \"preliminry\" is not one of"),
        ({"status": "preliminry"}, "; did you mean preliminary?"),
        ({"counts": {"advance": {"ballots": 1, "blank": 0, "rejected": 0, "votes": {"a": 1}}}},
         "; did you mean A?"),
        ({"counts": {"advance": {"ballots": 2, "blank": 0, "rejected": 0, "votes": {"A": 1}}}},
         "unit 11-1 Toso: $.counts.advance.ballots: 2, but votes 1 + blank 0 = 1"),
    ],
)  # fmt: skip
def test_a_mistake_in_json_names_the_path_of_the_member(changed: dict[str, Any], words: str) -> None:
    text = mistake("a.json", in_json(**changed))
    assert text.startswith("a.json, line 1: ")
    assert words in text


def test_columns_have_the_letters_of_a_spreadsheet() -> None:
    assert [column_letters(place) for place in (0, 25, 26, 51, 52, 701, 702)] == [
        "A", "Z", "AA", "AZ", "BA", "ZZ", "AAA",
    ]  # fmt: skip
