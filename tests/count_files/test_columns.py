"""Headers and words of tables in Norwegian and English."""

import re
from pathlib import Path

import pytest

from gateway.count_files.columns import COLUMNS, PartyNames, meanings_of
from gateway.count_files.files import read_counts
from gateway.count_files.words import (
    CATEGORY_WORDS,
    COLUMN_WORDS,
    NAME,
    REASON_WORDS,
    STATUS_WORDS,
    TOTAL_WORDS,
    plain,
)
from gateway.election.registry_reading import read_registry
from gateway.election.report import REASONS, STATUSES
from tests.count_files.tables import csv, documents, mistakes, registry, row

ROOT = Path(__file__).parents[2]
CONTRACT = (ROOT / "docs/contract.md").read_text()
RENAMED = {
    "bokmål": {
        "unit": "Krets", "counted_at": "Tidspunkt", "status": "STATUS", "reason": "Årsak", "category": "Kategori",
        "ballots": "Stemmesedler", "blank": "Blanke", "rejected": "Forkastede", "voters": "Kryss i manntallet",
        "revision": "Revisjon", "A": "Arbeiderpartiet", "H": "høyre", "RØD": "Rødt",
    },
    "nynorsk": {
        "unit": "Teljestad", "counted_at": "talt opp", "category": "kategori", "ballots": "Røystesetlar",
        "blank": "Blanke", "rejected": "Forkasta", "voters": "kryss i manntalet", "RØD": "RAUDT", "A": "a",
    },
    "English": {"counted_at": "Counted at", "unit": "Unit:", "RØD": "red party", "H": " H "},
}  # fmt: skip
WORDS = {
    "bokmål": {"status": "Foreløpig", "reason": "ny opptelling", "category": "Forhånd"},
    "nynorsk": {"status": "FØREBELS", "reason": "Ny oppteljing", "category": "førehandsrøyster"},
    "English": {"status": "Preliminary", "reason": "Recount", "category": "ADVANCE"},
}


@pytest.mark.parametrize("language", RENAMED)
def test_headers_and_words_of_each_language_mean_the_same(language: str) -> None:
    names = RENAMED[language]
    cells = row(status="preliminary", reason="recount", revision=2, voters=30, RØD=0)
    head = tuple(cells)
    expected = documents("t.csv", csv(cells, head=head))
    written = {names.get(column, column): WORDS[language].get(column, cell) for column, cell in cells.items()}
    assert documents("t.csv", csv(written, head=tuple(written))) == expected


def test_every_column_status_and_reason_has_its_own_words() -> None:
    assert {*COLUMN_WORDS.values()} == {*COLUMNS, NAME}
    assert {*STATUS_WORDS.values()} == {*STATUSES}
    assert {*REASON_WORDS.values()} == {*REASONS}


def test_the_words_of_the_web_pages_are_read_in_every_language() -> None:
    """So an officer may copy the status that a page shows."""
    for texts in (ROOT / "gateway/web/pages/texts").glob("*.js"):
        for member, words in (("statuses", STATUS_WORDS), ("reasons", REASON_WORDS)):
            block = texts.read_text().partition(f"  {member}: ")[2].partition("\n  }")[0]
            shown = dict(re.findall(r'(\w+): "([^"]+)"', block))
            shown.pop("no_report", None)
            assert {value: words.get(plain(text)) for value, text in shown.items()} == {
                each: each for each in shown
            }
            assert shown.keys() == {*words.values()}, texts.name


def test_the_contract_lists_all_words() -> None:
    listed: dict[str, dict[str, str]] = {}
    lines = r"^\| (column|status|reason|category|total) \| `?([\w–]+)`? \| (.*) \|$"
    for kind, value, words in re.findall(lines, CONTRACT, re.MULTILINE):
        listed.setdefault(kind, {}).update(
            (word, value) for word in (*words.split(", "), plain(value)) if word != "–"
        )
    assert listed.pop("total").keys() == TOTAL_WORDS
    assert listed == {
        "column": COLUMN_WORDS, "status": STATUS_WORDS, "reason": REASON_WORDS, "category": CATEGORY_WORDS
    }  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"blank": ("Blank", "Blanke")}, ("columns 'Blank' and 'Blanke' both mean 'blank'",)),
        ({"H": ("H", "Høyre")}, ("columns 'H' and 'Høyre' both mean 'H'",)),
        ({"H": ("H", "H")}, ("column 'H' is repeated",)),
        ({"ballots": ("Antall",)}, ("no column 'ballots'",)),
    ],
)
def test_two_columns_of_one_meaning_are_refused(
    headers: dict[str, tuple[str, ...]], words: tuple[str, ...]
) -> None:
    head = [name for column in row() for name in headers.get(column, (column,))]
    (text,) = mistakes("t.csv", csv(row(), head=head))
    assert text.startswith("t.csv, line 1: ")
    assert all(word in text for word in words), text


