"""Processes: started by a command, waited for until they answer, observed through /proc, and ended by their id."""

import asyncio
import os
import shutil
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bench.figures import Unavailable

START_S = 20.0
END_S = 5.0
TICKS = os.sysconf("SC_CLK_TCK")


def program(name: str, how: str) -> str:
    """Return the path of a program: beside this Python, in PATH or in /usr/sbin. Raises Unavailable."""
    beside = Path(sys.executable).parent
    path = shutil.which(name, path=f"{beside}:{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if path is None:
        raise Unavailable(name, "not found in PATH", how)
    return path


@asynccontextmanager
async def running(
    name: str, command: Sequence[str], port: int, log: Path, *, variables: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """Run a server until the block ends; start the block when its port accepts connections.

    Raises Unavailable, with the last lines of its log, if the server does not start.
    """
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=output, stderr=output, env={**os.environ, **(variables or {})}
        )
    try:
        ends = time.monotonic() + START_S
        while not _listens(port):
            if process.returncode is not None or time.monotonic() > ends:
                raise Unavailable(name, f"did not start: {_last_lines(log)}", f"see {log}")
            await asyncio.sleep(0.05)
        yield process
    finally:
        await end(process)


def _last_lines(log: Path) -> str:
    return " / ".join(log.read_text(errors="replace").strip().splitlines()[-3:]) or "it logged nothing"


async def end(process: Process, within_s: float = END_S) -> None:
    """Terminate a process; kill it if it has not ended after `within_s` seconds."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), within_s)
        except TimeoutError:
            process.kill()
            await process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and its descendants, those that have ended included; 0.0 if it has ended."""
    fields = _stat(pid)
    if fields is None:
        return 0.0
    user, system, waited_user, waited_system = map(int, fields[11:15])
    own = (user + system + waited_user + waited_system) / TICKS
    return own + sum(map(cpu_s, children(pid)))


def started_at(pid: int) -> float:
    """Return when a process started, in seconds since this machine was booted; 0.0 if it has ended."""
    fields = _stat(pid)
    return int(fields[19]) / TICKS if fields is not None else 0.0


def children(pid: int) -> list[int]:
    """Return the child processes that are running."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, path.read_text().split())
        except OSError:
            pass  # the thread has ended
    return found


def family(pid: int) -> list[int]:
    """Return a process and all its descendants, parents first."""
    return [pid, *(each for child in children(pid) for each in family(child))]


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat after the name of the command; None if the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def resident_kb(pid: int) -> int:
    """Return the resident memory of a process; 0 if it has ended."""
    return _size_kb(Path(f"/proc/{pid}/status"), "VmRSS:")


def pss_kb(pid: int) -> int:
    """Return the proportional set size of a process; 0 if it has ended.

    Raises PermissionError: only root may read that of the gateway's processes.
    """
    try:
        return _size_kb(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")
    except PermissionError as error:
        raise PermissionError(
            f"only root may measure the memory of process {pid}: run this as root"
        ) from error


def _size_kb(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except PermissionError:
        raise
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def socket_memory_kb() -> int:
    """Return the kernel memory of all TCP sockets of this machine."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        kind, _, rest = line.partition(":")
        if kind == "TCP":
            words = rest.split()
            return int(words[words.index("mem") + 1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return 0


def kernel_socket_kb() -> int:
    """Return the kernel memory of sockets as far as it is published: their buffers, and all slabs."""
    return socket_memory_kb() + _size_kb(Path("/proc/meminfo"), "Slab:")
