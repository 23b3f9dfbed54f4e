"""Commands as a person starts them: `python -m gateway …` in a process of its own, with a terminal's signals."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.fork_server import Command


@contextmanager
def running_command(
    *arguments: object, environ: Mapping[str, str], **streams: int
) -> Iterator[subprocess.Popen[str]]:
    """Start a command; its output is text in pipes, unless other streams are given.

    It is killed at the end of the block if it still runs.
    """
    with Command(*arguments, environ=environ, **streams) as process:
        try:
            yield process
        finally:
            process.kill()
