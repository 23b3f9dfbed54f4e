"""PURE: what a person is shown while a feed is interrupted: why, at growing intervals, and when it continues.

Time comes in, in seconds of any clock.
"""

from gateway.client.failures import Failure
from gateway.client.proxies import without_user

AGAIN_FIRST_S, AGAIN_MOST_S = 10.0, 60.0
"""After how many seconds the same is shown again: at first, and at most."""


def source_line(kind: str, url: str, before: str | None) -> str | None:
    """Return the line to show when results come from another source, a `stream` or a `mirror`; none at first."""
    if kind == "mirror":
        return f"Reading the mirror {without_user(url)}."
    return "Reading the stream of the gateway again." if before is not None else None


def mirror_age(url: str, age_s: float, *, behind: bool, closed: bool = False) -> str:
    """Return where results come from, and how old they are or that nothing follows, while a mirror is read."""
    age = "the election is closed" if closed else f"{age_s:.0f} s old"
    return f"from the mirror {without_user(url)}, {f'which is behind: {age}' if behind else age}"


class FeedNotices:
    """Decides what to show when an attempt fails, and when a block arrives after that."""

    def __init__(self) -> None:
        self.failure: Failure | None = None
        """Why there is no feed at present."""
        self._shown: tuple[str, int | None] | None = None
        self._shown_at = 0.0
        self._again_s = AGAIN_FIRST_S

    def on_change(self, failure: Failure | None, now: float) -> str | None:
        """Return the line to show; `failure` is None for a block."""
        before, self.failure = self.failure, failure
        if failure is None:
            shown, self._shown, self._again_s = self._shown, None, AGAIN_FIRST_S
            return "Results arrive again." if before is not None and shown is not None else None
        seen = (failure.code, failure.status)
        if seen == self._shown:
            if now - self._shown_at < self._again_s:
                return None
            self._again_s = min(2 * self._again_s, AGAIN_MOST_S)
        self._shown, self._shown_at = seen, now
        return f"{failure.text}; trying again"
