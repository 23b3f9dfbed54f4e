"""Where tests keep their files: in memory if it can hold them, since they copy clusters and make databases so often."""

import os
from pathlib import Path

MEMORY = Path("/dev/shm")
NEEDED = 6 << 30
"""Bytes that have to be free there, for the databases of all workers."""


def directory_in_memory() -> Path | None:
    """Return a directory whose files are in memory; None if it is small, forbids programs, or does not exist."""
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return None
    usable = found.f_bavail * found.f_frsize >= NEEDED and not found.f_flag & os.ST_NOEXEC
    return MEMORY if usable and _available() >= NEEDED and os.access(MEMORY, os.W_OK) else None


def _available() -> int:
    """Return the bytes of memory that are available. Source: proc(5), `/proc/meminfo`."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) << 10
    return 0
