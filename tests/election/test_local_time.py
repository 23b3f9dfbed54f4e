"""Times by the clock of an election's time zone."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.election.local_time import local_time
from gateway.election.registry_reading import read_registry
from tests.election.makers import REGISTRY

SUMMER, WINTER = datetime(2025, 9, 8, 19, tzinfo=UTC), datetime(2025, 12, 8, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "summer", "winter"),
    [
        ({"timezone": "Europe/Oslo"}, "21:00:00+02:00", "21:00:00+01:00"),
        ({}, "22:00:00+03:00", "23:00:00+03:00"),
        ({"timezone": "Nowhere/Else"}, "22:00:00+03:00", "23:00:00+03:00"),
        ({"timezone": "../Oslo"}, "22:00:00+03:00", "23:00:00+03:00"),
        ({"timezone": ["Europe/Oslo"]}, "22:00:00+03:00", "23:00:00+03:00"),
    ],
)
def test_a_time_has_the_offset_of_the_election(header: dict[str, Any], summer: str, winter: str) -> None:
    """Where its time zone is not known, that of `publish_from`; the moment is always the same."""
    election = {name: value for name, value in REGISTRY.document["election"].items() if name != "timezone"}
    election |= {"publish_from": "2025-09-08T22:00:00+03:00", **header}
    registry = read_registry({**REGISTRY.document, "election": election})
    for moment, shown in ((SUMMER, summer), (WINTER, winter)):
        found = local_time(registry, moment)
        assert found == moment
        assert found.isoformat().partition("T")[2] == shown
