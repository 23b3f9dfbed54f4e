"""Run `python -m bench` in a separate process."""

import subprocess
import sys

LIMIT_S = 150


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command line and return its status and output."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
