"""Run `python -m bench` in a separate process."""

import os
import subprocess

from tests.fork_server import Command

LIMIT_S = 150


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command line and return its status and output."""
    with Command(*arguments, module="bench", environ=os.environ) as process:
        try:
            out, err = process.communicate(timeout=LIMIT_S)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)
