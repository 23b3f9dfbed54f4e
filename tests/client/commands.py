"""Commands as a person starts them: `python -m gateway …` in a process of its own, with a terminal's signals."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def running_command(
    *arguments: object, environ: Mapping[str, str], stdin: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    """Start a command; its output is text in pipes. It is killed at the end of the block if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", *map(str, arguments)],
        env=environ,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Ctrl-C means something even where the tests run in the background of a shell that has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
