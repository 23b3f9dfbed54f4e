"""The end of a worker: with the status of what it ran, what it wrote, and without freeing its memory."""

import subprocess
import sys

import pytest

COMMAND = """
import sys
from gateway.commands.running import end_process_after

class Freed:
    def __del__(self):
        print("freed")

kept = Freed()

def command():
    print("written")
    {end}

end_process_after(command)
"""


@pytest.mark.parametrize(
    ("end", "status"), [("pass", 0), ("sys.exit(0)", 0), ("sys.exit(3)", 3), ("sys.exit(None)", 0)]
)
def test_a_process_ends_with_its_status_and_output_and_frees_nothing(end: str, status: int) -> None:
    """So that the end of a process with much memory takes no longer than that of another one."""
    done = subprocess.run([sys.executable, "-c", COMMAND.format(end=end)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (status, "written\n", "")


@pytest.mark.parametrize(
    ("end", "said"),
    [('sys.exit("a reason")', "a reason\n"), ('raise ValueError("wrong")', "ValueError: wrong\n")],
)
def test_an_error_is_shown_as_usual(end: str, said: str) -> None:
    """The status is 1."""
    done = subprocess.run([sys.executable, "-c", COMMAND.format(end=end)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith(said)
