"""Whatever is interrupted, wherever it waits: nobody else is harmed, nothing is lost, nothing is kept."""

import pytest

from tests.counts import count
from tests.simulation.interrupted import CANCELLED, Await, awaits, census, describe, run_interrupted

SEEDS = range(1, 1 + count(3, full=12))
PART = count(12, full=1)
"""Of so many interruptions one is tried."""
LEAST = count(8, full=100)
"""Interruptions of a night that have to happen, so that the test tests something."""


@pytest.mark.parametrize("seed", SEEDS)
def test_an_interrupted_task_harms_nothing_else(seed: int) -> None:
    """Each await of each kind of task: cancelled there, or a timeout around it expired.

    Reports have their answers, readers their results, and the doors keep nothing of their clients.
    """
    happened, broken = 0, []
    for at in awaits(seed, part=PART):
        result = run_interrupted(seed, at)
        happened += result is not None
        if result is not None and result.broken:
            broken.append(describe(at, result))
    assert not broken, "\n".join(broken)
    assert happened >= LEAST


def test_the_kinds_of_tasks_that_are_cancelled_exist() -> None:
    """A task that is renamed would not be interrupted any more."""
    found = set[str]()
    for seed in (1, 2, 3):
        found |= census(seed)[0].keys()
    assert set(CANCELLED) <= found


def test_an_interruption_happens() -> None:
    """It is a different night."""
    assert run_interrupted(1, Await("sender-1 pushing", 2, "cancel")) is not None
    assert run_interrupted(1, Await("sender-1 pushing", 2_000, "cancel")) is None
