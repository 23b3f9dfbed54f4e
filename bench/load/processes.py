"""Processes of peers: started by a command, waited for until they answer, watched, and ended by their id."""

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


def free_port() -> int:
    """Return a port of loopback that nobody had a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@asynccontextmanager
async def running(
    name: str, command: Sequence[str], port: int, log: Path, *, variables: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """Have a server run that listens on a port; its last words are in the error if it does not come up."""
    with log.open("wb") as words:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=words, stderr=words, env={**os.environ, **(variables or {})}
        )
    try:
        ends = time.monotonic() + START_S
        while not _listens(port):
            if process.returncode is not None or time.monotonic() > ends:
                raise Unavailable(name, f"did not start: {_last_words(log)}", f"see {log}")
            await asyncio.sleep(0.05)
        yield process
    finally:
        await end(process)


def _last_words(log: Path) -> str:
    return " / ".join(log.read_text(errors="replace").strip().splitlines()[-3:]) or "it said nothing"


async def end(process: Process) -> None:
    """End a process, politely at first."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), END_S)
        except TimeoutError:
            process.kill()
            await process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and of all those that descend from it, also of those that have ended."""
    own = _stat(pid)
    if own is None:
        return 0.0
    return (sum(own) / TICKS) + sum(cpu_s(child) for child in children(pid))


def children(pid: int) -> list[int]:
    """The processes that one has started and that still run."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, path.read_text().split())
        except OSError:
            pass  # the thread is gone
    return found


def _stat(pid: int) -> tuple[int, ...] | None:
    """User and system time of a process and of the children that it has waited for, in ticks."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return tuple(int(field) for field in fields[11:15])


def pss_kb(pid: int) -> int:
    """The memory of a process, what it shares counted in parts; 0 if it has ended.

    The gateway's processes show it to root alone. Raises PermissionError.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except PermissionError as error:
        raise PermissionError(
            f"only root may measure the memory of process {pid}: run this as root"
        ) from error
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def socket_memory_kb() -> int:
    """What the kernel holds for the TCP sockets of this machine."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        kind, _, rest = line.partition(":")
        if kind == "TCP":
            words = rest.split()
            return int(words[words.index("mem") + 1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return 0


def kernel_socket_kb() -> int:
    """What the kernel holds for sockets, as far as it tells: their buffers, and all its small objects."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    slab = next((int(line.split()[1]) for line in lines if line.startswith("Slab:")), 0)
    return socket_memory_kb() + slab
