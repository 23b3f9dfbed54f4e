"""How tests are distributed to parallel workers (pytest-xdist).

A module runs on one worker, since its tests share fixtures. Of the modules listed here each test is assigned on its
own: they take long and share nothing that is slow to start. Workers get tests in the order of collection, and
`tests/conftest.py` puts long ones first.
"""

from xdist.scheduler import LoadScopeScheduling

INDEPENDENT = (
    "tests/bench/test_measure.py",
    "tests/bench/test_play.py",
    "tests/faults/test_network.py",
    "tests/faults/test_postgres.py",
    "tests/faults/test_processes.py",
    "tests/faults/test_replica.py",
    "tests/faults/test_restore.py",
    "tests/machine/test_supervisor.py",
    "tests/night/test_whole_night.py",
    "tests/simulation/test_mutants.py",
    "tests/simulation/test_seeds.py",
    "tests/test_terminal.py",
)


class Scheduling(LoadScopeScheduling):
    """Assign whole modules, and the tests of independent modules one by one."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return nodeid if module in INDEPENDENT else module
