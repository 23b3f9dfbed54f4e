"""The clock of CPU time: short steps count as time that has passed, long ones as CPU time."""

import time

import pytest

from gateway.journal.cpu_clock import CpuClock


def test_cpu_time_is_never_underestimated_in_short_steps_and_exact_in_long_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A step in which the thread did not run counts nothing; one that computed counts what it computed."""
    passed, cpu = [100.0], [5.0]
    monkeypatch.setattr(time, "perf_counter", lambda: passed[0])
    monkeypatch.setattr(time, "thread_time", lambda: cpu[0])
    clock = CpuClock()

    def step(passed_s: float, cpu_s: float) -> float:
        passed[0] += passed_s
        cpu[0] += cpu_s
        before = clock._at
        return clock() - before

    assert step(0.001, 0.0004) == pytest.approx(0.001)
    assert step(0.030, 0.0) == 0.0
    assert step(0.040, 0.025) == pytest.approx(0.025)
    assert step(0.001, 0.001) == pytest.approx(0.001)
    assert step(0.500, 0.021) == pytest.approx(0.021)
