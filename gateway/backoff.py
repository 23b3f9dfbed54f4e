"""Delays between attempts at something that keeps failing: connections, processes, the database."""

from random import Random

from gateway.clock import SYSTEM_CHANCE


class Backoff:
    """Delays that start at `first_s` seconds and double up to `most_s`."""

    __slots__ = ("_first_s", "_most_s", "_next_s")

    def __init__(self, first_s: float = 0.1, most_s: float = 10.0) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._next_s = first_s

    def next(self) -> float:
        """Return the seconds to wait before the next attempt."""
        delay_s, self._next_s = self._next_s, min(self._next_s * 2, self._most_s)
        return delay_s

    def reset(self) -> None:
        """Start over at `first_s`, after an attempt that succeeded."""
        self._next_s = self._first_s


def with_jitter(delay_s: float, most: float = 1.0, *, chance: Random = SYSTEM_CHANCE) -> float:
    """Return between half and `most` times a delay, so that many clients do not retry at the same moment."""
    return chance.uniform(0.5, most) * delay_s


def jittered_s(delay_s: float, *, chance: Random = SYSTEM_CHANCE) -> float:
    """Return a random delay around the given one, in seconds, so that clients do not all return at once."""
    return round(with_jitter(delay_s, most=1.5, chance=chance), 2)
