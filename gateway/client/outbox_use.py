"""Lock an outbox while a process sends from it: a lock on a file beside it, released when the process ends.

A running `push` has read reports from the outbox and may send them at any moment, so no report may be removed
meanwhile. Where the system has no such locks (Windows, some network file systems), nothing is locked.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.client.outbox_file import OutboxUnavailable

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

_BUSY = (errno.EAGAIN, errno.EACCES)


def lock_file(outbox: Path) -> Path:
    """Return the file that is locked while a process sends from an outbox."""
    return outbox.with_name(outbox.name + "-lock")


class OutboxInUse(OutboxUnavailable):
    """Another process sends from the outbox, or removes reports from it."""

    is_locked = True


def use_for_sending(outbox: Path) -> "Use":
    """Take a shared lock to send from an outbox; other processes may send from it too. Raises OutboxInUse."""
    return Use(outbox, exclusive=False)


@contextmanager
def while_nobody_sends(outbox: Path) -> Iterator[None]:
    """Prevent other processes from sending during the block. Raises OutboxInUse if one is sending."""
    use = Use(outbox, exclusive=True)
    try:
        yield
    finally:
        use.end()


class Use:
    """A lock on an outbox, from its construction to `end`."""

    def __init__(self, outbox: Path, *, exclusive: bool) -> None:
        self._file: int | None = None
        if fcntl is None:  # pragma: no cover - Windows
            return
        try:
            self._file = os.open(lock_file(outbox), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except OSError as error:
            self.end()
            if error.errno in _BUSY:
                what = (
                    "a running valgnatt push sends from it; end that first with Ctrl-C, which loses nothing"
                    if exclusive
                    else "another process removes reports from it"
                )
                raise OutboxInUse(f"outbox {outbox}: {what}") from None

    def end(self) -> None:
        """Release the lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
