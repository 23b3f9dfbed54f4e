"""What every worker computes when it starts, done once before workers are forked (`tests.fork_server`).

That is a part of the CPU time of its start: the list and the compression of the pages of its door, and the patterns of
its routes.
"""

import gzip
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

from gateway import page_composition
from gateway.config import Config
from gateway.web import pages
from gateway.web.feed_door import FeedDoor
from gateway.web.push_door import PushDoor


def prepare_doors() -> None:
    """Make both doors as workers do, and keep what they found for the processes forked from this one."""
    keep_files()
    nothing = MagicMock()
    FeedDoor(Config(), nothing, nothing, nothing).application(lambda: True)
    PushDoor(Config(), nothing, nothing, nothing, nothing).application(lambda: True)


def keep_files() -> None:
    """Have doors of this process list and compress the same files only once."""
    once: Any = SimpleNamespace(compress=cache(gzip.compress))
    pages.gzip = once
    find = page_composition.static_files
    found: dict[int, tuple[list[Path], page_composition.DoorPages]] = {}

    def static_files(door: page_composition.DoorPages) -> list[Path]:
        if id(door) not in found:
            found[id(door)] = find(door), door  # its identity is of no other one while it is kept
        return found[id(door)][0]

    page_composition.static_files = static_files


def keep_pages() -> None:
    """Have doors of this process read and compose the same pages only once."""
    read = pages.read_files
    found: dict[tuple[int, Path, int, str | None], tuple[pages.DoorFiles, page_composition.DoorPages]] = {}

    def read_files(
        door: page_composition.DoorPages, texts: Path, push_port: int, mirror_url: str | None
    ) -> pages.DoorFiles:
        key = id(door), texts, push_port, mirror_url
        if key not in found:
            found[key] = read(door, texts, push_port, mirror_url), door  # its identity is of no other one
        return found[key][0]

    pages.read_files = read_files
