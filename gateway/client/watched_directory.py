"""The files with counts in a directory, as they become complete. Independent of what is done with them.

Every call may wait for a file system, so it belongs into a thread.
"""

import hashlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from gateway.client.completeness import SETTLE_S, Completeness, Stamp, Verdict
from gateway.client.inotify import DirectoryChanges
from gateway.client.regular_files import StillOpen, UnreadableFile, check_regular, read_regular, stamp_of
from gateway.errors import GatewayError

ENDINGS = (".json", ".ndjson", ".jsonl", ".csv", ".xlsx", ".xml")
STATED_END = ".done"
"""Ending of the name of an empty file beside a file that is complete."""
_IN_PROGRESS = (STATED_END, ".part", ".partial", ".filepart", ".tmp", ".crdownload", "~")
"""Endings of names that other programs give to files until they are complete."""
FILES_MAX = 100_000
"""Files in the directory that are looked at; a file takes about 1 kB of memory."""
OPEN_S = 60.0
"""How long a file that does not change may be open for writing before that is reported."""


class DirectoryUnavailable(GatewayError):
    """The watched directory cannot be read, or is away."""

    code = "directory_unavailable"


class Look(msgspec.Struct):
    """What was found: names of files to be read, and messages that were not given before."""

    complete: list[str]
    messages: list[str]
    is_settling: bool
    """Whether more files will be complete in a moment, that may belong to the complete ones."""


