"""PURE: the clock of a server, estimated from the times in its messages, so that the clock here does not matter."""

from collections import deque
from datetime import datetime

OFFSETS_MAX = 40
"""Messages that the estimate rests on."""


class ServerClock:
    """Estimates a server's time from the quickest of its latest messages; time here is of any steady clock, in seconds.

    Invariant: it is never ahead of the server by more than the server's clock drifts; it is behind by the travel time
    of the quickest message.
    """

    def __init__(self) -> None:
        self._behind_s: deque[float] = deque(maxlen=OFFSETS_MAX)

    def observe(self, server_time: datetime, at_s: float) -> None:
        """Take note of a message with `server_time` that has arrived at `at_s`."""
        self._behind_s.append(at_s - server_time.timestamp())

    def age_s(self, since: datetime, at_s: float) -> float:
        """Return the seconds between a time of the server and `at_s`, at least 0. There has to be a message."""
        return max(0.0, at_s - min(self._behind_s) - since.timestamp())
