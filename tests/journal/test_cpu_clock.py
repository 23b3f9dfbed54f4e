"""The clock of CPU time: short steps count as time that has passed, long ones as CPU time."""

import pytest

from gateway.journal.cpu_clock import CpuClock
from tests.clocks import ManualClock


def test_cpu_time_is_never_underestimated_in_short_steps_and_exact_in_long_ones() -> None:
    """A step in which the thread did not run counts nothing; one that computed counts what it computed."""
    clock = ManualClock()
    cpu_clock = CpuClock(clock=clock)

    def step(passed_s: float, cpu_s: float) -> float:
        clock.advance(passed_s, cpu_s)
        before = cpu_clock._at
        return cpu_clock() - before

    assert step(0.001, 0.0004) == pytest.approx(0.001)
    assert step(0.030, 0.0) == 0.0
    assert step(0.040, 0.025) == pytest.approx(0.025)
    assert step(0.001, 0.001) == pytest.approx(0.001)
    assert step(0.500, 0.021) == pytest.approx(0.021)
