"""What a person may change of a comparison."""

from pathlib import Path

import msgspec


class Options(msgspec.Struct, frozen=True):
    """Sizes and durations; the defaults are those of the published figures."""

    rounds: int = 3
    """How often each side has its turn."""
    seconds: float = 4.0
    """How long a turn takes that is bounded by time."""
    reports: int = 40_000
    """Reports of a turn that is bounded by their number."""
    readers: int | None = None
    """Readers of each side; None: as many as each pair is about."""
    burst: int = 8
    """Frames a write, where several are."""
    rate: float = 200.0
    """Changes a second that readers follow."""
    feed: bool = False
    """Whether a feed process follows while reports are taken in."""
    data: Path | None = None
    out: Path = Path("bench-results")
    """Where results go, and what peers need to have installed."""
