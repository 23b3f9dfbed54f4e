"""Options of the measurements: small values for tests, the defaults for published figures."""

from pathlib import Path

import msgspec


class Options(msgspec.Struct, frozen=True):
    """Sizes and durations; the defaults are those of the published figures."""

    data: Path | None = None
    out: Path = Path("bench-results")
    readers: tuple[int, ...] = ()
    """Numbers of readers in ascending order; empty: those of each measurement."""
    seconds: float = 6.0
    """Duration of a load that is limited by time."""
    publications: int = 100_000
    """Publications of the election that a feed process starts with."""
    scales: tuple[float, ...] = (1.0, 10.0)
    """Sizes of the elections that show how costs grow, as multiples of Norway's."""
    copies: int = 100
    """Size of the largest election whose statements are executed alone, as a multiple of the smallest of `scales`."""
    reports: int = 20_000
    """Reports of a round of peers that is limited by their number."""
    receipts: int = 5_000
    """Reports of a round of peers in which each is sent when it is due; all rounds should have 10 000."""
    rounds: int = 3
    """Rounds of each side of a comparison."""
    goals_only: bool = False
    """Leave out what no goal needs."""


def with_largest(options: Options) -> Options:
    """Return options with an election of 100 times the size too, which takes minutes and some 7 GB of memory."""
    return msgspec.structs.replace(options, scales=(*options.scales, 100.0))
