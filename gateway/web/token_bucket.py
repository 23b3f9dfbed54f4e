"""PURE: token buckets, which limit a rate and a burst. Reads no clock: times are arguments, in seconds."""


class TokenBucket:
    """`rate` units are regained per second, up to `burst`. Spending more than is left leaves a debt."""

    __slots__ = ("_at", "_left", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self._left = burst
        self._at = 0.0

    def left(self, now: float) -> float:
        """Return the units left; negative for a debt."""
        return min(self.burst, self._left + self.rate * max(0.0, now - self._at))

    def owed_s(self, now: float) -> float:
        """Return the seconds until the debt is paid; 0 if there is none."""
        return max(0.0, -self.left(now) / self.rate)

    def spend(self, amount: float, now: float) -> float:
        """Spend an amount, and return the seconds until the debt is paid; 0 if there is none."""
        self._left = self.left(now) - amount
        self._at = now
        return self.owed_s(now)

    def full(self, now: float) -> bool:
        """Return whether nothing has been spent that was not regained."""
        return self.left(now) >= self.burst
