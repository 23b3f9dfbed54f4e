"""The messages between the push door and the process that reads a file for it (`count_reader`), and its limits.

    door                                          reader
    Task                                     ─►
                                             ◄─   Wanted: units whose current reports are needed; or Done, Failed
    current reports by unit                  ─►
                                             ◄─   Done, with the preview or mistakes; or Failed

It is a module of its own so that a push process does not load all the code that reads files.
"""

import struct
from datetime import datetime

import msgspec

CPU_S = 10
"""Seconds of computing for one file."""
MEMORY_MAX = 512 << 20
"""Bytes of address space."""
LENGTH = struct.Struct("!I")
"""The length that precedes each message."""


class Task(msgspec.Struct, frozen=True):
    """A file to read, for the units of a token."""

    extension: str
    content: bytes
    registry: bytes
    areas: frozenset[str]
    now: datetime


class Wanted(msgspec.Struct, frozen=True, tag=True):
    """The units whose current reports are needed."""

    units: list[str]


class Done(msgspec.Struct, frozen=True, tag=True):
    """The last reply: a preview or mistakes, as JSON, and the seconds of computing used."""

    document: bytes
    valid: bool
    cpu_s: float


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The last reply: the file needs too much memory, or the reader failed, in these lines of its code."""

    too_large: bool
    trace: list[str]


Reply = Wanted | Done | Failed
Current = dict[str, tuple[bytes, bytes | None]]
"""The newest and the current report by unit; None for the current one of a unit that has none."""
