"""A target that is a directory, which any web server can serve."""

import asyncio
import fcntl
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from gateway.mirror.directory_errors import explain
from gateway.mirror.directory_files import OWN, DirectoryFiles, NotGzip, TooLarge
from gateway.mirror.files import StoredFile
from gateway.mirror.target import TargetInUse, TargetUnavailable
from gateway.mirror.threads import StepThread

ANSWER_S = 60.0
"""How long the file system may take for one step, of up to BATCH_FILES files or BATCH_BYTES."""
BATCH_FILES = 32
BATCH_BYTES = 8 << 20
NO_CONTENT = frozenset({"lost+found"})
"""Names that an otherwise empty directory may have, beside those that begin with a dot."""

T = TypeVar("T")


class Directory:
    """Files in a directory, each also as `.gz`. Invariants:

    * At most one mirror writes to it: a lock (flock) is acquired when it is opened.
    * Files that are written by one thread are written in order, so that none that was slow comes after a later one.
      What `live.json` names, and `live.json`, have a thread of their own: it waits for no rewritten file.
    * While the file system does not answer, nothing is queued for it, and the process can end.
    * Content of others is neither removed nor, in a directory that was never a mirror, replaced.
    """

    def __init__(self, root: Path) -> None:
        self.where = str(root)
        self.puts = 0
        self.written_bytes = 0
        self._root = root
        self._files = DirectoryFiles(root)
        self._thread = StepThread("mirror-files")
        self._live_files = DirectoryFiles(root, "live-")
        self._live_thread = StepThread("mirror-live")
        self._lock: int | None = None
        self._closed = False

    async def open(self) -> None:
        """Create the directory if only it is missing, and lock it. Raises TargetUnavailable, TargetInUse."""
        await self._run(self._open)

    async def write(self, files: Iterable[StoredFile]) -> None:
        """Store files, and wait until they are on the disk. Raises TargetUnavailable, TargetInUse."""
        for batch in batches(files):
            await self._store(batch, live=all(file.max_age_s is None for file in batch))

    async def write_live(self, file: StoredFile) -> None:
        """Store `live.json`. Raises TargetUnavailable; TargetInUse if the lock is lost."""
        await self._store([file], live=True)

    async def _store(self, batch: Sequence[StoredFile], *, live: bool) -> None:
        thread, files = (self._live_thread, self._live_files) if live else (self._thread, self._files)
        self.written_bytes += await self._run(self._write, files, batch, thread=thread)
        self.puts += len(batch)

    async def read(self, path: str, most: int) -> bytes | None:
        """Return a file, of two variants that differ after a crash the newer one. Raises TargetUnavailable."""
        try:
            return await self._run(self._files.read, path, most)
        except TooLarge as error:
            raise TargetUnavailable(f"{error}: it is not a file of this mirror; move it away") from None
        except NotGzip as error:
            raise TargetUnavailable(f"{self.where}/{path}.gz: not gzip ({error}); move it away") from None

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """Yield the paths of all files that begin with `prefix`, one directory at a time. Raises TargetUnavailable."""
        directories = self._files.directories(prefix.rpartition("/")[0])
        while (found := await self._run(next, directories, None)) is not None:
            for path in found[1]:
                if path.startswith(prefix):
                    yield path

    async def delete(self, paths: Iterable[str]) -> None:
        """Remove files and the directories that are empty then. Raises TargetUnavailable."""
        await self._run(self._files.delete, list(paths))

    async def close(self) -> None:
        """Release the lock, after the step that is being made."""
        if self._closed:
            return
        self._closed = True
        with suppress(TargetUnavailable):
            await self._run(_nothing, thread=self._live_thread)
        with suppress(TargetUnavailable):
            await self._run(self._unlock)
        for thread in (self._thread, self._live_thread):
            thread.close()
        self._files.close()
        self._live_files.close()

    async def _run(self, step: Callable[..., T], *arguments: object, thread: StepThread | None = None) -> T:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await (thread or self._thread).run(step, *arguments)
        except TimeoutError:
            raise TargetUnavailable(
                f"{self.where}: the file system did not answer in {ANSWER_S:.0f} s"
            ) from None
        except OSError as error:
            raise TargetUnavailable(explain(error, self.where)) from error

    def _write(self, files: DirectoryFiles, batch: Sequence[StoredFile]) -> int:
        self._check_lock()
        return files.write(batch)

    def _open(self) -> None:
        if self._lock is not None:
            return
        self._make_root()
        own = self._root / OWN
        own.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(own / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor)
            self._files.remove_unfinished()
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, _Locked):
                said = f"another mirror ({error}) writes to {self.where}: end it, or choose another directory"
                raise TargetInUse(said) from None
            raise
        self._lock = descriptor

    def _make_root(self) -> None:
        if not self._root.is_dir():
            if self._root.exists():
                raise TargetUnavailable(
                    f"{self.where} is not a directory; choose one for the mirror", permanent=True
                )
            if not self._root.parent.is_dir():
                raise TargetUnavailable(
                    f"there is no directory {self._root.parent}; create it first", permanent=True
                )
            self._root.mkdir()
            self._root.chmod(0o755)
        elif not (self._root / OWN).is_dir():
            content = [each for each in os.listdir(self._root) if not each.startswith(".")]
            if foreign := sorted(set(content) - NO_CONTENT):
                raise TargetUnavailable(
                    f"{self.where} contains {foreign[0]!r}, and was never the directory of a mirror;"
                    " choose an empty one, so that nothing is replaced",
                    permanent=True,
                )

    def _check_lock(self) -> None:
        """Check that the locked file still is the one in the directory. Raises TargetInUse, TargetUnavailable."""
        if self._lock is None:
            raise TargetUnavailable(f"{self.where} is not open")
        try:
            found = os.stat(self._root / OWN / "lock")
        except FileNotFoundError:
            found = None
        if found is None or not os.path.samestat(found, os.fstat(self._lock)):
            raise TargetInUse(
                f"{self.where} was removed or replaced while the mirror wrote to it: start the mirror again"
            )

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class _Locked(Exception):
    """Another process holds the lock; the message is the content of the lock file."""


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _Locked(os.read(descriptor, 200).decode(errors="replace").strip() or "unknown") from None


def _nothing() -> None:
    """Wait in a thread for what it does before."""


def batches(files: Iterable[StoredFile]) -> Iterator[list[StoredFile]]:
    """Yield files in groups of at most BATCH_FILES and about BATCH_BYTES, taking no more than one group at once."""
    batch: list[StoredFile] = []
    size = 0
    for file in files:
        batch.append(file)
        size += len(file.body)
        if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
