"""Read whole files that other programs write, without ever waiting for one."""

import errno
import os
import signal
import stat
from contextlib import suppress
from pathlib import Path

from gateway.client.completeness import Stamp
from gateway.count_files.files import FILE_MAX
from gateway.errors import GatewayError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    _HAS_LEASES = False
else:
    _HAS_LEASES = hasattr(fcntl, "F_SETLEASE")

_OPEN = os.O_RDONLY
for _flag in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC"):
    _OPEN |= getattr(os, _flag, 0)  # Windows has none of them, and no files that they are for
_TOO_LARGE = f"larger than {FILE_MAX >> 20} MiB; divide it into several files"


class UnreadableFile(GatewayError):
    """A file that cannot be read; the message says why, without its name."""

    code = "unreadable_file"


class StillOpen(GatewayError):
    """A file that a process has open for writing, or may have."""

    code = "still_open"


def stamp_of(state: os.stat_result) -> Stamp:
    """Return what distinguishes a file from others and from what it was before."""
    return state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def check_regular(state: os.stat_result) -> None:
    """Raise UnreadableFile for what is no file, or larger than FILE_MAX."""
    if not stat.S_ISREG(state.st_mode):
        raise UnreadableFile(f"{_kind(state.st_mode)}, not a regular file")
    if state.st_size > FILE_MAX:
        raise UnreadableFile(_TOO_LARGE)


def read_regular(path: Path, *, only_if_closed: bool = False) -> tuple[Stamp, bytes] | None:
    """Return a file's stamp and content; None if it changes meanwhile.

    Raises UnreadableFile, StillOpen if it is open for writing or, with `only_if_closed`, if the system does not say
    whether it is, and FileNotFoundError if it has vanished.
    """
    try:
        fd = os.open(path, _OPEN)
        with open(fd, "rb") as file:
            before = os.fstat(fd)
            check_regular(before)
            is_open = is_open_for_writing(fd)
            if is_open or (is_open is None and only_if_closed):
                raise StillOpen("open for writing")
            content = file.read(FILE_MAX + 1)
            stamp = stamp_of(before)
            unchanged = stamp == stamp_of(os.fstat(fd)) and len(content) == before.st_size
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnreadableFile(error.strerror or str(error)) from None
    return (stamp, content) if unchanged else None


def read_named(path: Path) -> bytes:
    """Return the content of a file that somebody named. Raises UnreadableFile, also if there is none.

    Standard input, pipes and devices are not read: their format is not known, and they may never end.
    """
    try:
        check_regular(os.stat(path))
        with open(os.open(path, _OPEN), "rb") as file:
            check_regular(os.fstat(file.fileno()))
            content = file.read(FILE_MAX + 1)
    except OSError as error:
        raise UnreadableFile(error.strerror or str(error)) from None
    if len(content) > FILE_MAX:
        raise UnreadableFile(_TOO_LARGE)
    return content


def is_open_for_writing(fd: int) -> bool | None:
    """Return whether any process of this machine has a file open for writing; None if the system does not say.

    Linux says so to the owner of the file and to root, for local file systems: a read lease is granted only if there is
    no writer. Source: fcntl(2), "Leases".
    """
    if not _HAS_LEASES:
        return None
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # is ignored, unlike SIGIO, if a writer comes now
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    with suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a directory", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "a special file")
