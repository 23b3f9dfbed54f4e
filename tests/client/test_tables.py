"""Areas as a table for a terminal."""

import pytest

from gateway.client.tables import EXPLANATIONS, Area, Correction, corrections
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
        ({"explained": {"code": "counted_again"}}, "3, it looks like: counted again"),
        ({"explained": {"code": "a_newer_one"}}, "3"),
        ({}, "3"),
    ],
)
def test_the_last_correction_shows_what_it_looks_like(last: Correction | None, shown: str) -> None:
    """None, not yet explained, with another unit, and from gateways of other versions."""
    assert corrections(an_area(corrections=3 if shown else 0, last_correction=last)) == shown


def test_a_unit_has_its_own_correction() -> None:
    """And no number of corrections."""
    explained: Correction = {"explained": {"code": "exchanged"}}
    assert corrections(an_area(correction=explained)) == "it looks like: two parties were exchanged"
    assert corrections(an_area(correction=None)) == ""


def test_every_explanation_has_words() -> None:
    assert tuple(EXPLANATIONS) == CODES
