"""Commands as a person starts them: `python -m gateway …` in a process of its own, with a terminal's signals."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.fork_server import Command


@contextmanager
def running_command(
    *arguments: object, environ: Mapping[str, str], stdin: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    """Start a command; its output is text in pipes. It is killed at the end of the block if it still runs."""
    with Command(*arguments, environ=environ, stdin=stdin) as process:
        try:
            yield process
        finally:
            process.kill()
