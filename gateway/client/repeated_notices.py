"""PURE: which messages about something that lasts are given: at once, when they change, and at intervals.

Time comes in, in seconds of any clock.
"""

import msgspec

REPEAT_S = 60.0
"""After how many seconds the same is shown again."""
CHANGED_S = 10.0
"""How long after a message another one about the same is shown: reasons may alternate."""


class _Shown(msgspec.Struct):
    text: str
    at: float


class RepeatedNotices:
    """What is being shown, by what it is about."""

    def __init__(self) -> None:
        self._shown: dict[str, _Shown] = {}

    def is_due(self, about: str, text: str, now: float) -> bool:
        """Return whether to show a message now; it counts as shown then."""
        shown = self._shown.get(about)
        if shown is not None and now - shown.at < (REPEAT_S if shown.text == text else CHANGED_S):
            return False
        self._shown[about] = _Shown(text, now)
        return True

    def has_ended(self, about: str) -> bool:
        """Return whether something was shown that is over now."""
        return self._shown.pop(about, None) is not None
