"""The CPU time of a thread, cheap to read.

The operating system's clock of CPU time takes a system call, 0.3 to 60 µs on the machines that this was measured on,
which is more than a rule takes.
"""

import time

EXACT_FROM_S = 0.002
"""Steps from this length on are read from the operating system."""


class CpuClock:
    """The CPU time of this thread in seconds.

    Steps shorter than EXACT_FROM_S count as the time that has passed, which is never less than the CPU time. A longer
    one counts as its CPU time, less what the steps before it were counted too long.
    """

    __slots__ = ("_at", "_cpu", "_cpu_at", "_passed")

    def __init__(self) -> None:
        self._passed = time.perf_counter()
        self._at = 0.0
        self._cpu, self._cpu_at = time.thread_time(), 0.0

    def __call__(self) -> float:
        """Return the time since the clock was made. Never goes back."""
        passed = time.perf_counter()
        step, self._passed = passed - self._passed, passed
        if step < EXACT_FROM_S:
            self._at += step
            return self._at
        cpu = time.thread_time()
        self._at += max(0.0, cpu - self._cpu - (self._at - self._cpu_at))
        self._cpu, self._cpu_at = cpu, self._at
        return self._at
