"""What may be changed of the measurements: small in a test, whole where figures are published."""

from pathlib import Path

import msgspec


class Options(msgspec.Struct, frozen=True):
    """Sizes and durations; the defaults are those of the published figures."""

    data: Path | None = None
    out: Path = Path("bench-results")
    readers: tuple[int, ...] = ()
    """Crowds, each larger than the one before; none: those that each measurement is about."""
    seconds: float = 6.0
    """How long a load lasts that is bounded by time."""
    publications: int = 100_000
    """Of the election that a feed process starts with."""
    scales: tuple[float, ...] = (1.0, 10.0)
    """Sizes of the elections that show how cost grows, in times Norway's."""
    reports: int = 20_000
    """Of a turn of peers that is bounded by their number."""


def long_one(options: Options) -> Options:
    """Return options with a still larger election, which takes minutes, and some 7 GB."""
    return msgspec.structs.replace(options, scales=(*options.scales, 100.0))
