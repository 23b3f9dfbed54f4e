"""Translate asyncpg's errors, which do not leave this package, and detect commits that skipped the standby."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import asyncpg

from gateway.errors import ElectionUnknown, GatewayError, JournalUnavailable, StandbyMissing, text_of
from gateway.journal.session import Connection

VERSION_CHANGED = "VG001"
"""The SQLSTATE of an append that was checked against another version of the election."""
_REPORTS_AT_FAULT = ("22", "23")
"""SQLSTATE classes caused by the data sent: data exception, integrity constraint violation."""
_PLACE_TAKEN = "23505"
"""A sequence or a revision was assigned twice: the head is behind its reports, and no report is the cause."""
_LIMIT = "54"
"""The class of program limits. A report exceeds one only with a value too large for an index, and then the error names
the index; a full notification queue is in this class too."""
OUTAGES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""Every exception of a failed database call."""
_LOCAL_COMMIT = ("01000", "57P01")
"""SQLSTATEs of a commit whose wait for the standby was cut short: a warning, or the end of the session."""


class VersionChanged(GatewayError):
    """The election has changed since these reports were checked; check them again."""

    code = "version_changed"
    retryable = True


class CommittedLocally(JournalUnavailable):
    """A commit did not wait for the synchronous standby to the end, or perhaps not: it may be on the primary only."""


class LoginRefused(JournalUnavailable):
    """Postgres refuses the login: repeating it does not help, only a change of the URL, the user or the server."""

    permanent = True


class Unstorable(GatewayError):
    """Postgres refuses these data, however often they are sent."""

    code = "unstorable"


@contextmanager
def translate_db_errors() -> Iterator[None]:
    """Translate what a database call raises into VersionChanged, ElectionUnknown, Unstorable or JournalUnavailable."""
    try:
        yield
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        if state == VERSION_CHANGED:
            raise VersionChanged(str(error)) from error
        if state == "VG002":
            raise ElectionUnknown(str(error)) from error
        if state == "VG004":
            raise StandbyMissing(str(error)) from error
        if _blames_report(error, state):
            raise Unstorable(f"{type(error).__name__} ({state})") from error
        raise JournalUnavailable(name_of(error)) from error
    except OUTAGES as error:
        raise JournalUnavailable(name_of(error)) from error


def name_of(error: Exception) -> str:
    """Return what an error is and says; never nothing."""
    kind = type(error).__name__
    if isinstance(error, GatewayError):
        return str(error)
    if isinstance(error, asyncpg.PostgresError):
        return f"{kind} ({error.sqlstate}): {text_of(error)}"
    return f"{kind}: {text_of(error)}"


def _blames_report(error: asyncpg.PostgresError, state: str) -> bool:
    if state[:2] == _LIMIT:
        return getattr(error, "constraint_name", None) is not None
    return state[:2] in _REPORTS_AT_FAULT and state != _PLACE_TAKEN


class LocalCommit:
    """Detect a commit on this connection that did not wait for the synchronous standby to the end.

    When such a wait is cancelled, Postgres reports success, with a warning: the transaction is committed on the primary
    and perhaps nowhere else. Use it as a context manager around a statement or a transaction. The connection has to
    deliver warnings: see COMMIT_SETTINGS and `_prepare_commits` in `session`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._warned = False

    def __enter__(self) -> "LocalCommit":
        self._connection.add_log_listener(self._on_message)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(asyncpg.InterfaceError):  # the connection is closed, and its listeners with it
            self._connection.remove_log_listener(self._on_message)

    async def rule_out(
        self, text: str = "committed locally, but perhaps not on the synchronous standby"
    ) -> None:
        """Raise CommittedLocally with `text` if the wait was cut short."""
        await asyncio.sleep(0)  # the loop calls the listeners before it continues here
        if self._warned:
            raise CommittedLocally(text)

    def _on_message(self, _: object, message: asyncpg.PostgresLogMessage) -> None:
        self._warned = self._warned or reports_local_commit(message)


def reports_local_commit(message: asyncpg.PostgresLogMessage) -> bool:
    """Return whether this message reports a commit that did not wait for the standby, in any language of the server."""
    if message.sqlstate not in _LOCAL_COMMIT:
        return False
    where = getattr(message, "server_source_function", None)
    return where == "SyncRepWaitForLSN" or "synchronous replication" in (message.message or "")
