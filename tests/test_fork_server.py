"""A command that `tests.fork_server` forks does what one that is started as usual does, and so does a worker."""

import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import Database
from tests.counts import variants
from tests.fork_server import READ_LATE, ForkServer, run_command
from tests.running import Gateway, running

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


async def worker_of(gateway: Gateway, name: str, *, other_than: int = 0) -> int:
    """Return the pid of a worker as soon as it is ready."""
    async with aiohttp.ClientSession() as http:
        while True:
            async with http.get(f"{gateway.admin_url}/health/ready") as response:
                worker: dict[str, Any] = (await response.json())["workers"][name]
            if worker["state"] == "ready" and worker["pid"] != other_than:
                return int(worker["pid"])


def looks(pid: int) -> dict[str, object]:
    """Return what the kernel says about a process."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    parent, group, session = map(int, fields.split()[1:4])
    streams = [os.readlink(f"/proc/{pid}/fd/{number}").partition(":")[0] for number in range(3)]
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    signals = {line for line in status if line.startswith(("SigBlk", "SigIgn", "SigCgt"))}
    return {
        "words": words[1:4],
        "parent": parent,
        "own": (group, session) == (pid, pid),
        "streams": streams,
        "signals": signals,
    }


@pytest.mark.parametrize("role", variants(["push", "feed"], "push"))
async def test_a_worker_looks_as_after_a_usual_start_and_is_replaced_after_any_end(
    database: Database, role: str
) -> None:
    """A child of the supervisor, in a session of its own, with the same streams and signals."""
    found = []
    for usual_start in (True, False):
        async with running(database, usual_start=usual_start, role=role) as gateway:
            pid = await worker_of(gateway, f"{role}-0")
            look = looks(pid)
            assert look.pop("parent") == gateway.pid
            found.append(look)
            os.kill(pid, signal.SIGKILL)
            await worker_of(gateway, f"{role}-0", other_than=pid)
            assert [
                "was ended by Killed (9)" in line for line in gateway.logged("worker ended unexpectedly")
            ] == [True]
    assert found[0] == found[1]
    assert found[0]["words"] == [b"-m", b"gateway.worker", f"{role}-0".encode()]
