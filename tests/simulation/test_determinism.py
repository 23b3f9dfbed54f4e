"""A seed gives the same run to the last step, in any interpreter."""

import os
import subprocess
import sys
from pathlib import Path

from tests.simulation.sample import run_sample

ROOT = Path(__file__).parents[2]
SEEDS = (1, 2, 3, 4)


def test_a_seed_gives_the_same_run_again() -> None:
    """Whatever ran before in this interpreter."""
    first = [run_sample(seed) for seed in SEEDS]
    again = [run_sample(seed) for seed in reversed(SEEDS)]
    assert first == again[::-1]


def test_different_seeds_give_different_runs() -> None:
    """The order and the times come from the seed."""
    assert len({run_sample(seed).digest for seed in SEEDS}) == len(SEEDS)


def test_a_seed_gives_the_same_run_in_other_interpreters() -> None:
    """Hashes of strings and addresses of objects differ in each; neither decides anything."""
    runs = [_run_elsewhere(hash_seed) for hash_seed in ("1", "2")]
    assert runs[0] == runs[1]
    assert runs[0] == "".join(f"{run_sample(seed)}\n" for seed in SEEDS)


def _run_elsewhere(hash_seed: str) -> str:
    code = f"from tests.simulation.sample import run_sample\nfor seed in {SEEDS}: print(run_sample(seed))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    ).stdout
