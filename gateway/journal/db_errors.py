"""Translate asyncpg's errors, which do not leave this package, and detect commits that skipped the standby."""

from collections.abc import Iterator
from contextlib import contextmanager

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
_NOT_MIGRATED = ("3F000", "42P01", "42703", "42883")
"""SQLSTATEs of a schema, table, column or function that does not exist. All that the gateway's statements name are made
by its migrations."""
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
        if state in _NOT_MIGRATED:
            raise JournalUnavailable(
                "the database lacks tables or functions of this version: `valgnatt serve` creates them when it starts,"
                f" and so does `valgnatt db migrate` ({name_of(error)})"
            ) from error
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


class LocalCommits:
    """Counts the commits of a connection that did not wait for the synchronous standby to the end.

    When such a wait is cancelled, Postgres reports success, with a warning: the transaction is committed on the primary
    and perhaps nowhere else. The connection has to deliver warnings: see COMMIT_SETTINGS and `_prepare_commits` in
    `session`.
    """

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def on_message(self, _: object, message: asyncpg.PostgresLogMessage) -> None:
        """Count a message of the server if it reports one."""
        self.count += reports_local_commit(message)


class LocalCommit:
    """Detect a commit on a connection that did not wait for the synchronous standby to the end.

    Create it before the statement or transaction. Raises InterfaceError if the connection is closed.
    """

    __slots__ = ("_before", "_counted")

    def __init__(self, connection: Connection) -> None:
        counted: LocalCommits | None = getattr(connection, "local_commits", None)
        if counted is None:  # a connection of a pool has no attributes left once it is closed
            raise asyncpg.InterfaceError("the connection is closed")
        self._counted = counted
        self._before = counted.count

    def rule_out(self, text: str = "committed locally, but perhaps not on the synchronous standby") -> None:
        """Raise CommittedLocally with `text` if the wait was cut short; to be called when the statement has returned.

        The warning is counted by then: it arrives before the end of the statement, and the event loop calls the
        listener of the one before it continues after the other.
        """
        if self._counted.count != self._before:
            raise CommittedLocally(text)


def reports_local_commit(message: asyncpg.PostgresLogMessage) -> bool:
    """Return whether this message reports a commit that did not wait for the standby, in any language of the server."""
    if message.sqlstate not in _LOCAL_COMMIT:
        return False
    where = getattr(message, "server_source_function", None)
    return where == "SyncRepWaitForLSN" or "synchronous replication" in (message.message or "")
