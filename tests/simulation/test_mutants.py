"""Each mutant is found at its seed, and with `make long` by the fixed list from its start."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.counts import full_only
from tests.simulation.mutants import MUTANTS, Mutant, MutantInvalid, apply
from tests.simulation.test_seeds import LISTED

DOCUMENT = Path(__file__).parents[2] / "docs" / "simulation.md"
NEAR = 8
"""Nights after that of its seed in which a mutant may be found too."""
FIND = """
import sys
from tests.simulation.mutants import apply, mutant
apply(mutant(sys.argv[1]))
from tests.simulation.__main__ import run_seed
for seed in range(int(sys.argv[2]), int(sys.argv[3]) + 1):
    if broken := {each.guarantee for each in run_seed(seed).broken}:
        print(seed, *sorted(broken), sep="\\n")
        break
"""


def _find(mutant: Mutant, first: int, last: int) -> tuple[int, list[str]]:
    """Run seeds with a mutant until one breaks a guarantee, in a fresh interpreter; return it and what it breaks."""
    found = subprocess.run(
        [sys.executable, "-c", FIND, mutant.name, str(first), str(last)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert lines, f"not found in seeds {first} to {last}"
    return int(lines[0]), lines[1:]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.name)
def test_a_mutant_is_found_at_its_seed(mutant: Mutant) -> None:
    """Or at one of the next few, since every change of the code is another order of its steps."""
    assert 1 <= mutant.seed <= LISTED
    _, broken = _find(mutant, mutant.seed, min(mutant.seed + NEAR, LISTED))
    assert broken


@full_only
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.name)
def test_a_mutant_is_found_by_the_fixed_list(mutant: Mutant) -> None:
    """By whoever does not know its seed."""
    _, broken = _find(mutant, 1, LISTED)
    assert broken


def test_a_mutant_whose_text_is_not_found_is_an_error() -> None:
    """Otherwise a change of the code would turn a mutant into none, without a word."""
    with pytest.raises(MutantInvalid, match="occurs 0 times"):
        Mutant("none", "gateway.journal.writer", "no such text", "", 1, "").source()
    with pytest.raises(MutantInvalid, match="is imported already"):
        apply(Mutant("late", "tests.simulation.mutants", "", "", 1, ""))


def test_the_table_of_mutants_is_that_of_the_document() -> None:
    """Name, module, what it breaks, and its seed."""
    rows = [f"| {each.name} | `{each.module}` | {each.guarantee} | {each.seed} |" for each in MUTANTS]
    assert "\n".join(rows) in DOCUMENT.read_text()
