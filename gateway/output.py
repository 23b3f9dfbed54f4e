"""Write to standard output and error, with control characters escaped so that no text can control the terminal.

No character ends a command: one that the encoding of the terminal lacks is escaped. No message does either: standard
error that cannot be written (closed, a pipe without a reader, a full disk) is discarded, while standard output that
cannot be written ends the command with status 1. Tables and live displays use `gateway/terminal.py`; this module
imports nothing that is slow to import.
"""

import errno
import io
import os
import sys
import threading
from typing import Any

from gateway.characters import ascii_json, printable_json, printable_lines

STANDARD_OUTPUT = "standard output"


def say(text: str, *, err: bool = False, end: str = "\n") -> None:
    """Write lines to standard output, or to standard error with `err`."""
    stream = sys.stderr if err else sys.stdout
    stream.write(printable_lines(text) + end)
    stream.flush()


def say_json(document: Any) -> None:
    """Write a document to standard output as one line of JSON."""
    import orjson

    text = printable_json(orjson.dumps(document).decode())
    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    sys.stdout.write((text if is_unicode else ascii_json(text)) + "\n")
    sys.stdout.flush()


def write_out(text: str) -> None:
    """Write the content of a file to standard output: as UTF-8 to a file or pipe, escaped to a terminal."""
    is_terminal = sys.stdout.isatty()
    if not is_terminal and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(printable_lines(text.removeprefix("\ufeff")) if is_terminal else text)
    sys.stdout.flush()


def prepare_streams() -> None:
    """Replace the standard streams by those that this module describes.

    Closed ones are opened on the null device, so that no file or socket gets their descriptors.
    """
    was_closed = [_open_null_device(fd) for fd in (0, 1, 2)]
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - until the process ends
    sys.stdout = _wrapped(sys.stdout, _ErrorNamed(1, was_closed=was_closed[1]))
    sys.stderr = _wrapped(sys.stderr, _ErrorIgnored(2, "w", closefd=False))


def _open_null_device(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor
        return True
    return False


def _wrapped(stream: Any, raw: io.FileIO) -> Any:
    """Return a text stream on `raw` like `stream`; one that is not a standard stream (of a test) is left.

    So is a console of Windows, which takes characters and not bytes.
    """
    if stream is not None and not (_is_of_bytes(stream) and stream.fileno() == raw.fileno()):
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding if stream is not None else "utf-8",
        errors="backslashreplace",
        line_buffering=stream is None or stream.line_buffering,
        write_through=stream is not None and stream.write_through,
    )


def _is_of_bytes(stream: Any) -> bool:
    if type(stream) is not io.TextIOWrapper:
        return False
    return isinstance(getattr(stream.buffer, "raw", stream.buffer), io.FileIO)


class _ErrorIgnored(io.FileIO):
    """Standard error: what cannot be written is discarded."""

    def write(self, data: Any) -> int:
        """Write bytes; return how many were written or discarded."""
        try:
            return super().write(data) or len(data)  # 0 of a descriptor that does not block
        except OSError:
            return len(data)


class _ErrorNamed(io.FileIO):
    """Standard output: the first error is raised and names it; what follows is discarded, also at the exit.

    An error in a thread, which only redraws a display, is left to the next write of the main thread.
    """

    def __init__(self, fd: int, *, was_closed: bool) -> None:
        super().__init__(fd, "w", closefd=False)
        self._was_closed = was_closed
        self._failed = False

    def write(self, data: Any) -> int:
        """Write bytes; return how many were written or discarded. Raises OSError."""
        if self._failed:
            return len(data)
        try:
            if self._was_closed:
                raise OSError(errno.EBADF, "closed")
            return super().write(data)
        except OSError as error:
            if threading.current_thread() is not threading.main_thread():
                return len(data)
            self._failed = True
            raise OSError(error.errno, error.strerror, STANDARD_OUTPUT) from None
