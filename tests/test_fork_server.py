"""A command that `tests.fork_server` forks does what one that is started as usual does."""

import os
from pathlib import Path

import pytest

from tests.fork_server import READ_LATE, ForkServer, run_command

UNKNOWN = {"VARIABLE_OF_NOTHING": "1"}
"""A variable with which a command is started as usual."""
STATUS = ("status", "--feed-url", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("--help",), 0), (STATUS, 1), (("election", "load", "none.json"), 1), (("x",), 2)],
)
def test_status_and_output_are_those_of_a_usual_start(
    arguments: tuple[str, ...], status: int, tmp_path: Path
) -> None:
    """With its variables and in its directory."""
    environ = {**os.environ, "COLUMNS": "60", "VALGNATT_DATA_DIR": "here"}
    forked = run_command(*arguments, environ=environ, cwd=tmp_path)
    assert forked == run_command(*arguments, environ=environ | UNKNOWN, cwd=tmp_path)
    assert forked.status == status


def test_only_variables_that_a_command_itself_reads_may_differ() -> None:
    """Not those of the start of Python, of the locale, or of what imports read."""
    server = ForkServer()
    assert server.can_start({**os.environ, **dict.fromkeys([*READ_LATE, "https_proxy"], "1")})
    for name in ("PYTHONIOENCODING", "LC_ALL", "SSL_CERT_FILE", *UNKNOWN):
        assert not server.can_start({**os.environ, name: "ascii"}), name
    assert not server.can_start({name: value for name, value in os.environ.items() if name != "PATH"})
