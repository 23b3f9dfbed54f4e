"""Times are read in every form of RFC 3339, and in no other."""

from datetime import UTC, datetime

import pytest

from gateway.election.rfc3339 import NoOffset, read_time


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2025-09-08T22:36:55+02:00", datetime(2025, 9, 8, 20, 36, 55, tzinfo=UTC)),
        ("2025-09-08T22:36:55Z", datetime(2025, 9, 8, 22, 36, 55, tzinfo=UTC)),
        ("2025-09-08t22:36:55z", datetime(2025, 9, 8, 22, 36, 55, tzinfo=UTC)),
        ("2025-09-08T22:36:55-00:00", datetime(2025, 9, 8, 22, 36, 55, tzinfo=UTC)),
        ("2024-02-29T00:00:00.5-03:30", datetime(2024, 2, 29, 3, 30, 0, 500000, tzinfo=UTC)),
        ("2025-09-08T22:36:55.123456789Z", datetime(2025, 9, 8, 22, 36, 55, 123457, tzinfo=UTC)),
    ],
)
def test_all_forms_of_times_are_read(text: str, utc: datetime) -> None:
    """RFC 3339 allows several forms."""
    assert read_time(text) == utc


@pytest.mark.parametrize("text", ["2025-09-08T22:36:55", "2025-09-08T22:36:55.25", "2025-09-08t00:00:00"])
def test_a_time_without_an_offset_has_an_error_of_its_own(text: str) -> None:
    """It is the most common mistake, so it has its own exception."""
    with pytest.raises(NoOffset, match="has no offset"):
        read_time(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2025-09-08",
        "2025-09-08T22:36Z",
        "2025-09-08 22:36:55Z",
        "20250908T223655Z",
        "2025-09-08T22:36:55+0200",
        "2025-09-08T22:36:55+02",
        "2025-09-08T22:36:55 +02:00",
        "2025-09-08T22:36:55,5Z",
        "2025-09-08T24:00:00Z",
        "2025-09-08T22:36:60Z",
        "2025-02-30T22:36:55Z",
        "2025-09-08T22:36:55+24:00",
        "0001-01-01T00:00:00+23:00",
        "9999-12-31T23:59:59-23:00",
        "2025-09-08T22:36:55Z\n",
        "２０２５-09-08T22:36:55Z",
        f"2025-09-08T22:36:55.{'1' * 1000}Z",
        "an offset, in any time T",
    ],
)
def test_invalid_times_are_refused(text: str) -> None:
    """Looser forms would be published unchanged, and readers might not parse them."""
    with pytest.raises(ValueError, match="is not an RFC 3339 time") as caught:
        read_time(text)
    assert not isinstance(caught.value, NoOffset)
