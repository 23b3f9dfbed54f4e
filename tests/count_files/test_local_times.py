"""Times as people write them, in the time zone of the election."""

from zoneinfo import ZoneInfo

import pytest

from gateway.count_files.local_times import NotATime, read_counted_at
from gateway.election.local_time import zone_of
from tests.count_files.tables import TIME, csv, documents, mistakes, registry, row

OSLO = ZoneInfo("Europe/Oslo")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "09.09.2024 22:05",
            "9.9.2024 22.05",
            "9.9.2024 kl. 22.05",
            "9.9.2024 kl 22:05",
            "9. 9. 2024, kl. 22.05.00",
        ),
        *("09.09.2024 22:05:00", "2024-09-09 22:05", "2024-09-09 22:05:00", TIME),
    ],
)
def test_a_local_time_gets_the_offset_of_the_election(text: str) -> None:
    assert read_counted_at(text, OSLO) == TIME


def test_a_time_with_an_offset_stays_as_it_is() -> None:
    for text in ("2024-09-09T20:05:00Z", "2024-09-09T22:05:00.5+02:00"):
        assert read_counted_at(text, OSLO) == read_counted_at(text, None) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("27.10.2024 02:30", "twice; write 2024-10-27T02:30:00+02:00 or 2024-10-27T02:30:00+01:00"),
        (
            "31.03.2024 02:30",
            "there is no 2024-03-31T02:30:00 in Europe/Oslo; perhaps 2024-03-31T03:30:00+02:00 is meant",
        ),
        ("2024-09-09T22:05:00", "it has no offset from UTC; write 09.09.2024 22:05 or"),
        ("09/09/2024 22:05", "its day and month could be exchanged"),
        ("09.09.24 22:05", "its year has two digits"),
        ("09.09.2024", "it has no time of day"),
        ("31.02.2024 10:00", "there is no such date or time"),
        ("09.09.2024 24:00", "there is no such date or time"),
        ("09.09.0024 22:00", "its year is 24"),
        ("٠٩.٠٩.2024 22:05", "write 09.09.2024 22:05 or"),
        ("22:05", "write 09.09.2024 22:05 or"),
        ("45544.92", "write 09.09.2024 22:05 or"),
    ],
)
def test_other_times_are_refused_with_what_to_write(text: str, why: str) -> None:
    with pytest.raises(NotATime) as found:
        read_counted_at(text, OSLO)
    assert why in str(found.value)


def test_without_a_known_zone_a_local_time_needs_its_offset() -> None:
    assert zone_of(registry()) == OSLO
    for unknown in (None, "Mars/Olympus", "../etc/passwd", ""):
        assert zone_of(registry(unknown)) is None
    (text,) = mistakes("t.csv", csv(row(counted_at="9.9.2024 22:05")), registry(None))
    assert (
        "line 2: unit 0301-0001: counted_at (column C) '9.9.2024 22:05' is not a time: the time zone" in text
    )
    assert "write 2024-09-09T22:05:00 with its offset" in text


def test_one_instant_in_two_notations_is_one_time() -> None:
    first = row(counted_at="9.9.2024 kl. 22.05")
    second = row(category="election_day", counted_at="2024-09-09T20:05:00Z")
    (report,) = documents("t.csv", csv(first, second))
    assert report["counted_at"] == TIME
