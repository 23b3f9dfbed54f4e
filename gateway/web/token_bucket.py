"""PURE: a token bucket: what may be spent over time and at once. It reads no clock: times are given, in seconds."""


class TokenBucket:
    """`rate` units come back each second, up to `burst`. More may be spent than is left; the rest is then owed."""

    __slots__ = ("_at", "_left", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self._left = burst
        self._at = 0.0

    def left(self, now: float) -> float:
        """Return the units that may be spent; negative where some are owed."""
        return min(self.burst, self._left + self.rate * max(0.0, now - self._at))

    def owed_s(self, now: float) -> float:
        """Return the seconds until nothing is owed; 0 where nothing is."""
        return max(0.0, -self.left(now) / self.rate)

    def spend(self, amount: float, now: float) -> float:
        """Spend an amount, and return the seconds until nothing is owed; 0 where there was enough."""
        self._left = self.left(now) - amount
        self._at = now
        return self.owed_s(now)

    def full(self, now: float) -> bool:
        """Whether nothing of it is missing."""
        return self.left(now) >= self.burst
