"""Commands of `gateway` and `bench` that start in a tenth of the CPU time, most of which is otherwise spent on imports.

A process that has imported the commands forks once per command. What runs is the same as in a process of its own:
`main` of the module with these arguments, variables, directory and standard streams, up to the exit of the interpreter,
which frees no memory (`tests.quick_exit`).
The command is a child of the tests, with everything that `subprocess.Popen` offers. A command for which a variable is
set that may be read earlier than the command runs, at the start of Python or in an import, is started as usual. So are
commands in tests of that start (tests/test_streams.py) and of the output as documented (tests/test_first_hour.py).
Workers that a command starts are forked too (`tests.forked_workers`).
"""

import atexit
import ctypes
import gc
import importlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import bench.__main__
from gateway import cli
from gateway.telemetry.structlog_import import import_structlog
from tests.prepared_doors import prepare_doors
from tests.quick_exit import run_and_exit

ENDED_S = 60.0
REQUEST_BYTES_MAX = 1 << 17
ROOT = Path(__file__).parents[1]
IMPORTED = (
    "bench.measure.pairs",
    "bench.rehearse.run",
    "bench.rehearse.scenarios",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "encodings.idna",
    "gateway.count_files.table",
    "gateway.client.push_command",
    "gateway.client.rules_command",
    "gateway.client.status_command",
    "gateway.client.watch_command",
    "gateway.doctor.command",
    "gateway.journal.administration",
    "gateway.mirror.service",
    "gateway.rehearsal.rules_trial_report",
    "gateway.rehearsal.demo",
    "gateway.service",
    "gateway.signer.service",
    "gateway.verification.outbox_command",
    "gateway.verification.receipt_command",
    "gateway.verification.record_command",
    "gateway.witness.service",
    "tests.forked_workers",
    "uvloop",
)
"""What most commands and workers import."""
STARTING_WORKERS = ("demo", "measure", "run", "serve")
"""Commands that start workers."""
ROOM_FOR_COMMAND = 200
"""Bytes of arguments that a process of this server can show in the process list."""
READ_LATE = (
    "VALGNATT_",
    "AWS_",
    "PYTEST_",
    "XDG_",
    "COLUMNS",
    "LINES",
    "TERM",
    "HOME",
    "NO_COLOR",
    "TMPDIR",
    "TZ",
)
"""The beginnings of variables that are read only when a command runs; so are those of proxies."""
PR_SET_CHILD_SUBREAPER = 36


class Command(subprocess.Popen[Any]):
    """A command; by default it has an empty standard input, and its output is text in pipes.

    With `usual_start`, it is started as usual.
    """

    def __init__(
        self,
        *arguments: object,
        environ: Mapping[str, str],
        module: str = "gateway",
        usual_start: bool = False,
        **options: Any,
    ) -> None:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        self._usual_start = usual_start
        self._wanted = {
            "command": command,
            "environ": dict(environ),
            "cwd": str(options.get("cwd") or Path.cwd()),
            "session": options.get("start_new_session", False),
        }
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        super().__init__(
            command,
            env=environ,
            # Ctrl-C means something even where the tests run in the background of a shell that has it ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **{"stdin": subprocess.DEVNULL, **pipes, **options},
        )

    def _execute_child(self, *given: Any) -> None:
        """Start the command: the part of Popen between making pipes and reading them."""
        if self._usual_start or not _server.can_start(self._wanted["environ"]):
            super()._execute_child(*given)  # type: ignore[misc]
            return
        pipes = given[10:16]
        stdin, _, _, stdout, _, stderr = pipes
        try:
            self.pid = _server.start(self._wanted, (stdin, stdout, stderr))
            self._child_created = True
        finally:
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


def run_command(*arguments: object, environ: Mapping[str, str], **options: Any) -> Ended:
    """Run a command to its end; after ENDED_S it is killed, and TimeoutExpired raised."""
    with Command(*arguments, environ=environ, **options) as process:
        try:
            printed = process.communicate(timeout=ENDED_S)
        except BaseException:
            process.kill()
            raise
    return Ended(process.returncode, *printed)


