"""A machine that tests can lose: a program with all of its descendants, also those whose parent has ended.

    python machine.py PROGRAM [ARGUMENT...]

Patroni leaves Postgres running when it is killed, and neither ends when the tests do. So this process adopts orphans
(PR_SET_CHILD_SUBREAPER, see prctl(2)), and outlives its program. SIGUSR1 starts the program again. SIGTERM and SIGINT
stop all descendants, so that none can react, kill them and end this process, as a power failure does. Started with
`setpriv --pdeathsig INT`, it does so when the tests end, however they end. Only for the Python of any environment:
imports nothing else.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
SIGNALS = {signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1}


def main(command: list[str]) -> None:
    """Run a program until a signal ends this process and all descendants."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    received = signal.SIGUSR1
    while received not in (signal.SIGINT, signal.SIGTERM):
        if received == signal.SIGUSR1:
            subprocess.Popen(command, preexec_fn=_unblock_signals)
        received = signal.sigwait(SIGNALS)
        _reap(os.WNOHANG)
    end_all()


def end_all() -> None:
    """Stop all descendants, kill them, and wait until they have ended."""
    stopped: set[int] = set()
    while found := set(descendants(os.getpid())) - stopped:
        _signal(found, signal.SIGSTOP)
        stopped |= found
    _signal(stopped, signal.SIGKILL)
    _reap(0)


def descendants(pid: int) -> Iterator[int]:
    """Return the pids of the children of a process, of their children, and so on. Source: proc(5), `children`."""
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from descendants(int(child))


def _signal(pids: set[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _reap(options: int) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


if __name__ == "__main__":
    main(sys.argv[1:])
