"""A clock for tests, which moves only when a test moves it."""

from datetime import UTC, datetime, timedelta


class ManualClock:
    """A `gateway.clock.Clock` of three readings, each of which a test sets."""

    def __init__(self, now: datetime = datetime(2025, 9, 8, 19, tzinfo=UTC)) -> None:
        self.time = now
        self.monotonic_s = 0.0
        self.cpu_s = 0.0

    def now(self) -> datetime:
        """Return the time of day."""
        return self.time

    def monotonic(self) -> float:
        """Return the seconds passed."""
        return self.monotonic_s

    def cpu(self) -> float:
        """Return the CPU time in seconds."""
        return self.cpu_s

    def advance(self, seconds: float, cpu_s: float = 0.0) -> None:
        """Let time pass, of which this thread ran for `cpu_s`."""
        self.time += timedelta(seconds=seconds)
        self.monotonic_s += seconds
        self.cpu_s += cpu_s
