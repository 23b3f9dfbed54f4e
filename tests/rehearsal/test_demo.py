"""`demo` sets everything up, replays an election, and leaves nothing behind."""

import io
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.config import Config
from gateway.rehearsal.demo import Board
from gateway.rehearsal.generator import write_election
from gateway.terminal import Terminal
from tests.counts import variants
from tests.fork_server import Command

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny election, with errors of which each is held."""
    directory = tmp_path_factory.mktemp("election")
    write_election(directory, 10, 0.02, errors=True)
    return directory


@pytest.fixture(scope="module", autouse=True)
def _default_ports_taken() -> Iterator[None]:
    """Take the default ports, so that the kernel chooses the ports of a demo and no other process can take them first.

    They are bound without SO_REUSEADDR and do not listen: no other socket can be bound to them, and a connection to
    them is refused as if they were free.
    """
    defaults = Config()
    with ExitStack() as sockets:
        for port in (defaults.push_port, defaults.feed_port, defaults.admin_port or 0):
            taken = sockets.enter_context(socket.socket())
            with suppress(OSError):  # another process has it
                taken.bind(("127.0.0.1", port))
        yield


def test_the_board_shows_no_figures_before_the_release() -> None:
    """They are hidden, not zeros."""
    console = Terminal(file=io.StringIO(), width=120)
    board = Board(console, 10, "An election")
    area = {
        "area": "no",
        "parent": None,
        "name": "Norge",
        "units": {"total": 20, "reported": 0},
        "counts": {},
    }
    board.on_block(*a_block({"no": {**area, "published_at": None}}))
    for left_s, expected, excluded in (
        (60.0, "20 units hidden until", "0 ballots"),
        (-1.0, "0 of 20 units", "hidden"),
    ):
        board.set_publish_at(datetime.now(UTC) + timedelta(seconds=left_s))
        with console.capture() as captured:
            console.print(board)
        assert expected in captured.get()
        assert excluded not in captured.get()


def a_block(areas: dict[str, Any]) -> tuple[Any, Any]:
    """Return a subscriber whose copy is these areas, and the block that they arrived in."""
    return SimpleNamespace(copy=areas), SimpleNamespace(areas=areas)


@pytest.fixture
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo may put its temporary files; a short path, for sockets."""
    return tmp_path_factory.mktemp("s")


def _start(data: Path, scratch: Path, seconds: float, *, usual_start: bool = False) -> Command:
    return Command(
        *("demo", "--data", data, "--seconds", seconds),
        environ={**os.environ, "TMPDIR": str(scratch)},
        usual_start=usual_start,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _interrupt_again(demo: Command, times: int) -> None:
    """Press Ctrl-C again, in different phases of the clean-up: workers, Postgres, files."""
    for _ in range(times):
        with suppress(ProcessLookupError):
            os.killpg(demo.pid, signal.SIGINT)
        time.sleep(0.02)


def _left_behind(scratch: Path) -> list[str]:
    """Return files below the scratch directory, and processes that name it."""
    processes = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if str(scratch) in command:
                processes.append(command)
    return [*(str(path) for path in scratch.iterdir()), *processes]


def test_the_demo_ends_with_the_official_totals_and_leaves_nothing(data: Path, scratch: Path) -> None:
    """One command sets up, replays, verifies and cleans up."""
    demo = _start(data, scratch, 6, usual_start=True)
    output, _ = demo.communicate(timeout=90)
    assert demo.returncode == 0, output
    assert "areas, all equal to the official totals" in output
    assert re.search(r"^Held +\S+ .*advance ballots equal those of .*, party by party$", output, re.MULTILINE)
    assert re.search(r"^Rejected +.*\(duplicate\): it is never public$", output, re.MULTILINE)
    assert re.search(r"^Corrected +.*the sender's revision 3 is accepted$", output, re.MULTILINE)
    assert re.search(r"^Released .* and .*\(moved\): ", output, re.MULTILINE)
    assert re.search(r"^held +5, released 2, never public 3$", output, re.MULTILINE)
    assert "judge          no guarantee was broken" in output
    assert re.search(
        r"^record +verified: [\d ]+ entries, root [A-Za-z0-9+/]{43}=, witnesses 1 of 1$", output, re.MULTILINE
    )
    assert "/verify?election=" in output
    addresses = re.search(
        r"http://127\.0\.0\.1:(\d+)/\?election=\S+  the results\n.*/transfers\?election=", output
    )
    assert addresses is not None
    assert addresses.start() < output.index("curl -N") < output.index("/seats?format=csv'")
    assert int(addresses[1]) != Config().feed_port, "the port that it really has: the default one is in use"
    assert _left_behind(scratch) == []


@pytest.mark.parametrize(
    ("word", "again"), variants([("While it runs, try", 0), (" units", 0), (" units", 9)], (" units", 9))
)
def test_ctrl_c_ends_the_demo_cleanly_at_any_moment(data: Path, scratch: Path, word: str, again: int) -> None:
    """Interrupted at its start, during the replay, or repeatedly, it reports that and leaves nothing behind."""
    demo = _start(data, scratch, 60)
    assert demo.stdout is not None
    printed = []
    for line in demo.stdout:
        printed.append(line)
        if word in line:
            break
    os.killpg(demo.pid, signal.SIGINT)
    if again:
        assert "Interrupted" in demo.stdout.readline()
    _interrupt_again(demo, again)
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, "".join(printed) + output
    assert "Traceback" not in output
    assert _left_behind(scratch) == []


@pytest.mark.parametrize("again", variants([0, 9], 0))
def test_ctrl_c_during_the_set_up_leaves_nothing(data: Path, scratch: Path, again: int) -> None:
    """Even while Postgres is being made, and however often it is pressed."""
    demo = _start(data, scratch, 60)
    while not any(scratch.rglob("cluster*")):
        assert demo.poll() is None
        time.sleep(0.002)
    os.killpg(demo.pid, signal.SIGINT)
    _interrupt_again(demo, again)
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, output
    assert "Traceback" not in output
    assert _left_behind(scratch) == []
