"""A writer that is killed between any two calls of the system: `python killed_writer.py DIRECTORY STEP`.

Creates directories below DIRECTORY, named after every STEPth call: in N a second version followed a first one, and its
writer was killed before call N. The last one was not killed.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from gateway.mirror.directory_files import OWN, DirectoryFiles
from gateway.mirror.files import StoredFile

LIVE = "v1/elections/e/live.json"
DOCUMENTS = ("v1/elections/e/areas/1.json", "v1/elections/e/results.csv")
CALLS = ("open", "write", "utime", "fsync", "rename", "mkdir", "unlink", "rmdir")


def version(number: int) -> str:
    """Return what live.json and the rewritten files of a version contain: incompressible, of differing length."""
    return f"{number} " + os.urandom(40 + number).hex()


def deltas(number: int) -> tuple[str, str]:
    """Return the immutable files of a version."""
    return (
        f"v1/elections/e/live/h/default/{number}_{number + 1}.ndjson",
        f"v1/elections/e/live/g{number}/at.ndjson",
    )


def write_version(files: DirectoryFiles, number: int) -> None:
    """Write a version in the order of a mirror, and remove the one before."""
    files.write([StoredFile(each, version(number).encode(), "text/plain", None) for each in deltas(number)])
    files.write([StoredFile(LIVE, version(number).encode(), "application/json", 2)])
    files.write([StoredFile(each, version(number).encode(), "text/csv", 2) for each in DOCUMENTS])
    files.delete(deltas(number - 1))


def kill_before(call: int) -> None:
    """Kill this process before its system call of this number."""
    calls = count()

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            if next(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return called

    os.fsync = lambda _descriptor: None  # only a crash of the machine needs it
    for each in CALLS:
        setattr(os, each, counted(getattr(os, each)))


def main(directory: Path, step: int) -> None:
    first = directory / "first"
    (first / OWN).mkdir(parents=True)
    write_version(DirectoryFiles(first), 1)
    for number in count(0, step):
        root = directory / str(number)
        shutil.copytree(first, root, copy_function=shutil.copy2)
        if (child := os.fork()) == 0:
            kill_before(number)
            write_version(DirectoryFiles(root), 2)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            break
    shutil.rmtree(first)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
