"""The nights of a fixed list of seeds break no guarantee. `make long` runs more of them.

Any other number is run by hand: `python -m tests.simulation --seeds 1..10000 --jobs 2`.
"""

from pathlib import Path

import pytest

from tests.counts import count
from tests.measured import add
from tests.simulation.drawing import draw
from tests.simulation.plan import encode
from tests.simulation.report import explain, made_smaller
from tests.simulation.run import run

LISTED = 400
"""The seeds 1 to this one are the fixed list."""
SEEDS = count(LISTED, full=4000)
PART = 25
"""Seeds in one test."""
TRIES = 60
"""Runs with which a failing plan is shrunk here; `python -m tests.simulation` takes more."""


@pytest.mark.parametrize("first", range(1, SEEDS + 1, PART))
def test_no_seed_breaks_a_guarantee(first: int, tmp_path: Path) -> None:
    """A seed that fails is shown with a smaller plan and the command that runs it again."""
    for seed in range(first, first + PART):
        plan = draw(seed)
        result = run(plan)
        add(
            "simulation",
            nights=1,
            steps=result.steps,
            chosen_among_several=result.choices,
            reports=result.reports,
            virtual_minutes=result.virtual_s / 60,
            cpu_s=result.cpu_s,
        )
        if result.broken:
            plan, result = made_smaller(plan, result, tries_max=TRIES)
            path = tmp_path / f"seed-{seed}.json"
            path.write_bytes(encode(plan))
            pytest.fail(f"seed {seed}: {explain(plan, result, path)}", pytrace=False)
