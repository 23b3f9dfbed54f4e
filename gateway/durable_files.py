"""Files whose names are on the disk, not only their contents: after a crash they are found again."""

import os
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Wait until the entries of a directory are on the disk. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
