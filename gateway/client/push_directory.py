"""Push the files of a watched directory: each is added to the outbox when it is complete, and sent.

Files are taken and reports are sent independently of each other, so neither waits for the other. Nothing that is wrong
with a file, with the directory, with the outbox or with the network ends it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

import msgspec

from gateway.backoff import Backoff
from gateway.client.outbox import OutboxConflict
from gateway.client.outbox_file import OutboxUnavailable
from gateway.client.receipts_table import ReceiptsUnavailable
from gateway.client.repeated_notices import RepeatedNotices
from gateway.client.tasks import run_until_one_ends
from gateway.client.watched_directory import DirectoryUnavailable, Look, WatchedDirectory
from gateway.count_files.files import FILE_MAX
from gateway.count_files.reports import Mistakes, TooManyReports
from gateway.errors import GatewayError
from gateway.humanize import counted
from gateway.terminal import Terminal

POLL_S, POLL_MOST_S = 0.5, 10.0
"""Interval at which a watched directory is read: at least, and at most if reading it takes long."""
GATHER_S = 5.0
"""How long a complete file waits for others that are about to be: a unit's categories may be in several files."""
RETRY_FIRST_S, RETRY_MOST_S = 1.0, 30.0
"""Delays before a file is tried again that could not be taken now."""
BATCH_BYTES = FILE_MAX
"""Bytes of files that are taken together; more are taken one after the other."""
RECEIPTS_S = 5.0
"""Interval of the attempts to write what could not be written after reports were sent."""
_RED, _YELLOW = "red", "yellow"


class Delivering(msgspec.Struct, frozen=True):
    """How files are delivered."""

    add: Callable[[Mapping[str, bytes]], Awaitable[int]]
    """Adds the reports of files to the outbox and returns how many there are. Raises GatewayError."""
    send: Callable[[], Awaitable[None]]
    """Sends the reports waiting in the outbox, and writes the table of receipts. Raises GatewayError."""
    write_receipts: Callable[[], None]
    """Writes the table of receipts. Raises ReceiptsUnavailable and OutboxUnavailable."""


async def push_directory(directory: WatchedDirectory, console: Terminal, delivering: Delivering) -> None:
    """Push the reports waiting in the outbox and new files of a directory, until interrupted.

    A file with a mistake is reported once and skipped until it changes; what is temporary is tried again, and reported
    at intervals. Raises PushRefused if reports can never be sent.
    """
    console.say(f"Watching {directory.path}; stop with Ctrl-C.")
    watching = _Watching(directory, console, delivering)
    await run_until_one_ends(
        asyncio.create_task(watching.take_files(), name="taking files"),
        asyncio.create_task(watching.send_reports(), name="sending reports"),
    )


class _Postponed:
    """When files are tried again that could not be taken."""

    def __init__(self) -> None:
        self.again_at = 0.0
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)

    def postpone(self, now: float) -> None:
        """Wait longer than the last time."""
        self.again_at = now + self._backoff.next()


