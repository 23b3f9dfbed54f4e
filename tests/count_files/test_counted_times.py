"""Times of counts that cannot be right."""

from datetime import UTC, datetime

import pytest

from gateway.count_files.counted_times import early_counts, future_counts
from gateway.count_files.versions import merge
from gateway.election.registry_reading import read_registry
from gateway.rehearsal.generator import GeneratedElection
from tests.count_files.count_parts import a_part, at

NOW = datetime(2024, 9, 9, 20, 0, tzinfo=UTC)


def test_a_count_more_than_ten_minutes_ahead_of_the_gateway_is_named() -> None:
    """The difference allows for clocks and for rounded times."""
    versions, _ = merge([a_part(unit="near", minute=10), a_part("b.csv, line 7", unit="far", minute=11)])
    (error,) = future_counts(versions, NOW)
    assert str(error) == (
        f"b.csv, line 7: unit far: counted_at {at(11)} is in the future; the gateway's clock shows 2024-09-09T20:00:00Z"
    )
    assert error.files == {"b.csv"}


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ({"date": "2025-09-11", "rehearsal": False}, True),
        ({"date": "2025-09-10", "rehearsal": False}, False),
        ({"date": "2025-09-11", "rehearsal": True}, False),
        ({"date": "in autumn", "rehearsal": False}, False),
    ],
)
def test_a_count_more_than_a_year_before_the_election_is_named(
    small: GeneratedElection, header: dict[str, object], named: bool
) -> None:
    registry = read_registry({**small.registry, "election": {**small.registry["election"], **header}})
    expected = f"counted_at {at(5)} is more than a year before the election (2025-09-11)"
    texts = [f"a.csv, line 2: unit 0604-0001: {expected}"] if named else []
    assert [str(each) for each in early_counts([a_part()], registry)] == texts
