"""A target in memory that checks, at every write, what a mirror promises."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

from gateway.mirror.files import StoredFile
from gateway.mirror.target import TargetUnavailable
from gateway.wire.mirror import Live, decode_live
from tests.mirror.model import FileReader


class MemoryTarget:
    """Files in a dictionary. Fails where a mirror breaks a promise, and where a test wants it."""

    where = "memory"

    def __init__(self) -> None:
        self.puts = 0
        self.written_bytes = 0
        self.files: dict[str, bytes] = {}
        self.lives: list[Live] = []
        """Every `live.json` that was written."""
        self.writes: list[StoredFile] = []
        """Everything that was written, in order."""
        self.failing = False
        self.broken: list[str] = []
        """What contradicts a promise."""
        self._immutable: dict[str, bytes] = {}
        self._changed = asyncio.Condition()

    async def open(self) -> None:
        """Do nothing."""

    async def write(self, files: Iterable[StoredFile]) -> None:
        """Store files; half of them if the target fails."""
        files = list(files)
        for file in files[: len(files) // 2] if self.failing else files:
            self._store(file)
        if self.failing:
            raise TargetUnavailable("the test wants it")
        async with self._changed:
            self._changed.notify_all()

    async def write_live(self, file: StoredFile) -> None:
        """Store `live.json`, and check that every file that it names exists and leads to its state."""
        if self.failing:
            raise TargetUnavailable("the test wants it")
        live = decode_live(file.body)
        for profile in live.profiles:
            reader = FileReader(live.election, profile, self.files.get)
            if not reader.follow(live):
                self.broken.append(f"{profile} at {live.sequence} is not reached")
        if self.lives and self.lives[-1].history == live.history:
            before = self.lives[-1]
            if live.sequence < before.sequence or live.written_at < before.written_at:
                self.broken.append(f"live.json goes back from {before.sequence} to {live.sequence}")
        self.lives.append(live)
        self._store(file)
        async with self._changed:
            self._changed.notify_all()

    async def read(self, path: str, most: int) -> bytes | None:
        """Return a file."""
        if self.failing:
            raise TargetUnavailable("the test wants it")
        content = self.files.get(path)
        assert content is None or len(content) <= most
        return content

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """Yield the paths that begin with `prefix`."""
        for path in list(self.files):
            if path.startswith(prefix):
                yield path

    async def delete(self, paths: Iterable[str]) -> None:
        """Remove files."""
        for path in paths:
            self.files.pop(path, None)

    async def close(self) -> None:
        """Do nothing."""

    async def wait_for(self, reached: Callable[[Live], bool]) -> Live:
        """Wait for a `live.json` that is as a test wants it, and return it."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self.lives) and reached(self.lives[-1]))
            return self.lives[-1]

    def _store(self, file: StoredFile) -> None:
        if file.max_age_s is None and self._immutable.setdefault(file.path, file.body) != file.body:
            self.broken.append(f"{file.path} has changed")
        self.writes.append(file)
        self.puts += 1
        self.written_bytes += len(file.body)
        self.files[file.path] = file.body
