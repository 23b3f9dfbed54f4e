"""Rows of totals are checked and left out."""

from typing import Any

import pytest

from tests.count_files.tables import HEAD, PARTIES, csv, documents, mistakes, notes, row

ROWS = (
    row("0301-0001"),
    row("0301-0001", "election_day", 41, A=30),
    row("0301-0002"),
    row("0301-0002", "election_day", 51, A=40),
)


def total(unit: str = "Sum", ballots: Any = 154, **cells: Any) -> dict[str, Any]:
    return {"unit": unit, "ballots": ballots, "blank": 4, "rejected": "0", "A": 110, "H": "40", **cells}


@pytest.mark.parametrize("word", ["Sum", "TOTAL", "Totalt", "i alt", "Sum:", "Til sammen", "Samla"])
@pytest.mark.parametrize("column", ["unit", "category"])
def test_a_total_that_is_right_is_left_out_with_a_note(word: str, column: str) -> None:
    content = csv(*ROWS, total("") | {column: word})
    assert documents("t.csv", content) == documents("t.csv", csv(*ROWS))
    assert notes("t.csv", content) == ("t.csv, line 6: a total, equal to the sum of its rows, and not sent",)


def test_a_total_that_differs_is_refused_with_both_numbers() -> None:
    texts = mistakes("t.csv", csv(*ROWS, total(ballots=155, H="1 000,0")))
    advice = "; correct the figures, or delete the line"
    assert texts == (
        f"t.csv, line 6: the total of ballots (column G) is 155, but lines 2 to 5 sum to 154{advice}",
        f"t.csv, line 6: the total of H (column L) is 1000, but lines 2 to 5 sum to 40{advice}",
    )


def test_totals_of_a_unit_of_a_category_and_of_groups_of_rows() -> None:
    of_unit = {"unit": "0301-0001", "category": "Sum", "ballots": 72, "A": 50}
    of_category = {"unit": "Totalt", "category": "advance", "ballots": 62}
    group = {"unit": "Sum", "ballots": 82}
    content = csv(
        *ROWS[:2], of_unit, {"unit": "Sum", "ballots": 72}, *ROWS[2:], group, of_category, total()
    )  # fmt: skip
    assert len(documents("t.csv", content)) == 2
    assert notes("t.csv", content) == (
        "t.csv, lines 4, 5, 8, 9, 10: totals, equal to the sums of their rows, and not sent",
    )
    for wrong in (of_unit | {"ballots": 73}, of_category | {"ballots": 63}, {"unit": "Sum", "voters": 1}):
        (text,) = mistakes("t.csv", csv(*ROWS, wrong))
        assert "line 6: the total of " in text


def test_a_unit_whose_name_is_such_a_word_is_no_total() -> None:
    """Only a row without a unit is a total by its name."""
    head = (*HEAD, *PARTIES, "Navn")
    assert len(documents("t.csv", csv(ROWS[0], ROWS[2] | {"Navn": "Samla"}, head=head))) == 2
    content = csv(*ROWS, total("") | {"Navn": "Sum"}, head=head)
    assert notes("t.csv", content) == ("t.csv, line 6: a total, equal to the sum of its rows, and not sent",)


def test_a_total_above_the_rows_is_that_of_all_rows() -> None:
    assert len(documents("t.csv", csv(total(), *ROWS))) == 2
    (text,) = mistakes("t.csv", csv(total(ballots=1), *ROWS))
    assert "line 2: the total of ballots (column G) is 1, but lines 3 to 6 sum to 154" in text


def test_a_total_that_is_no_number_is_a_mistake_and_so_is_one_without_rows() -> None:
    (text,) = mistakes("t.csv", csv(*ROWS, total(ballots="1.234")))
    assert "line 6: ballots (column G) must be a whole number, not '1.234': it can be read as 1234" in text
    text, *_ = mistakes("t.csv", csv(total()))
    assert text.startswith(
        "t.csv, line 2: the total of ballots (column G) is 154, but there are no rows to sum (0)"
    )


def test_a_mistake_in_a_row_is_not_repeated_as_that_of_the_total() -> None:
    (text,) = mistakes("t.csv", csv(ROWS[0] | {"ballots": "x"}, *ROWS[1:], total()))
    assert "line 2" in text
