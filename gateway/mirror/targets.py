"""Where a mirror stores its files: a directory or an object store."""

import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Protocol

from gateway.config import ConfigError
from gateway.errors import GatewayError
from gateway.mirror.files import StoredFile
from gateway.mirror.store_places import PROVIDERS, parse_place


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


def open_target(text: str, every_s: int = 2) -> Target:
    """Return the target that a text names: a directory, or the URL of a bucket and a prefix in it. Raises ConfigError.

    Raises ExtraMissing if it needs a package that is not installed, and TargetUnavailable if it is not configured. It
    is not reached before `open` is called. `every_s` is the interval of the mirror.
    """
    scheme, colon, rest = text.partition(":")
    if not text.strip():
        raise ConfigError(
            ["the target of a mirror is empty: name a directory, or a bucket as s3://bucket/prefix"]
        )
    if not colon or "/" in scheme or scheme == "file":
        return _open_directory(rest if scheme == "file" else text)
    if scheme in PROVIDERS and rest.startswith("//"):
        from gateway.mirror.object_store import ObjectStore

        return ObjectStore(parse_place(text, os.environ), every_s)
    mistake = (
        f"a mirror cannot be written to '{scheme}:'; name a directory, or a bucket with a prefix as in s3://,"
        f" gs:// or az:// (a directory whose name has a colon: ./{scheme}:…)"
    )
    raise ConfigError([mistake])


def _open_directory(path: str) -> Target:
    """Return the directory of a path or of what follows `file:` (RFC 8089)."""
    from gateway.mirror.directory import Directory

    if path.startswith("//"):
        host, slash, path = path[2:].partition("/")
        if host not in ("", "localhost"):
            raise ConfigError(
                [f"file:// with another host ({host!r}): a directory is written as file:///path"]
            )
        path = slash + path
    if not path:
        raise ConfigError(["file: without a path: a directory is written as file:///path"])
    return Directory(Path(path).absolute())
