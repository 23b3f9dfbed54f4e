"""One row a measurement: what, how much, the ceiling beside it, the target."""

import os
import platform
from datetime import UTC, datetime

import msgspec


class Row(msgspec.Struct, frozen=True):
    what: str
    measured: str
    target: str = ""
    ceiling: str = ""


def markdown(rows: list[Row]) -> str:
    lines = ["| what | measured | target | ceiling in the same run |", "| --- | --- | --- | --- |"]
    lines += [f"| {row.what} | {row.measured} | {row.target} | {row.ceiling} |" for row in rows]
    return "\n".join(lines)


def machine() -> str:
    """Say on what was measured."""
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
