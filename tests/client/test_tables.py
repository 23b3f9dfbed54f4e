"""Areas as a table for a terminal."""

import re

import pytest
from rich.console import Console

from gateway.client.tables import EXPLANATIONS, Area, Correction, Seats, area_table, corrections, seats_line
from gateway.election.explanations import CODES


def an_area(**members: object) -> Area:
    area: Area = {
        "area": "3451",
        "name": "Nord-Aurdal",
        "parent": "34",
        "units": {"total": 9, "reported": 9},
        "counts": {},
        "published_at": None,
    }
    return area | members  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("last", "shown"),
    [
        (None, ""),
        ({"explained": None}, "3"),
        (
            {"explained": {"code": "moved", "unit": "3451-0002"}},
            "3, it looks like: moved to or from 3451-0002",
        ),
        (
            {"explained": {"code": "moved", "unit": "3451-0002"}, "ballots": -495},
            "3, it looks like: moved to 3451-0002",
        ),
        (
            {"explained": {"code": "moved", "unit": "3451-0002"}, "ballots": 495},
            "3, it looks like: moved from 3451-0002",
        ),
        ({"explained": {"code": "counted_again"}}, "3, it looks like: counted again"),
        ({"explained": {"code": "a_newer_one"}}, "3"),
        ({}, "3"),
    ],
)
def test_the_last_correction_shows_what_it_looks_like(last: Correction | None, shown: str) -> None:
    """None, not yet explained, with another unit, and from gateways of other versions."""
    assert ", ".join(corrections(an_area(corrections=3 if shown else 0, last_correction=last))) == shown


def test_a_unit_has_its_own_correction() -> None:
    """And no number of corrections."""
    explained: Correction = {"explained": {"code": "exchanged"}}
    assert corrections(an_area(correction=explained)) == ["it looks like: two parties were exchanged"]
    assert corrections(an_area(correction=None)) == []


@pytest.mark.parametrize(
    ("sequence", "direction"), [(7, "to"), (8, "to or from")], ids=["last report", "later report"]
)
def test_a_unit_shows_where_its_ballots_were_moved(sequence: int, direction: str) -> None:
    """As long as its figures are those after the correction."""
    moved: Correction = {
        "explained": {"code": "moved", "unit": "3451-0002"},
        "sequence": 7,
        "previous": {"advance": {"ballots": 495, "votes": {}}},
    }
    unit = an_area(correction=moved, sequence=sequence, counts={"advance": {"ballots": 0, "votes": {}}})
    assert corrections(unit) == [f"it looks like: moved {direction} 3451-0002"]


def test_every_explanation_has_words() -> None:
    assert tuple(EXPLANATIONS) == CODES


@pytest.mark.parametrize(
    ("seats", "shown"),
    [
        ({"by_party": {}, "last": None, "next": None}, None),
        ({"by_party": {"A": {"seats": 1}, "B": {"seats": 53}}}, "projected seats: B 53, A 1"),
        (
            {"by_party": {"A": 2, "B": 1}, "last": {"party": "A", "spare": 0}, "next": None},
            "projected seats: A 2, B 1",
        ),
        (
            {"by_party": {"A": 2}, "last": {"party": "A", "spare": 0}, "next": {"party": "B", "lacks": 1}},
            "projected seats: A 2; B takes the last seat of A with 1 more vote",
        ),
    ],
)
def test_the_seats_of_an_area_are_a_line(seats: Seats, shown: str | None) -> None:
    """Of the country and of a district, the largest party first; of other areas, there is none."""
    assert seats_line(an_area(seats=seats)) == shown
    assert seats_line(an_area()) is None


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (60, ["Nord-Aurd…", "9/9", "1 000", "AB 60.0 %", "7 ms", "3"]),
        (80, ["Nord-Aurdal", "9/9", "1 000", "AB 60.0 %  CD 40.0 %", "7 ms", "3"]),
        (
            160,
            [
                "Nord-Aurdal",
                "9/9",
                "1 000",
                "AB 60.0 %  CD 40.0 %",
                "7 ms",
                "3, it looks like: counted again",
            ],
        ),
    ],
)
def test_an_area_takes_one_line_and_no_share_is_cut(width: int, expected: list[str]) -> None:
    """In a narrow terminal, names are cut, and parties and explanations left out."""
    area = an_area(
        counts={"advance": {"ballots": 1000, "votes": {"AB": 600, "CD": 400}}},
        corrections=3,
        last_correction={"explained": {"code": "counted_again"}},
    )
    console = Console(width=width)
    with console.capture() as captured:
        console.print(area_table([area], [], {"3451": 0.007}, 20))
    header, line = captured.get().splitlines()[-2:]
    assert "units" in header
    assert re.split(r" {2,}(?!CD)", line.strip()) == expected
