"""Measure how long a process makes an honest request wait, in its own CPU time, so that other load does not count.

    python -m tests.attack.probe PID PORT

Requests `/health/live` on one connection until standard input ends; then prints the longest wait in seconds.
"""

import os
import select
import socket
import sys
from pathlib import Path

PAUSE_S = 0.003
ADDRESS = "127.0.0.200"
REQUEST = b"GET /health/live HTTP/1.1\r\nHost: door\r\n\r\n"


def cpu_s(pid: int) -> float:
    """Return the CPU time of all live threads of a process, in seconds."""
    spent_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            spent_ns += int((task / "schedstat").read_text().split()[0])
        except OSError:  # the thread has just ended
            continue
    return spent_ns / 1e9


def memory_bytes(pid: int) -> int:
    """Return the proportional set size of a process."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in rollup if line.startswith("Pss:"))


def main(pid: int, port: int) -> None:
    """Probe until standard input ends."""
    longest_s = 0.0
    probe = _connected(port)
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        before_s = cpu_s(pid)
        try:
            probe.sendall(REQUEST)
            if not probe.recv(4096):
                raise ConnectionError
        except OSError:
            probe.close()
            probe = _connected(port)
            continue
        longest_s = max(longest_s, cpu_s(pid) - before_s)
    os.write(1, f"{longest_s}\n".encode())


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30.0, source_address=(ADDRESS, 0))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
