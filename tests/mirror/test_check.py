"""`valgnatt mirror --check`: what it says of a `live.json` beside the head of the feed door."""

from datetime import UTC, datetime

import pytest
from msgspec import structs

from gateway.mirror.check import Head, distance, problems_of
from gateway.wire.mirror import FORMAT, Live

CHAIN = "5f" * 32
LIVE = Live(
    format=FORMAT,
    election="e",
    history="20250908T190000Z-5f3a9c21",
    sequence=7,
    chain=CHAIN,
    cursor="7-5f5f5f5f",
    published_at=None,
    written_at=datetime(2025, 9, 8, 19, tzinfo=UTC),
    every_s=2,
    recent=("7-5f5f5f5f",),
    documents=7,
    ranges=0,
    holds=0,
    profiles={},
)


def test_publications_of_the_last_seconds_are_no_problem() -> None:
    """While the night goes on, a mirror that works is behind the door by those of its interval."""
    assert list(problems_of(LIVE, Head("e", 9, "00" * 32), 11.0)) == []
    assert distance(LIVE, Head("e", 9)) == " (2 publications behind the feed door)"
    assert distance(LIVE, Head("e", 7)) == distance(LIVE, None) == ""


def test_a_closed_mirror_has_every_publication_whatever_its_age() -> None:
    closed = structs.replace(LIVE, closed_at=LIVE.written_at)
    assert list(problems_of(closed, Head("e", 7, CHAIN), 1e6)) == []
    (found,) = problems_of(closed, Head("e", 9), 1e6)
    assert found.startswith("closed, but the feed door has more")


@pytest.mark.parametrize(
    ("head", "age_s", "problem"),
    [
        (Head("e", 7, CHAIN), 11.1, "no mirror has written for so long"),
        (Head("e", 7, CHAIN), -2.1, "the clock of the mirror's machine is ahead"),
        (Head("e", 6, CHAIN), 0.0, "ahead of the feed door, which is at sequence 6"),
        (Head("e", 7, "00" * 32), 0.0, "of another record"),
        (None, 0.0, "the feed door has no such election"),
    ],
)
def test_the_check_names_what_is_wrong(head: Head | None, age_s: float, problem: str) -> None:
    (found,) = problems_of(LIVE, head, age_s)
    assert found.startswith(problem)
