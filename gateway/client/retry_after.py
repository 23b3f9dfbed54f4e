"""PURE: when to try again, as an answer's `Retry-After` says it (RFC 9110, section 10.2.3)."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

RETRY_AFTER_MOST_S = 60.0
"""Longest wait in seconds; a client asks again after it, however long a server asks it to wait."""
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]*)?")
_HUGE = re.compile(r"[0-9]+")


def retry_after_s(value: str | None, date: str | None, now: datetime) -> float | None:
    """Return the seconds to wait, 0 to RETRY_AFTER_MOST_S, or None if `Retry-After` is absent or unreadable.

    `value` is a number of seconds, or a date in any of the three formats of HTTP (RFC 9110, section 5.6.7), which is
    compared with `date`, the answer's own `Date`, so that a wrong clock here does not matter; without it, with `now`.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), RETRY_AFTER_MOST_S)
    if _HUGE.fullmatch(text):
        return RETRY_AFTER_MOST_S
    until = _read_date(text)
    if until is None:
        return None
    wait_s = (until - (_read_date(date or "") or now)).total_seconds()
    return min(max(0.0, wait_s), RETRY_AFTER_MOST_S)


def _read_date(text: str) -> datetime | None:
    try:
        read = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)
