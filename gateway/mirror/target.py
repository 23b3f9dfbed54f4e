"""Where a mirror stores its files."""

from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from gateway.errors import GatewayError
from gateway.mirror.files import StoredFile


class TargetUnavailable(GatewayError):
    """A target cannot be reached, or files cannot be written to it or read from it; trying again may succeed."""

    code = "target_unavailable"
    retryable = True

    def __init__(self, detail: str, *, permanent: bool = False) -> None:
        super().__init__(detail)
        self.permanent = permanent
        """Whether waiting does not help, only a change of the settings here or of the target."""


class TargetInUse(GatewayError):
    """Another mirror writes to the same target."""

    code = "target_in_use"


class Target(Protocol):
    """Where a mirror stores its files. One mirror writes to it, and any number of readers read from it."""

    where: str
    """As named in messages, without credentials."""
    puts: int
    """Files written so far; a file that is stored in two encodings counts once."""
    written_bytes: int
    """Bytes written so far, compressed if they were."""

    async def open(self) -> None:
        """Connect and exclude other mirrors. Raises TargetUnavailable, TargetInUse."""

    async def write(self, files: Iterable[StoredFile]) -> None:
        """Store files, each atomically and all before this returns, in any order. Raises TargetUnavailable.

        Concurrency and time are limited. Files that have the path of an earlier one replace it.
        """

    async def write_live(self, file: StoredFile) -> None:
        """Store `live.json` if no other mirror has written it. Raises TargetUnavailable, TargetInUse."""

    async def read(self, path: str, most: int) -> bytes | None:
        """Return a file uncompressed, at most `most` bytes; None if there is none. Raises TargetUnavailable.

        A file that is larger raises TargetUnavailable.
        """

    def list(self, prefix: str) -> AsyncIterator[str]:
        """Yield the paths of all files whose paths begin with `prefix`, without `.gz`. Raises TargetUnavailable."""

    async def delete(self, paths: Iterable[str]) -> None:
        """Remove files; one that does not exist is no error. Raises TargetUnavailable."""

    async def close(self) -> None:
        """Release what was opened."""
