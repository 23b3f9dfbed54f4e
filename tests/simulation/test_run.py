"""A run of a plan replays to the same digest, and each kind of fault can happen."""

import os
import subprocess
import sys

import msgspec
import pytest
import structlog

from gateway.client.publisher import Answer
from gateway.telemetry import logs
from tests.simulation.drawing import KINDS, draw
from tests.simulation.faults import Faults
from tests.simulation.plan import Plan
from tests.simulation.run import Night, run

AGAIN = """
import sys
from tests.simulation.drawing import draw
from tests.simulation.run import run
print(*(run(draw(int(seed))).digest for seed in sys.argv[1:]))
"""


def _digests(hash_seed: str, *seeds: int) -> list[str]:
    """Return the digests of runs in a fresh interpreter."""
    found = subprocess.run(
        [sys.executable, "-c", AGAIN, *map(str, seeds)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.split()


def test_a_seed_replays_to_the_last_step_whatever_ran_before_and_whatever_the_hash_seed() -> None:
    """The digest covers every step and everything that was sent."""
    first = _digests("1", 5, 21, 49)
    assert _digests("2", 49, 5, 21) == [first[2], first[0], first[1]]
    assert run(draw(21)).digest == first[1]


def test_a_run_is_the_same_in_a_process_that_logs() -> None:
    """All that a simulated process logs is part of its run, whatever level this process shows."""
    before = structlog.get_config()
    plan = draw(21)
    expected = run(plan).digest
    logs.configure("push-0", format="json", level="error")
    try:
        assert run(plan).digest == expected
    finally:
        structlog.configure(**before)


def test_another_seed_is_another_order_of_the_same_plan() -> None:
    """The plan stays, and nothing is broken."""
    plan = draw(5)
    results = [run(msgspec.structs.replace(plan, seed=seed)) for seed in (5, 6)]
    assert results[0].digest != results[1].digest
    assert [result.broken for result in results] == [(), ()]


def test_the_step_of_a_wrong_answer_is_found() -> None:
    """An answer is shown at its step, also if only the verdict on answers tells that it is wrong."""

    def prepare(night: Night) -> None:
        sender = night.senders[0]
        record = sender._record

        def refuse(index: int, answer: Answer) -> None:
            record(index, msgspec.structs.replace(answer, outcome="refused", code="election_closed"))

        sender._record = refuse  # type: ignore[method-assign]

    result = run(draw(3), prepare=prepare)
    assert "a refusal has its reason" in {each.guarantee for each in result.broken}
    assert result.failed_at is not None
    assert 0 < result.failed_at < result.steps


def test_every_kind_of_fault_can_happen() -> None:
    """Each kind that is drawn is one that a run knows."""
    assert all(hasattr(Faults, f"_{kind}") for kind in KINDS)


@pytest.mark.parametrize("seed", [3])
def test_events_and_steps_of_a_run_are_traced(seed: int) -> None:
    """Every step within the range is shown, and every event."""
    lines: list[str] = []
    plan: Plan = draw(seed)
    result = run(plan, trace=lines.append, steps=(100, 199))
    steps = [line for line in lines if "  step " in line]
    assert result.digest == run(plan).digest
    assert len(steps) >= 100
    assert any(": fault kind=" in line for line in lines)
