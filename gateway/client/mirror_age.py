"""PURE: how old the state of a mirror is, although the clock here may be wrong, and a cache in between may be late."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

AGE_MOST_S = 86_400
"""Longest `Age` of a cache that is taken into account, in seconds."""


def server_now(headers: Mapping[str, str], here: datetime) -> datetime:
    """Return the time at which an answer was received, by the clock of the server, or else `here`.

    `Date` is when the answer was made, and `Age` for how long a cache has kept it since (RFC 9110, section 6.6.1, and
    RFC 9111, section 5.1).
    """
    try:
        made = parsedate_to_datetime(headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return here
    age = headers.get("Age", "")
    return made + timedelta(seconds=min(int(age), AGE_MOST_S) if age.isdecimal() and len(age) < 9 else 0)


class MirrorAge:
    """Estimates the age of `written_at`; `at_s` is of any steady clock, in seconds.

    Invariant: a mirror that keeps writing never looks older than the time between two requests, whatever the clocks
    say: what was written since the previous request is not older than that.
    """

    def __init__(self) -> None:
        self.written_at: datetime | None = None
        self._age_s = 0.0
        self._at_s = 0.0
        """When `_age_s` was estimated."""
        self._asked_at_s = 0.0

    def observe(self, written_at: datetime, now: datetime, at_s: float) -> None:
        """Take note of a `live.json`, requested at `at_s`, when the clock of its server showed `now`."""
        if written_at != self.written_at:
            age_s = max(0.0, (now - written_at).total_seconds())
            if self.written_at is not None:
                age_s = min(age_s, at_s - self._asked_at_s)
            self.written_at, self._age_s, self._at_s = written_at, age_s, at_s
        self._asked_at_s = at_s

    def age_s(self, at_s: float) -> float | None:
        """Return the age of the newest state, in seconds; None before there is any."""
        return None if self.written_at is None else self._age_s + max(0.0, at_s - self._at_s)
