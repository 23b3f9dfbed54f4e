"""PURE: decides when a file in a watched directory is complete. Time comes in, in seconds of any clock.

A file is complete when one of these is true:

* It was renamed into the directory, or to its name, and not written since.
* Its writer closed it, and for CLOSED_S nobody wrote it since.
* The writer states the end with an empty file `NAME.done` that is not older than the file.
* Otherwise: its size and times have not changed for `settle_s`, and it was not written without being closed since. That
  holds for files that were there at the start, for writers on other machines, and where the system reports no changes.
"""

from enum import Enum

import msgspec

from gateway.client.inotify import Change

SETTLE_S = 10.0
"""Default of `settle_s`."""
CLOSED_S = 2.0
"""How long nobody may write a file after it was closed: some writers open it again for each line."""

RECENT_S = 1.0
"""How long after a change another file may be expected that belongs to it."""

Stamp = tuple[int, int, int, int]
"""Inode, size, time of modification and time of change of a file; a file with the same stamp is the same."""


class Verdict(Enum):
    """What a file in the directory is."""

    COMPLETE = "complete"
    CHANGING = "changing"
    OPEN = "open"
    """Unchanged for long, but its writer has not closed it."""


class _File(msgspec.Struct):
    since: float
    """When it changed last."""
    stamp: Stamp | None = None
    ended_by: Change | None = None
    is_open: bool = False
    heard_of: bool = False
    """Whether a change was reported since the last look."""


class Completeness:
    """What is known of the files of one directory."""

    def __init__(self, settle_s: float = SETTLE_S, *, only_stated: bool = False) -> None:
        """With `only_stated`, only files whose end is stated are complete."""
        self._settle_s = settle_s
        self._only_stated = only_stated
        self._files: dict[str, _File] = {}

    def on_change(self, name: str, change: Change, now: float) -> None:
        """Take note of a change. One that was lost makes everything known from changes uncertain."""
        if change is Change.LOST:
            self.forget_changes()
            return
        file = self._files.setdefault(name, _File(now))
        file.since, file.heard_of = now, True
        if change is Change.ATTRIBUTES:
            return
        file.ended_by = change if change in (Change.CLOSED, Change.RENAMED) else None
        file.is_open = change is Change.MODIFIED

    def forget_changes(self) -> None:
        """Rely on sizes and times alone for the files known so far."""
        for file in self._files.values():
            file.ended_by, file.is_open = None, False

    def judge(self, name: str, stamp: Stamp, now: float, *, stated: bool = False) -> Verdict:
        """Return what a file is that was seen with this stamp; `stated`: its writer stated its end."""
        file = self._files.setdefault(name, _File(now))
        if file.stamp != stamp:
            if file.stamp is not None and not file.heard_of:
                file.ended_by = None  # written by another machine
            if not file.heard_of:
                file.since = now
            file.stamp = stamp
        file.heard_of = False
        unchanged_s = now - file.since
        if stated:
            return Verdict.COMPLETE
        if self._only_stated or unchanged_s < self._quiet_s(file):
            return Verdict.CHANGING
        return Verdict.OPEN if file.is_open else Verdict.COMPLETE

    def _quiet_s(self, file: _File) -> float:
        if file.ended_by is Change.RENAMED:
            return 0.0
        return min(CLOSED_S, self._settle_s) if file.ended_by is Change.CLOSED else self._settle_s

    def is_settling(self, name: str, now: float) -> bool:
        """Whether a file was closed and will be complete in a moment, or has changed within RECENT_S."""
        file = self._files[name]
        return now - file.since < (CLOSED_S if file.ended_by is Change.CLOSED else RECENT_S)

    def keep(self, names: set[str]) -> None:
        """Forget all files but these."""
        for name in self._files.keys() - names:
            del self._files[name]
