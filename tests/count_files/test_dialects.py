"""A table means the same in every dialect, and the same content in a text and in a workbook has the same mistakes."""

import re
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.count_files.files import encode_report, read_counts
from gateway.count_files.parts import BadCountFile
from gateway.count_files.words import COLUMN_WORDS, STATUS_WORDS
from gateway.election.validation import check_shape
from tests.count_files.tables import PARTIES, TIME, grid, plain_workbook, registry, text_of
from tests.counts import examples

UNITS = ("0301-0001", "0301-0002", "1103-0001", "1103-0002")
STATUSES = ("counting", "preliminary", "final")


@st.composite
def counted(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows of valid reports."""
    rows = []
    for unit in draw(st.lists(st.sampled_from(UNITS), min_size=1, unique=True)):
        status = draw(st.sampled_from(STATUSES))
        for category in draw(st.lists(st.sampled_from(["advance", "election_day"]), min_size=1, unique=True)):
            votes = {party: draw(st.integers(0, 99_999)) for party in draw(st.sets(st.sampled_from(PARTIES)))}
            blank = draw(st.integers(0, 9))
            rows.append(
                {
                    "unit": unit,
                    "counted_at": TIME,
                    "status": status,
                    "category": category,
                    "blank": blank,
                    "rejected": draw(st.integers(0, 9)),
                    "ballots": sum(votes.values()) + blank,
                    **votes,
                }
            )
    return rows


def in_dialect(draw: st.DrawFn, table: list[list[Any]]) -> list[list[Any]]:
    """The same table with other words, numbers, times, empty lines and columns, and lines around it."""
    names = {"A": ["A", "a", "Arbeiderpartiet"], "H": ["H", "HØYRE"], "RØD": ["RØD", "raudt", "Red Party"]}
    head, *rows = table

    def any_word(words: Mapping[str, str], value: str) -> str:
        word = draw(st.sampled_from([word for word, meaning in words.items() if meaning == value]))
        return draw(st.sampled_from([word, word.upper(), word.capitalize(), f" {word} "]))

    def header(column: str) -> str:
        return draw(st.sampled_from(names[column])) if column in names else any_word(COLUMN_WORDS, column)

    def cell(column: str, value: Any) -> Any:
        if value == "":
            return draw(st.sampled_from(["", " ", "\u00a0"]))
        if column == "status":
            return any_word(STATUS_WORDS, value)
        if column == "counted_at":
            return draw(
                st.sampled_from([TIME, "09.09.2024 22:05", "9.9.2024 kl. 22.05", "2024-09-09 22:05:00"])
            )
        if isinstance(value, int):
            separator = draw(st.sampled_from(["", " ", "\u00a0", "\u202f", "'", "’"]))
            return f"{value:,}".replace(",", separator) + draw(st.sampled_from(["", ",0", ".0", ",00"]))
        return draw(st.sampled_from([value, f" {value}", f"{value}\u00a0"]))

    written = [[cell(column, value) for column, value in zip(head, row, strict=True)] for row in rows]
    order = draw(st.permutations(range(len(head) + 1)))
    headers = [*map(header, head), ""]
    lines = [[[*line, ""][place] for place in order] for line in [headers, *written]]
    for _ in range(draw(st.integers(0, 2))):
        lines.insert(draw(st.integers(1, len(lines))), [""] * len(order))
    return [*([["Stortingsvalget 2024"]] if draw(st.booleans()) else []), *lines]


@settings(max_examples=examples(200), deadline=None)
@given(st.data())
def test_a_table_in_any_dialect_has_the_same_reports(data: st.DataObject) -> None:
    table = grid(*data.draw(counted()))
    expected = [part.document for part in read_counts("t.csv", text_of(table).encode(), registry()).parts]
    written = in_dialect(data.draw, table)
    delimiter = data.draw(st.sampled_from([";", "\t", ","]))
    end = data.draw(st.sampled_from(["\r\n", "\n", "\r"]))
    text = text_of(written, delimiter, end)
    codec = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]))
    if codec == "cp1252":
        text = text.replace("\u202f", " ")
    read = [part.document for part in read_counts("t.csv", text.encode(codec), registry()).parts]
    for each in (
        read,
        [part.document for part in read_counts("t.xlsx", plain_workbook(written), registry()).parts],
    ):
        assert [_plain(document) for document in each] == [_plain(document) for document in expected]


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """A report without the order of its members."""
    return document | {"counts": {category: dict(each) for category, each in document["counts"].items()}}


ODD = st.sampled_from(
    [
        *(
            "",
            "0",
            "7",
            "1.234",
            "31,0",
            "-1",
            "x",
            "#REF!",
            "=A1",
            "٣",
            "1 000",
            "Sum",
            "Totalt",
            "final",
            "ikke talt",
        ),
        *(
            "0301-0001",
            "301-0001",
            TIME,
            "09.09.2024 22:05",
            "27.10.2024 02:30",
            "advance",
            "Valgting",
            "unit",
            "RØD",
        ),
    ]
)


@settings(max_examples=examples(200), deadline=None)
@given(counted(), st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), ODD), max_size=4))
def test_a_text_and_a_workbook_with_the_same_cells_have_the_same_reports_and_mistakes(
    rows: list[dict[str, Any]], changes: list[tuple[int, int, str]]
) -> None:
    """And no figure disappears: each is in a report, or something was named."""
    table = grid(*rows)
    for line, column, text in changes:
        table[line % len(table)][column % len(table[0])] = text
    as_text = _read("t.csv", text_of(table).encode())
    as_workbook = _read("t.xlsx", plain_workbook(table))
    assert [re.sub(r"; columns are separated by [a-z]+", "", each) for each in as_text[1]] == as_workbook[1]
    assert as_text[0] == as_workbook[0]
    for document in as_text[0]:
        assert not check_shape(encode_report({"revision": 1} | document))
    named = as_text[1] or as_text[2]
    figures = sum(isinstance(cell, int) for line in table[1:] for cell in line)
    read = sum(len(each["votes"]) + len(each) - 1 for of in as_text[0] for each in of["counts"].values())
    assert read >= figures or named


def _read(name: str, content: bytes) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    try:
        found = read_counts(name, content, registry())
    except BadCountFile as error:
        return [], [text.replace("t.xlsx", "t.csv") for text in error.mistakes], []
    return (
        [part.document for part in found.parts],
        [],
        [text.replace("t.xlsx", "t.csv") for text in found.notes],
    )
