"""The state of one election as a mirror has read it from the stream. PURE.

Areas are kept as the bytes of their documents, which are written to files unchanged.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple


class ShownArea(NamedTuple):
    """An area as the stream last sent it."""

    raw: bytes
    """Its document: JSON in one line, without a line feed."""
    sequence: int
    """Sequence of the last publication at or below it; 0 before there is one."""


class View(NamedTuple):
    """The state at one sequence. Never changes, so that it can be used across waits."""

    sequence: int
    chain: str
    """Chain value of the record at the sequence, in hexadecimal."""
    cursor: str
    published_at: datetime | None
    """When the sequence was published; None before there is anything."""
    holds: int
    """Lines of the list of holds."""
    areas: Mapping[str, ShownArea]
    """All areas of the registry by identifier, in its order."""
