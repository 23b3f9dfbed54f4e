"""Opens the target of a mirror, a directory or an object store, from its text."""

import os
from pathlib import Path

from gateway.config import ConfigError
from gateway.mirror.directory import Directory
from gateway.mirror.store_places import PROVIDERS, parse_place
from gateway.mirror.target import Target


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
