"""The environment of a measurement: processor, Python, Postgres and its settings, and the speed of disk flushes."""

import os
import platform
import re
import subprocess
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from bench.load.local import Local
from gateway import __version__
from gateway.journal.postgres_programs import find_binaries

FSYNC_TEST_S = 1


def environment(local: Local | None) -> dict[str, Any]:
    """Return what is needed to compare figures; facts about Postgres only if it is our own."""
    found: dict[str, Any] = {
        "valgnatt": __version__,
        "machine": machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
    }
    if local is not None:
        found |= {"postgres": local.postgres_settings, "pg_test_fsync": pg_test_fsync()}
    return found


@cache
def pg_test_fsync() -> str:
    """Return how fast `pg_test_fsync` finds that 8 kB are flushed by fdatasync; takes a second."""
    tool = find_binaries(None) / "pg_test_fsync"
    if not tool.exists():
        return "pg_test_fsync is not installed"
    with tempfile.TemporaryDirectory() as directory:
        command = [str(tool), "-s", str(FSYNC_TEST_S), "-f", str(Path(directory) / "probe")]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    match = re.search(r"fdatasync\s+([\d.]+) ops/sec\s+([\d.]+) usecs/op", line)
                    if match:
                        return f"fdatasync of 8 kB: {match[1]} ops/s, {match[2]} µs each"
            finally:
                process.kill()  # it would go on to other ways of flushing, which we do not use
    return "pg_test_fsync reported nothing"


def machine() -> str:
    """Return a line about this machine: cores, processor, Python version and date."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        "?",
    )
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    return f"{os.cpu_count()} cores ({model}), CPython {platform.python_version()}, {when}"


def _lines(path: str) -> list[str]:
    try:
        with open(path) as file:
            return file.read().splitlines()
    except OSError:
        return []