def test_a_header_that_could_mean_two_things_is_refused() -> None:
    """A party whose code is also the name of a column, and two parties with one name."""
    document = registry().document
    parties = [{"code": "Blanke", "name": "X"}, {"code": "B", "name": "Same"}, {"code": "C", "name": "same"}]
    areas = [each | {"parties": None} for each in document["areas"]]
    other = read_registry(document | {"parties": parties, "areas": areas})
    names = PartyNames(other)
    assert meanings_of("Blanke", names) == {"blank", "Blanke"}
    assert meanings_of("blank", names) == {"blank"}
    assert meanings_of("SAME", names) == {"B", "C"}
    both = {"Blanke": "the party 'Blanke' or the column 'blank'", "Same": "the party 'B' or the party 'C'"}
    for header, word in both.items():
        head = [*(column for column in row() if column not in ("A", "H")), header]
        (text,) = mistakes("t.csv", csv(row(), head=head), other)
        assert "line 1" in text
        assert word in text


def test_a_column_that_means_nothing_here_may_be_empty() -> None:
    """With content it is a mistake: it could be a figure."""
    head = (*row(), "Pensjonistpartiet")
    assert documents("t.csv", csv(row(), head=head)) == documents("t.csv", csv(row()))
    (text,) = mistakes("t.csv", csv(row(), row("0301-0002", Pensjonistpartiet=3), head=head))
    assert text == (
        "t.csv, line 3: '3' is in a column that is not read: 'Pensjonistpartiet' is neither a column of counts nor a"
        " party of this election"
    )


def test_names_of_units_are_not_read_and_may_not_be_figures() -> None:
    head = (*row(), "Navn")
    assert documents("t.csv", csv(row(Navn="Gamle Oslo"), head=head)) == documents("t.csv", csv(row()))
    (text,) = mistakes("t.csv", csv(row(Navn="31"), head=head))
    assert text == "t.csv, line 2: Navn (column J) is a column for names, not for '31'"


@pytest.mark.parametrize(
    ("written", "intended"),
    [("301-0001", "0301-0001"), ("301-1", "0301-0001"), ("1103-2", "1103-0002")],
)
def test_leading_zeros_that_a_spreadsheet_dropped_are_named(written: str, intended: str) -> None:
    (text,) = mistakes("t.csv", csv(row(), row(written, ballots="x")))
    assert text == (
        f't.csv, line 3: unit (column A): "{written}" is not in the registry; did you mean {intended}? A spreadsheet'
        " drops leading zeros; format the column as text and enter them again"
    )


def test_lines_above_the_table_are_not_read_and_the_note_says_so() -> None:
    """Unless they have figures."""
    table = csv(row())
    above = b"Stortingsvalget 2024;;;\r\nKommune:;301;\r\n\r\n"
    read = read_counts("t.csv", above + table, registry())
    assert [str(part.where) for part in read.parts] == ["t.csv, line 5"]
    assert read.notes == (
        "t.csv, lines 1 to 2: above the table, and not read: 'Stortingsvalget 2024', 'Kommune:'",
    )
    (text,) = mistakes("t.csv", b"0301-0002;31;1;0;20;10\r\n" + table)
    assert text.startswith("t.csv, line 1: figures above the header of the table, which is in line 2")


@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\n', "SEP=;\r", ""])
def test_the_line_that_names_the_delimiter_is_no_part_of_the_table(first: str) -> None:
    assert documents("t.csv", first.encode() + csv(row())) == documents("t.csv", csv(row()))
    (text,) = mistakes("t.csv", b"sep=|\n" + csv(row()))
    assert text == "t.csv, line 1: columns are separated by commas, semicolons or tabs"


def test_a_unit_that_became_a_date_is_named() -> None:
    (text,) = mistakes("t.csv", csv(row("2024-03-01 00:00:00")))
    assert text == (
        "t.csv, line 2: unit (column A) '2024-03-01 00:00:00' is a date; the spreadsheet changed what was entered"
    )


@pytest.mark.parametrize("cells", [1, 2, 3])
def test_figures_that_were_not_separated_as_the_header_is_are_named(cells: int) -> None:
    """Otherwise the line would have none, and be left out."""
    parts = ["0301-0002", "09.09.2024 22:05", "final", "advance", "31", "1", "0", "20", "10"]
    line = ";".join([*parts[: cells - 1], ",".join(parts[cells - 1 :])])
    head = ("unit", "counted_at", "status", "category", "ballots", "blank", "rejected", "A", "H")
    (text,) = mistakes("t.csv", csv(row(), head=head) + line.encode())
    assert text.startswith("t.csv, line 3: ")
    assert "has several columns in one cell; separate them as in line 1" in text


@pytest.mark.parametrize("column", ["counted_at", "status", "category"])
def test_a_figure_in_the_wrong_column_is_named(column: str) -> None:
    """Also if the row has no others, and would be left out."""
    (text,) = mistakes("t.csv", csv(row(), {"unit": "0301-0002", column: "31"}))
    assert text.startswith(f"t.csv, line 3: {column} (column ")
    assert text.endswith(" '31' is a number, and the row has no figures; move it to its column")


def test_lines_of_remarks_are_left_out_and_named() -> None:
    read = read_counts("t.csv", csv(row(), {"unit": "* foreløpige tall"}), registry())
    assert len(read.parts) == 1
    assert read.empty_units == ()
    assert read.notes == ("t.csv: left out, since they are not units: * foreløpige tall",)
