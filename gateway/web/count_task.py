"""What the push door and the process that reads one of its files (`count_reader`) send each other, within which limits.

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
"""Precedes each message."""


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
    """The end: a preview as JSON, or mistakes as JSON, and the seconds of computing so far."""

    document: bytes
    valid: bool
    cpu_s: float


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The end: the file needs too much memory, or the reader has a fault, in these lines of its code."""

    too_large: bool
    trace: list[str]


Reply = Wanted | Done | Failed
Current = dict[str, bytes]
