"""The exit of a forked command without freeing its memory object by object.

That takes more CPU time than most commands, since freeing copies every page of memory that the process shares with the
one that forked it. In `make long` commands exit as usual.
"""

import atexit
import gc
import os
import sys
import threading
from collections.abc import Callable

from tests.counts import EXTENT


def run_and_exit(run: Callable[[], object]) -> None:
    """Run a command and exit with its status; an error, and whatever else needs the interpreter, is raised as usual."""
    status: object = 0
    try:
        run()
    except SystemExit as asked:
        status = asked.code
    if EXTENT == "full" or not isinstance(status, int | None):
        sys.exit(status)
    gc.collect()  # what was forgotten is reported: open files, tasks that were never awaited
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(status)  # the interpreter reports it
    os._exit((status or 0) & 0xFF)
