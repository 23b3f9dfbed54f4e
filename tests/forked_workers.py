"""Workers of a supervisor that `tests.fork_server` forked, which start in a tenth of the CPU time as well.

Such a supervisor has one more child: a process that has imported what workers import and forks once per worker. For a
supervisor in the process of the tests, the fork server itself forks (`forking`). What runs is the same as in a process
of its own: `gateway.worker.main` with its arguments, variables, standard streams and control line, in a session of its
own, up to the exit of the interpreter. The worker is a child of the supervisor, which sees every end of it.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from gateway import worker
from gateway.machine.supervisor import WORKER_COMMAND
from tests import fork_server
from tests.quick_exit import run_and_exit

KEPT = {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}
"""Signals that cannot be set, and those that Python ignores from its start."""


class ForkedProcess:
    """What the supervisor uses of `asyncio.subprocess.Process`, for a child that was forked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = loop.create_future()
        watched = os.pidfd_open(pid)
        loop.add_reader(watched, self._reap, watched)

    def _reap(self, watched: int) -> None:
        asyncio.get_running_loop().remove_reader(watched)
        os.close(watched)
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        self._ended.set_result(self.returncode)

    async def wait(self) -> int:
        """Wait for its end and return the status."""
        return await asyncio.shield(self._ended)

    def kill(self) -> None:
        """Kill it; raises ProcessLookupError after its end."""
        if self.returncode is not None:
            raise ProcessLookupError
        os.kill(self.pid, signal.SIGKILL)


def fork_workers() -> None:
    """Make `asyncio.create_subprocess_exec` of this process fork each worker from a child; they never return from here.

    This process must have one thread, and no event loop yet.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        run_worker(*fork_server.serve_forks(theirs))
    theirs.close()
    asyncio.create_subprocess_exec = forking(partial(fork_server.request_fork, ours))


def forking(fork: Callable[[dict[str, Any], tuple[int, ...]], int]) -> Any:
    """Return an `asyncio.create_subprocess_exec` whose workers are forked by a function that returns their pid."""
    usual, nothing = asyncio.create_subprocess_exec, os.open(os.devnull, os.O_RDONLY)

    async def create(*command: Any, **options: Any) -> Any:
        if command[: len(WORKER_COMMAND)] != WORKER_COMMAND:
            return await usual(*command, **options)
        wanted = {
            "command": [*command[:-1]],
            "environ": dict(os.environ if options["env"] is None else options["env"]),
            "cwd": os.getcwd(),
            "session": options["start_new_session"],
        }
        (line,) = options["pass_fds"]
        return ForkedProcess(fork(wanted, (nothing, options["stdout"], 2, line)))

    return create


def run_worker(wanted: dict[str, Any], streams: list[int]) -> NoReturn:
    """Become a worker, run it and exit. Like a new process of uvloop, it ignores no signal that this one ignores."""
    for number in signal.valid_signals() - KEPT:
        signal.signal(number, signal.SIG_DFL)
    fork_server.become(wanted, streams[:3])
    sys.argv = [str(worker.__file__), wanted["command"][3], str(streams[3])]
    run_and_exit(worker.main)
    sys.exit()
