"""What somebody may have meant."""

import pytest

from gateway.count_files.suggestions import CLOSEST_MAX, LENGTH_MAX, TEXTS_MAX, Suggestions, did_you_mean
from gateway.election.report import STATUSES

UNITS = {"1103-0001": "Storhaug", "1103-0002": "Hundvåg", "1103-4001": "Tasta", "0301-0001": "Grorud"}


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("1103-002", "; did you mean 1103-0002 (Hundvåg)?"),
        ("1103-0003", "; did you mean 1103-0002 (Hundvåg) or 1103-0001 (Storhaug)?"),
        ("hundvåg", "; did you mean 1103-0002 (Hundvåg)?"),
        ("Hundvaag", "; did you mean 1103-0002 (Hundvåg)?"),
        ("  1103-0001 ", "; did you mean 1103-0001 (Storhaug)?"),
        ("x", ""),
        ("", ""),
        (None, ""),
        (17, ""),
        ("1103-0001" * 10, ""),
    ],
)
def test_the_closest_units_are_suggested_by_identifier_or_name(text: object, clause: str) -> None:
    assert did_you_mean(text, [*UNITS], UNITS) == clause


def test_identifiers_without_names_are_suggested_alone() -> None:
    assert did_you_mean("finall", STATUSES) == "; did you mean final?"
    assert did_you_mean("Prelim", STATUSES) == "; did you mean preliminary?"


def test_names_that_several_areas_have_suggest_all_of_them_up_to_a_limit() -> None:
    same = {f"u{number}": "Sentrum" for number in range(9)}
    assert did_you_mean("sentrum", [*same], same).count("(Sentrum)") == CLOSEST_MAX


def test_only_so_many_different_texts_are_compared() -> None:
    suggestions = Suggestions([*UNITS], UNITS)
    for number in range(TEXTS_MAX):
        assert suggestions.clause(f"1103-001{number}")
    assert suggestions.clause("1103-0003") == ""
    assert suggestions.clause("1103-0010") != "", "which was compared before"
    assert suggestions.clause("1" * (LENGTH_MAX + 1)) == ""
