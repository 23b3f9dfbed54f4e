"""The files with counts in a directory, as they become complete. Knows nothing of what is done with them."""

from pathlib import Path

from gateway.client.push_files import file_digest
from gateway.errors import GatewayError

POLL_S = 1.0
"""Interval at which a watched directory is read; a file is sent once it has not changed between two readings."""
ENDINGS = (".json", ".ndjson", ".jsonl", ".csv")


class WatchedDirectory:
    """Invariant: each file with counts is returned once per run, after it has stopped changing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: dict[str, tuple[int, int]] = {}
        self._done: set[tuple[str, bytes]] = set()

    def new(self) -> dict[str, bytes]:
        """Return the files that are complete and not marked as done. Raises GatewayError."""
        try:
            return self._new()
        except OSError as error:
            raise GatewayError(f"{self.path}: {error.strerror}") from None

    def _new(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for path in sorted(self.path.iterdir()):
            if path.suffix.lower() not in ENDINGS or path.name.startswith(".") or not path.is_file():
                continue
            state = path.stat()
            stamp = (state.st_mtime_ns, state.st_size)
            before, self._seen[path.name] = self._seen.get(path.name), stamp
            if before != stamp:
                continue
            content = path.read_bytes()
            if (path.name, file_digest(content)) not in self._done:
                found[path.name] = content
        return found

    def mark_done(self, name: str, content: bytes) -> None:
        """Skip a file until its content changes."""
        self._done.add((name, file_digest(content)))
