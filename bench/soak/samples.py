"""Samples of a soak: what was measured at one time, stored one per line, so that a run that is cut off has them too."""

from collections.abc import Iterator
from pathlib import Path

import msgspec


class Sample(msgspec.Struct):
    """Everything that was measured at one time."""

    at: float
    """Seconds since the start."""
    values: dict[str, float]
    """By `kind/name`, such as `rss/feed-1`."""
    started: dict[str, float] = {}
    """When each process started, in seconds since the start."""
    counts: dict[str, float] = {}
    """What the load has added so far: reports, elections, hours."""


class Notes(msgspec.Struct):
    """What happened when: the boundaries of the cycles, and marks; in seconds since the start."""

    boundaries: list[float] = []
    """Beginning of each cycle, and the end of the last one."""
    marks: list[tuple[float, str]] = []
    faults: list[str] = []
    """What was broken or lost, and errors in the log."""
    invalid: list[str] = []
    """Why figures are meaningless."""


class SampleFile:
    """A file that samples are appended to, and read from."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, sample: Sample) -> None:
        """Append a sample, and leave nothing in memory."""
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(sample) + b"\n")

    def __iter__(self) -> Iterator[Sample]:
        with self.path.open("rb") as file:
            for line in file:
                yield msgspec.json.decode(line, type=Sample)