class WatchedDirectory:
    """A watched directory. Invariants:

    * The content of a file is returned once, after the file is complete (see `completeness`), until it is marked done.
    * A file that was marked done is returned again only with another content.
    * A message about a file is given once, and again only if the file or the message changes.
    """

    def __init__(
        self,
        path: Path,
        *,
        settle_s: float = SETTLE_S,
        only_stated: bool = False,
        own: Collection[Path] = (),
    ) -> None:
        """With `only_stated`, only files beside which there is a file `NAME.done` are complete.

        `own` are files of the command itself, which are left alone if they are in the directory.
        """
        self.path = path
        self._own = own
        self._pending: set[str] = set()
        """Files that were seen, and whose content was neither taken nor known."""
        self._completeness = Completeness(settle_s, only_stated=only_stated)
        self._changes: DirectoryChanges | None = None
        self._identity: tuple[int, int] | None = None
        self._done: dict[str, tuple[Stamp, bytes]] = {}
        self._seen: dict[str, Stamp] = {}
        self._unclosed: set[str] = set()
        self._open_since: dict[str, float] = {}
        self._said: dict[str, tuple[Stamp | None, str]] = {}
        self._messages: list[str] = []
        self._is_settling = False

    def look(self, now: float) -> Look:
        """Return what is new; `now` is in seconds of a clock that never goes back. Raises DirectoryUnavailable."""
        try:
            if self._changes is not None:
                for name, change in self._changes.read():
                    self._completeness.on_change(name, change, now)
            self._attach()
            entries = self._entries()
        except OSError as error:
            raise DirectoryUnavailable(f"{self.path}: {error.strerror or error}") from None
        self._is_settling = False
        complete = [name for name in sorted(entries) if self._is_due(entries[name], entries, now)]
        self._keep(set(entries))
        messages, self._messages = self._messages, []
        return Look(complete, messages, self._is_settling)

    def _attach(self) -> None:
        """Record the changes of the directory that has this name now."""
        state = self.path.stat()
        identity = (state.st_dev, state.st_ino)
        if identity == self._identity and not (self._changes is not None and self._changes.has_ended):
            return
        self._completeness.forget_changes()
        if self._changes is not None:
            self._changes.close()
            self._changes = None
        self._changes = DirectoryChanges.open(self.path)
        self._identity = identity

    def _entries(self) -> dict[str, os.DirEntry[str]]:
        entries: dict[str, os.DirEntry[str]] = {}
        here = self.path.resolve()
        own = {path.name for path in self._own if path.absolute().parent.resolve() == here}
        with os.scandir(self.path) as found:
            for entry in found:
                if len(entries) >= FILES_MAX:
                    self._say(
                        "",
                        None,
                        f"{self.path}: more than {FILES_MAX} files; move those that are done elsewhere",
                    )
                    break
                if not entry.name.startswith((".", "~$")) and entry.name not in own:
                    entries[entry.name] = entry
        return entries

    def _is_due(self, entry: os.DirEntry[str], entries: dict[str, os.DirEntry[str]], now: float) -> bool:
        """Return whether a file is to be read now."""
        name = entry.name
        lowered = name.lower()
        if not lowered.endswith(ENDINGS):
            if not lowered.endswith(_IN_PROGRESS) and _is_file(entry):
                self._say(
                    name, None, f"{name}: left alone, as its name does not end with {', '.join(ENDINGS)}"
                )
            return False
        try:
            state = os.stat(entry.path)
        except FileNotFoundError:
            if entry.is_symlink():
                self._say(name, None, f"{name}: a symbolic link to nothing")
            return False  # moved away by another program
        except OSError as error:
            self._say(name, None, f"{name}: {error.strerror or error}")
            return False
        stamp = self._seen[name] = stamp_of(state)
        if (done := self._done.get(name)) is not None and done[0] == stamp:
            return False
        try:
            check_regular(state)
        except UnreadableFile as error:
            self._say(name, stamp, f"{name}: {error}")
            return False
        self._pending.add(name)
        is_stated = _is_stated(entries.get(name + STATED_END), state)
        verdict = self._completeness.judge(name, stamp, now, stated=is_stated)
        (self._unclosed.add if verdict is Verdict.OPEN else self._unclosed.discard)(name)
        if verdict is Verdict.CHANGING:
            self._open_since.pop(name, None)
        self._is_settling |= self._completeness.is_settling(name, now)
        return verdict is not Verdict.CHANGING

    def read(self, name: str, now: float) -> bytes | None:
        """Return the content of a complete file; None if it is not to be taken now, but after another look."""
        try:
            found = read_regular(self.path / name, only_if_closed=name in self._unclosed)
        except FileNotFoundError:
            return None
        except StillOpen:
            if now - self._open_since.setdefault(name, now) >= OPEN_S:
                self._say(
                    name, None, f"{name}: not sent yet, since a program has it open for writing; close it"
                )
            return None
        except UnreadableFile as error:
            self._say(name, self._seen.get(name), f"{name}: {error}")
            return None
        self._open_since.pop(name, None)
        if found is None:
            return None
        stamp, content = found
        if stamp != self._seen.get(name):
            return None
        if (done := self._done.get(name)) is not None and done[1] == file_digest(content):
            self._done[name] = (stamp, done[1])
            self._pending.discard(name)
            return None
        return content

    def mark_done(self, name: str, content: bytes) -> None:
        """Skip a file until its content changes."""
        self._done[name] = (self._seen[name], file_digest(content))
        self._said.pop(name, None)
        self._pending.discard(name)

    def _say(self, name: str, stamp: Stamp | None, message: str) -> None:
        if self._said.get(name) != (stamp, message):
            self._said[name] = (stamp, message)
            self._messages.append(message)

    def _keep(self, names: set[str]) -> None:
        """Forget what is known of files that are gone; of done ones only when there are many."""
        for name in sorted(self._pending - names):
            self._messages.append(f"{name}: gone before it was sent")
        self._pending &= names
        self._completeness.keep(names)
        self._unclosed &= names
        for known in (self._seen, self._open_since, self._said):
            _forget(known, names)
        if len(self._done) > FILES_MAX:
            _forget(self._done, names)


def file_digest(content: bytes) -> bytes:
    """Return the digest that identifies the content of a file."""
    return hashlib.sha256(content).digest()


def _forget(known: dict[str, Any], names: set[str]) -> None:
    for name in [name for name in known if name and name not in names]:
        del known[name]


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _is_stated(end: os.DirEntry[str] | None, state: os.stat_result) -> bool:
    """Whether a file that states the end is not older than the file beside it."""
    try:
        return end is not None and end.stat().st_mtime_ns >= state.st_mtime_ns
    except OSError:
        return False
