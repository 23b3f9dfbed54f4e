"""`Retry-After`: every legal form is understood, and every other value is harmless."""

from datetime import UTC, datetime

import pytest

from gateway.client.retry_after import RETRY_AFTER_MOST_S, retry_after_s

NOW = datetime(1994, 11, 6, 8, 49, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0.5", 0.5),
        ("1" * 5000, RETRY_AFTER_MOST_S),
        ("86400", RETRY_AFTER_MOST_S),
        ("-1", None),
        ("+7", None),
        ("7 s", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("٧", None),
        ("soon", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 7.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 7.0),
        ("Sun Nov  6 08:49:37 1994", 7.0),
        ("Sun, 06 Nov 1994 08:49:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_MOST_S),
        ("Fri, 31 Dec 9999 23:59:59 -2359", RETRY_AFTER_MOST_S),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
    ],
)
def test_every_value_becomes_a_bounded_wait_or_none(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, None, NOW) == seconds


def test_a_date_is_compared_with_the_clock_of_the_server() -> None:
    """The answer's own `Date`, so that a wrong clock here does not matter."""
    wrong = datetime(2026, 1, 1, tzinfo=UTC)
    until, date = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:27 GMT"
    assert retry_after_s(until, date, wrong) == 10.0
    assert retry_after_s(until, "garbage", wrong) == 0.0