class ForkServer:
    """The process that forks; it is started by the first command, and ends when this process does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._environ = dict(os.environ)

    def can_start(self, environ: Mapping[str, str]) -> bool:
        """Whether only variables differ that are read late."""
        differing = {name for name, _ in set(environ.items()) ^ set(self._environ.items())}
        return all(name.startswith(READ_LATE) or name.lower().endswith("_proxy") for name in differing)

    def start(self, wanted: Mapping[str, Any], streams: tuple[int, ...]) -> int:
        """Start a command and return its pid."""
        with self._lock:
            channel = self._channel = self._channel or self._started()
            return request_fork(channel, wanted, streams)

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            server = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server", str(theirs.fileno()), "-" * ROOM_FOR_COMMAND],
                env=self._environ,
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

        def end() -> None:
            ours.close()
            server.wait()

        atexit.register(end)
        return ours


_server = ForkServer()


def fork(wanted: Mapping[str, Any], streams: tuple[int, ...]) -> int:
    """Start a command, or the worker of a supervisor in this process, and return its pid."""
    return _server.start(wanted, streams)


def request_fork(channel: socket.socket, wanted: Mapping[str, Any], streams: tuple[int, ...]) -> int:
    """Have the process at the other end, a child of this one, fork; return the pid of what is now a child of this."""
    # A process whose parent has exited becomes a child of the nearest process with this attribute.
    _set_subreaper(True)
    try:
        socket.send_fds(channel, [json.dumps(wanted).encode()], streams)
        answer = channel.recv(64)
    finally:
        _set_subreaper(False)
    assert answer, "the fork server has ended"
    return int(answer)


def _set_subreaper(value: bool) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, int(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


# The server's side.


def _import_all() -> None:
    import_structlog()
    for name in IMPORTED:
        importlib.import_module(name)
    cli.app(["status", "--help"], prog_name="valgnatt", standalone_mode=False)  # imports parts of typer
    prepare_doors()
    assert tempfile.tempdir is None, "an import has chosen a directory for temporary files"
    gc.collect()
    gc.freeze()


def serve_forks(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork a process per request; return the request and its descriptors in each of these, and exit at the last."""
    while True:
        request, streams, _, _ = socket.recv_fds(channel, REQUEST_BYTES_MAX, 4)
        if not request:
            os._exit(0)
        reading, writing = os.pipe()
        between = os.fork()  # it exits, so that the command gets another parent
        if between == 0:
            child = os.fork()
            if child != 0:
                os.write(writing, str(child).encode())
                os._exit(0)
            for fd in (reading, writing):
                os.close(fd)
            channel.close()
            return json.loads(request), streams
        os.waitpid(between, 0)
        channel.send(os.read(reading, 64))
        for fd in (reading, writing, *streams):
            os.close(fd)


def become(wanted: dict[str, Any], streams: list[int]) -> None:
    """Set everything that a new process gets from the one that starts it."""
    show_command(wanted["command"])
    if wanted["session"]:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(wanted["environ"])
    time.tzset()
    os.chdir(wanted["cwd"])
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
        os.close(fd)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = _standard_stream(number, getattr(sys, name))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    _, _, module, *arguments = wanted["command"]
    sys.argv = [str(ROOT / module / "__main__.py"), *arguments]


def _standard_stream(number: int, former: Any) -> io.TextIOWrapper:
    """Open a standard stream as Python does at its start."""
    return io.TextIOWrapper(
        open(number, "wb" if number else "rb", closefd=False),
        encoding=former.encoding,
        errors=former.errors,
        newline="\n",
        line_buffering=number == 2 or os.isatty(number),
    )


def show_command(command: list[str]) -> None:
    """Show a command in the process list, as far as there is room. Source: proc(5), "/proc/pid/cmdline"."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = map(int, fields[45:47])
    shown = b"".join(os.fsencode(each) + b"\0" for each in command)
    ctypes.memmove(start, shown[: end - start - 1].ljust(end - start, b"\0"), end - start)


def main(channel: socket.socket) -> None:
    """Import everything, fork for each request, and in each process run its command."""
    _import_all()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wanted, streams = serve_forks(channel)
    from tests.forked_workers import fork_workers, run_worker

    module, command = (*wanted["command"], "")[2:4]
    if module == "gateway.worker":
        run_worker(wanted, streams)
    become(wanted, streams)
    if command in STARTING_WORKERS:
        fork_workers()
    run_and_exit({"gateway": cli.main, "bench": bench.__main__.main}[module])


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