class _Watching:
    def __init__(self, directory: WatchedDirectory, console: Terminal, delivering: Delivering) -> None:
        self._directory = directory
        self._console = console
        self._delivering = delivering
        self._added = asyncio.Event()
        self._added.set()  # by earlier runs
        self._batch = _Postponed()
        self._alone: dict[str, _Postponed] = {}
        """Files that are taken one by one, since one of them has something that is not known."""
        self._notices = RepeatedNotices()
        self._look_s = 0.0
        self._gathering_since: float | None = None
        self._clock = asyncio.get_running_loop().time

    async def take_files(self) -> None:
        """Take files as they become complete; never return."""
        while True:
            await self._take_complete()
            await asyncio.sleep(min(max(POLL_S, 10 * self._look_s), POLL_MOST_S))

    async def _take_complete(self) -> None:
        began = self._clock()
        try:
            look = await asyncio.to_thread(self._directory.look, began)
        except DirectoryUnavailable as error:
            self._say_repeatedly("directory", f"{error}; waiting for it")
            return
        finally:
            self._look_s = self._clock() - began
        self._say_end("directory", f"{self._directory.path} can be read again.")
        for message in look.messages:
            self._console.say(message, _RED)
        if self._is_gathering(look):
            return
        self._alone = {name: postponed for name, postponed in self._alone.items() if name in look.complete}
        await self._take([name for name in look.complete if name not in self._alone])
        for name, postponed in list(self._alone.items()):
            if postponed.again_at <= self._clock():
                await self._take([name])

    def _is_gathering(self, look: Look) -> bool:
        """Whether to wait for files that may belong to the complete ones, GATHER_S at most."""
        if not (look.complete and look.is_settling):
            self._gathering_since = None
            return False
        if self._gathering_since is None:
            self._gathering_since = self._clock()
        if self._clock() - self._gathering_since < GATHER_S:
            return True
        self._gathering_since = None
        return False

    async def _take(self, names: Sequence[str]) -> None:
        """Add files together: they may have counts of the same units. What is wrong with one excludes that one."""
        if self._batch.again_at > self._clock():
            return
        files = await self._read(names)
        while files:
            try:
                reports = await self._delivering.add(files)
            except (OutboxConflict, TooManyReports) as error:
                if len(files) == 1:
                    self._refuse(files, (str(error),))
                else:
                    self._separate(files)
                return
            except Mistakes as error:
                wrong = error.files & files.keys() or files.keys()
                self._refuse({name: files.pop(name) for name in sorted(wrong)}, error.mistakes)
            except GatewayError as error:
                self._postpone(files, error)
                return
            else:
                for name, content in files.items():
                    self._finish(name, content)
                self._console.say(f"{', '.join(files)}: {counted(reports, 'report')}")
                self._added.set()
                return

    async def _read(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return the contents of files, BATCH_BYTES and a file at most; the others follow with the next look."""
        files: dict[str, bytes] = {}
        for name in names:
            if sum(map(len, files.values())) >= BATCH_BYTES:
                break
            content = await asyncio.to_thread(self._directory.read, name, self._clock())
            if content is not None:
                files[name] = content
        return files

    def _refuse(self, files: Mapping[str, bytes], mistakes: Sequence[str]) -> None:
        self._console.say(f"{', '.join(files)}: not sent:", _RED)
        for mistake in mistakes:
            self._console.say(mistake, _RED)
        for name, content in files.items():
            self._finish(name, content)

    def _finish(self, name: str, content: bytes) -> None:
        self._directory.mark_done(name, content)
        self._alone.pop(name, None)
        self._batch = _Postponed()
        if not self._alone:
            self._say_end("files", "Files are taken again.")

    def _postpone(self, files: Mapping[str, bytes], error: GatewayError) -> None:
        """Try again later: all files if the error is temporary, and else each one alone, as the others may be good."""
        if error.retryable:
            self._batch.postpone(self._clock())
        else:
            self._separate(files)
        others = f" ({counted(len(files) - 1, 'more file')} waiting)" if len(files) > 1 else ""
        self._say_repeatedly("files", f"{next(iter(files))}: {error}; trying again{others}")

    def _separate(self, files: Mapping[str, bytes]) -> None:
        for name in files:
            postponed = self._alone.setdefault(name, _Postponed())
            if len(files) == 1:
                postponed.postpone(self._clock())

    async def send_reports(self) -> None:
        """Send what is added; never return. Raises GatewayError."""
        is_late = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(RECEIPTS_S if is_late else None):
                    await self._added.wait()
            try:
                if self._added.is_set():
                    self._added.clear()
                    await self._delivering.send()
                else:
                    self._delivering.write_receipts()
            except (ReceiptsUnavailable, OutboxUnavailable) as error:
                is_late = True
                if isinstance(error, OutboxUnavailable):
                    self._added.set()
                    await asyncio.sleep(RECEIPTS_S)
                self._say_repeatedly("receipts", f"{error}; trying again")
            else:
                is_late = False
                self._say_end("receipts", "All answers are recorded again.")

    def _say_repeatedly(self, about: str, text: str) -> None:
        if self._notices.is_due(about, text, self._clock()):
            self._console.say(text, _YELLOW)

    def _say_end(self, about: str, text: str) -> None:
        if self._notices.has_ended(about):
            self._console.say(text)
