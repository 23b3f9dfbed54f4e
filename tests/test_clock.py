"""The machine's clocks and chance."""

import subprocess
import sys

FORK = """
import os
from gateway.clock import SYSTEM_CHANCE
child = os.fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
print(SYSTEM_CHANCE.getrandbits(64), flush=True)
"""


def test_a_forked_process_draws_other_numbers_than_its_parent() -> None:
    """Otherwise clients that were forked would return at the same moments."""
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    child, parent = done.stdout.split()
    assert parent != child
