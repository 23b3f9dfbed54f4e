"""PURE: how many of something are in use at once for each key, such as an address or a token."""

from collections.abc import Hashable


class ConcurrencyLimit:
    """Counts uses by key, and nothing for keys without any. `limit` None is no limit."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._counts: dict[Hashable, int] = {}

    def full(self, key: Hashable) -> bool:
        """Return whether a key has as many uses as are allowed."""
        return self._limit is not None and self._counts.get(key, 0) >= self._limit

    def count(self, key: Hashable) -> int:
        """Return the number of uses of a key."""
        return self._counts.get(key, 0)

    def enter(self, key: Hashable) -> None:
        """Count another use, even if there are enough: the caller checks `full` first."""
        self._counts[key] = self._counts.get(key, 0) + 1

    def leave(self, key: Hashable) -> None:
        """Remove one use."""
        count = self._counts[key] - 1
        if count:
            self._counts[key] = count
        else:
            del self._counts[key]
