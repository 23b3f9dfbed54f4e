"""Options of comparisons with peers."""

from pathlib import Path

import msgspec


class Options(msgspec.Struct, frozen=True):
    """Sizes and durations; the defaults are those of the published figures."""

    rounds: int = 3
    """Rounds of each side."""
    seconds: float = 4.0
    """Duration of a round that is limited by time."""
    reports: int = 40_000
    """Reports of a round that is limited by their number."""
    readers: int | None = None
    """Readers of each side; None: those of each pair."""
    burst: int = 8
    """Frames per write of the side that sends several."""
    rate: float = 200.0
    """Changes per second that readers follow."""
    receipts: int = 5_000
    """Reports of a round in which each is sent when it is due; all rounds should have 10 000."""
    goals_only: bool = False
    """Leave out what no goal needs."""
    feed: bool = False
    """Whether a feed process runs while reports are pushed."""
    data: Path | None = None
    out: Path = Path("bench-results")
    """Directory for the results, and for what has to be installed for peers."""
