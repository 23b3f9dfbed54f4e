"""The SQLite file of an outbox: opened, read and written, with errors that say what to do.

Independent of reports. A call waits BUSY_S at most for another process; `when_available` waits longer, and lets the
event loop run meanwhile.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from gateway.backoff import Backoff
from gateway.errors import GatewayError
from gateway.humanize import duration
from gateway.sqlite_transactions import write_transaction

T = TypeVar("T")

BUSY_S = 0.25
"""How long one call waits for another process that has locked the file, in seconds."""
LOCKED_S = 60.0
"""How long a command waits for another process that has locked the file, in seconds."""
RETRY_FIRST_S, RETRY_MOST_S = 0.25, 5.0
REPEAT_S = 60.0
"""After how many seconds the reason of a wait is shown again."""
_ADVICE = {
    sqlite3.SQLITE_FULL: "no space left on its device; free some",
    sqlite3.SQLITE_BUSY: "another process has locked it",
    sqlite3.SQLITE_LOCKED: "another process has locked it",
    sqlite3.SQLITE_READONLY: "read-only; check the permissions of the file and of its directory",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check the permissions of the file and of its directory",
    sqlite3.SQLITE_IOERR: "input/output error; check the disk, its free space and the quota",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "not an outbox",
}
_TEMPORARY = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
)
_MOVE_AWAY = "; keep a copy of it, name another file with --outbox, and push all files again"


class OutboxUnavailable(GatewayError):
    """The outbox cannot be opened, read or written; the message names the file, the reason and what to do."""

    code = "outbox_unavailable"
    retryable = True
    is_locked = False
    """Whether another process has locked it, so that waiting helps."""
    is_temporary = False
    """Whether it may work again without another file."""


class OutboxFile:
    """A database in a file. Invariant: every error is an OutboxUnavailable, and leaves no transaction open."""

    def __init__(self, path: Path, version: int, migrate: Callable[[sqlite3.Connection], None]) -> None:
        """Open a file, or create it readable by its owner only.

        `version` is the newest format that can be read; `migrate` converts an older or empty file to it.
        """
        self.path = path
        with self._errors():
            if path.parent.exists() and not path.parent.is_dir():
                raise self._error(f"{path.parent} is not a directory")
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise self._error("a directory; name a file with --outbox")
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        try:
            self._prepare(version, migrate)
        except BaseException:
            self._db.close()
            raise
        self._identity = self._on_disk()

    def _prepare(self, version: int, migrate: Callable[[sqlite3.Connection], None]) -> None:
        with self._errors():
            (found,) = self._db.execute("PRAGMA user_version").fetchone()
            if found > version:
                raise self._error(
                    f"a newer version of valgnatt wrote it (format {found}, not {version}); use that version, or"
                    " name another file with --outbox"
                )
        if found < version:
            with self._transaction():
                migrate(self._db)
                self._db.execute(f"PRAGMA user_version = {version}")
        with self._errors():
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error):
            self._db.close()

    def rows(self, query: str, *arguments: Any) -> list[Any]:
        """Return the rows that a statement gives. Raises OutboxUnavailable."""
        with self._errors():
            return self._db.execute(query, arguments).fetchall()

    def run_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement with each of the rows. Raises OutboxUnavailable."""
        with self._errors():
            self._db.executemany(statement, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all of the block or nothing. Raises OutboxUnavailable."""
        if self._on_disk() != self._identity:
            raise self._error("was moved, replaced or deleted; start the command again")
        with self._transaction():
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors(), write_transaction(self._db):
            yield

    def _on_disk(self) -> tuple[int, int]:
        with self._errors():
            state = self.path.stat()
        return state.st_dev, state.st_ino

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._translated(error) from error
        except OSError as error:
            raise self._error(error.strerror or str(error)) from error
        except (OverflowError, UnicodeError) as error:
            raise self._error(f"cannot store a report: {error}") from error

    def damaged(self, reason: Exception) -> OutboxUnavailable:
        """Return the error for a row that cannot be read."""
        return self._error(f"damaged: {reason}{_MOVE_AWAY}")

    def _translated(self, error: sqlite3.Error) -> OutboxUnavailable:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        text = _ADVICE.get(code, str(error))
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
            text += _MOVE_AWAY
        found = self._error(text)
        found.is_locked = code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        found.is_temporary = code in _TEMPORARY
        return found

    def _error(self, text: str) -> OutboxUnavailable:
        return OutboxUnavailable(f"outbox {self.path}: {text}")


async def when_available(
    operation: Callable[[], T], say: Callable[[str], None], *, keep_trying: bool = False
) -> T:
    """Return the result of an operation on an outbox; repeat it while another process has locked the file.

    That is for LOCKED_S, or, with `keep_trying`, until it succeeds, and then after other temporary errors too. The
    reason is shown at once and every REPEAT_S. Raises OutboxUnavailable.
    """
    clock = asyncio.get_running_loop().time
    backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
    ends, reason, repeat_at = clock() + LOCKED_S, "", 0.0
    while True:
        try:
            result = operation()
        except OutboxUnavailable as error:
            if not (error.is_temporary if keep_trying else error.is_locked and clock() < ends):
                raise
            if str(error) != reason or clock() > repeat_at:
                reason, repeat_at = str(error), clock() + REPEAT_S
                limit = "" if keep_trying else f" for {duration(LOCKED_S)} at most"
                say(f"{reason}; trying again{limit}")
            await asyncio.sleep(backoff.next())
        else:
            if reason:
                say("The outbox is available again.")
            return result
