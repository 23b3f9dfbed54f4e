"""The CPU time of a thread, cheap to read.

The operating system's clock of CPU time takes a system call, 0.3 to 60 µs on the machines that this was measured on,
which is more than a rule takes.
"""

from gateway.clock import SYSTEM_CLOCK, Clock

EXACT_FROM_S = 0.002
"""Steps from this length on are read from the operating system."""


class CpuClock:
    """The CPU time of this thread in seconds.

    Steps shorter than EXACT_FROM_S count as the time that has passed, which is never less than the CPU time. A longer
    one counts as its CPU time, less what the steps before it were counted too long.
    """

    __slots__ = ("_at", "_cpu", "_cpu_at", "_cpu_s", "_passed", "_time_s")

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._time_s, self._cpu_s = clock.monotonic, clock.cpu
        self._passed = self._time_s()
        self._at = 0.0
        self._cpu, self._cpu_at = self._cpu_s(), 0.0

    def __call__(self) -> float:
        """Return the time since the clock was made. Never goes back."""
        passed = self._time_s()
        step, self._passed = passed - self._passed, passed
        if step < EXACT_FROM_S:
            self._at += step
            return self._at
        cpu = self._cpu_s()
        self._at += max(0.0, cpu - self._cpu - (self._at - self._cpu_at))
        self._cpu, self._cpu_at = cpu, self._at
        return self._at
