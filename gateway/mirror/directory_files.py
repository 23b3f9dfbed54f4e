"""Files below the directory of a mirror: written whole or not at all, with their `.gz`, and safe from a crash.

Knows neither the format of a mirror nor who may write to it.
"""

import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path

from gateway.durable_files import sync_directory
from gateway.mirror.encoding import NotGzip, compressed, uncompressed
from gateway.mirror.files import StoredFile
from gateway.mirror.threads import Threads

OWN = ".valgnatt-mirror"
"""Name of the directory, in that of the mirror, with its lock and with files that are being written."""
GZ = ".gz"
_UNFINISHED = ".tmp"
_THREADS = 8
"""Files that are compressed or flushed at the same time; file systems flush several together."""
_FILE_MODE, _DIRECTORY_MODE = 0o644, 0o755
"""Everything that a mirror shows is public; a web server often runs as another user."""


class TooLarge(ValueError):
    """A file has more bytes than were asked for."""


class DirectoryFiles:
    """The files of a mirror, changed by one thread at a time. Invariants:

    * A reader finds a file as it was before or as it is now, never a part of one.
    * When `write` returns, its files survive a crash of the machine. So no later file survives without them.
    * A file that replaces another has a later modification time, by a second or more: web servers derive ETags from it.
      Both variants of a file have the same time, so that after a crash between them the newer one is known.
    * Only files that are named are removed, and directories that became empty by that.
    """

    def __init__(self, root: Path, name: str = "") -> None:
        """Write below `root`; other threads may do so as well, under other names, other files."""
        self._root = root
        self._name = name
        self._numbers = count()
        self._pool = Threads(_THREADS, "mirror-pool")

    def remove_unfinished(self) -> None:
        """Remove what a crash left of files that were being written."""
        with os.scandir(self._root / OWN) as entries:
            for each in entries:
                if each.name.endswith(_UNFINISHED):
                    os.unlink(each.path)

    def write(self, files: Sequence[StoredFile]) -> int:
        """Store files and wait until they are on the disk; return the number of bytes. Raises OSError.

        If it raises, each file is as it was, or as it was to be.
        """
        renames: list[tuple[Path, Path]] = []
        parents: dict[Path, None] = {}
        total = 0
        with ExitStack() as cleanup:
            descriptors: list[int] = []
            packed = self._pool.map(compressed, [file.body for file in files])
            for file, gzipped in zip(files, packed, strict=True):
                path = self._path(file.path)
                self._make_directory(path.parent, parents)
                when_s = self._later_s(path)
                for name, body in ((path.name + GZ, gzipped), (path.name, file.body)):
                    unfinished = self._root / OWN / f"{self._name}{next(self._numbers)}{_UNFINISHED}"
                    descriptors.append(_create(unfinished, body, when_s, cleanup))
                    renames.append((unfinished, path.with_name(name)))
                    total += len(body)
            self._pool.map(os.fsync, descriptors)
            for unfinished, path in renames:
                self._rename(unfinished, path, parents)
                parents[path.parent] = None
            self._pool.map(sync_directory, parents)
        return total

    def read(self, path: str, most: int) -> bytes | None:
        """Return a file, uncompressed; None if there is none. Raises OSError, TooLarge, NotGzip.

        Of two variants that differ after a crash it is the newer one.
        """
        plain = self._path(path)
        packed = plain.with_name(plain.name + GZ)
        times = {each: _modified_ns(each) for each in (plain, packed)}
        if times[plain] is None and times[packed] is None:
            return None
        newest = max(times, key=lambda each: times[each] or 0)
        with newest.open("rb") as file:
            content = file.read(most + 1 + (1 << 10 if newest is packed else 0))
        body = content if newest is plain else uncompressed(content, most)
        if body is None or len(body) > most:
            raise TooLarge(f"{newest}: more than {most} bytes")
        return body

    def directories(self, path: str) -> Iterator[tuple[str, list[str]]]:
        """Yield each directory below a path, with the paths of its files, without `.gz`. Raises OSError."""
        waiting = [path]
        while waiting:
            inside = waiting.pop()
            files: dict[str, None] = {}
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self._root / inside) as entries:
                for each in entries:
                    name = f"{inside}/{each.name}".lstrip("/")
                    if each.name.startswith("."):
                        continue
                    if each.is_dir(follow_symlinks=False):
                        waiting.append(name)
                    elif each.is_file():
                        files[name.removesuffix(GZ)] = None
            yield inside, sorted(files)

    def delete(self, paths: Sequence[str]) -> None:
        """Remove files and the directories that are empty then. Raises OSError."""
        emptied: dict[Path, None] = {}
        for each in paths:
            path = self._path(each)
            for variant in (path, path.with_name(path.name + GZ)):
                with suppress(FileNotFoundError):
                    variant.unlink()
                    emptied[path.parent] = None
        for directory in emptied:
            self._remove_if_empty(directory)

    def close(self) -> None:
        """End the threads that compress and flush files."""
        self._pool.close()

    def _path(self, path: str) -> Path:
        parts = path.split("/")
        if not all(parts) or any(part.startswith(".") for part in parts) or "\0" in path:
            raise ValueError(f"not the path of a file of a mirror: {path!r}")
        return self._root.joinpath(*parts)

    def _make_directory(self, directory: Path, changed: dict[Path, None]) -> None:
        """Create a directory and those above it; add each directory that has a new entry to `changed`."""
        if directory == self._root or directory.is_dir():
            return
        self._make_directory(directory.parent, changed)
        directory.mkdir(exist_ok=True)
        directory.chmod(stat.S_IMODE(directory.stat().st_mode) | _DIRECTORY_MODE)
        changed[directory.parent] = None

    def _rename(self, unfinished: Path, path: Path, changed: dict[Path, None]) -> None:
        try:
            os.rename(unfinished, path)
        except FileNotFoundError:  # another thread has removed the directory, which was empty
            self._make_directory(path.parent, changed)
            os.rename(unfinished, path)

    def _later_s(self, path: Path) -> int:
        times_ns = (_modified_ns(path), _modified_ns(path.with_name(path.name + GZ)))
        before = [each // 10**9 for each in times_ns if each is not None]
        return max(int(time.time()), *(each + 1 for each in before)) if before else int(time.time())

    def _remove_if_empty(self, directory: Path) -> None:
        while directory != self._root:
            try:
                directory.rmdir()
            except OSError:  # usually it has other files
                return
            directory = directory.parent


def _create(path: Path, body: bytes, when_s: int, cleanup: ExitStack) -> int:
    """Create a file with a modification time and return its descriptor; `cleanup` closes it and removes the file."""
    descriptor = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE
    )
    cleanup.callback(_remove, path)
    cleanup.callback(os.close, descriptor)
    os.fchmod(descriptor, _FILE_MODE)
    left = memoryview(body)
    while left:
        left = left[os.write(descriptor, left) :]
    os.utime(descriptor, (when_s, when_s))
    return descriptor


def _remove(path: Path) -> None:
    with suppress(OSError):  # it has been renamed
        path.unlink()


def _modified_ns(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


__all__ = ["GZ", "OWN", "DirectoryFiles", "NotGzip", "TooLarge"]
