"""Changes of the files in a directory, as Linux reports them (inotify). On other systems there are none.

Only changes that processes on this machine make are reported, so none that another client of a network file system
makes. Source: inotify(7).
"""

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Self

_MODIFY, _ATTRIB, _CLOSE_WRITE, _MOVED_TO, _CREATE = 0x2, 0x4, 0x8, 0x80, 0x100
_UNMOUNT, _QUEUE_OVERFLOW, _IGNORED = 0x2000, 0x4000, 0x8000
_ONLY_DIRECTORIES = 0x0100_0000
_HEAD = struct.Struct("iIII")
_READ_BYTES = 64 << 10
_READS_MAX = 256
"""Reads of _READ_BYTES at once; the kernel keeps 16 384 changes by default, and what is left is read the next time."""


class Change(Enum):
    """What happened to a file."""

    CREATED = "created"
    MODIFIED = "modified"
    CLOSED = "closed"
    """Its last writer with this opened file closed it."""
    ATTRIBUTES = "attributes"
    """Its owner, mode or times were changed."""
    RENAMED = "renamed"
    """It was moved into the directory, or got this name."""
    LOST = "lost"
    """The kernel lost changes, of any file."""


class DirectoryChanges:
    """The changes of the files in one directory since it was opened."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.has_ended = False
        """Whether the directory was deleted or its file system unmounted."""

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """Begin to record changes; None where the system cannot. Raises OSError if the directory cannot be read."""
        if not sys.platform.startswith("linux"):
            return None
        libc = ctypes.CDLL(None, use_errno=True)
        fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if fd < 0:
            return None  # the user has no instance left
        mask = _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_TO | _CREATE | _ONLY_DIRECTORIES
        if libc.inotify_add_watch(fd, os.fsencode(path), mask) >= 0:
            return cls(fd)
        number = ctypes.get_errno()
        os.close(fd)
        if number in (errno.ENOSPC, errno.ENOMEM, errno.ENOSYS):
            return None
        raise OSError(number, os.strerror(number), str(path))

    def close(self) -> None:
        """Stop recording."""
        os.close(self._fd)

    def read(self) -> list[tuple[str, Change]]:
        """Return the names of changed files and what happened to each, in order, without waiting."""
        found: list[tuple[str, Change]] = []
        for _ in range(_READS_MAX):
            try:
                content = os.read(self._fd, _READ_BYTES)
            except BlockingIOError:
                break
            found += self._parsed(content)
        return found

    def _parsed(self, content: bytes) -> Iterator[tuple[str, Change]]:
        at = 0
        while at < len(content):
            _, mask, _, length = _HEAD.unpack_from(content, at)
            at += _HEAD.size + length
            name = os.fsdecode(content[at - length : at].rstrip(b"\0"))
            self.has_ended |= bool(mask & (_IGNORED | _UNMOUNT))
            if (change := _change(mask)) is not None and (name or change is Change.LOST):
                yield name, change


def _change(mask: int) -> Change | None:
    if mask & (_QUEUE_OVERFLOW | _IGNORED | _UNMOUNT):
        return Change.LOST
    for bit, change in (
        (_MODIFY, Change.MODIFIED),
        (_CLOSE_WRITE, Change.CLOSED),
        (_MOVED_TO, Change.RENAMED),
        (_CREATE, Change.CREATED),
        (_ATTRIB, Change.ATTRIBUTES),
    ):
        if mask & bit:
            return change
    return None
