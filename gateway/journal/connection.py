"""Open, bound and close connections to Postgres, and translate their errors.

Every wait has a limit. A host that does not answer costs HOST_S and does not keep the next one from being tried. A
connection with an outstanding answer is closed, never waited for. Each wait is a `Deadline`, which counts only time in
which the event loop ran, so a busy process does not mistake its own stall for an outage of Postgres.

asyncpg's errors do not leave this package: `translate_db_errors` translates them.
"""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import structlog

from gateway.database_url import Host, SessionAttrs, read_database_url
from gateway.deadline import Deadline
from gateway.errors import ElectionUnknown, GatewayError, JournalUnavailable, StandbyMissing, text_of
from gateway.journal.session import (
    SESSION,
    STATEMENT_S,
    Connection,
    SessionUnfit,
    prepare,
    require_attrs,
    require_own_session,
)

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

log = structlog.get_logger()

CHANNEL = "valgnatt"
ACT = "act"
"""The payload of a NOTIFY after an administrative act; after publications the payload is empty."""

ANSWER_S = 8.0
"""Seconds to wait for an answer; longer than STATEMENT_S, so that the server's own error arrives first."""
CONNECT_S = 5.0
"""Seconds to wait for a connection: for a new one to open, or for a free one in a pool."""
HOST_S = 2.0
"""Seconds to wait for one of several hosts before the next is tried; less than half of CONNECT_S."""
PROBE_S = 30.0
"""Seconds without a notification after which a listener checks that the server still answers."""
LISTEN_AGAIN_S = 1.0
"""Seconds before a listener reconnects."""
NO_LISTEN_S = 5.0
"""The same where LISTEN is refused, as on a standby, and after too many notifications."""
NOTIFICATIONS_PER_S_MAX = 10_000
"""Notifications that a listener processes within a second, about 1 % of a core. Any login may send any number. Above
this limit the listener closes its connection with everything unread; its users also poll, so they miss nothing."""

VERSION_CHANGED = "VG001"
"""The SQLSTATE of an append that was checked against another version of the election."""
_REPORTS_AT_FAULT = ("22", "23")
"""SQLSTATE classes caused by the data sent: data exception, integrity constraint violation."""
_PLACE_TAKEN = "23505"
"""A sequence or a revision was assigned twice: the head is behind its reports, and no report is the cause."""
_LIMIT = "54"
"""The class of program limits. A report exceeds one only with a value too large for an index, and then the error names
the index; a full notification queue is in this class too."""
_OUTAGES = (
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
    """A commit's wait for the synchronous standby was cut short: the commit may be on the primary only."""


class LoginRefused(JournalUnavailable):
    """Postgres refuses the login: repeating it does not help, only a change of the URL, the user or the server."""


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
        raise JournalUnavailable(_named(error)) from error
    except _OUTAGES as error:
        raise JournalUnavailable(_named(error)) from error


def _named(error: Exception) -> str:
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
    deliver warnings: see COMMIT_SETTINGS, and `_require_messages`.
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


async def _no_reset(_: Connection) -> None:
    """Return a connection to the pool as it is; the statements here leave nothing to reset."""


class _Pooled(asyncpg.Connection):
    """A connection that bounds its statements by a Deadline and can make its host the last to be tried.

    asyncpg's own `command_timeout` uses the clock, and expires while the loop is busy.
    """

    deprioritize_host: Callable[[], None] = staticmethod(lambda: None)
    answer_s: float | None = None
    """Default timeout of a statement in seconds; None: no limit."""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        """See asyncpg. Raises TimeoutError."""
        async with self._answered_in(timeout):
            return await super().execute(query, *args)

    async def fetch(self, query: str, *args: Any, timeout: float | None = None, **options: Any) -> Any:
        """See asyncpg. Raises TimeoutError."""
        async with self._answered_in(timeout):
            return await super().fetch(query, *args, **options)

    async def fetchrow(self, query: str, *args: Any, timeout: float | None = None, **options: Any) -> Any:
        """See asyncpg. Raises TimeoutError."""
        async with self._answered_in(timeout):
            return await super().fetchrow(query, *args, **options)

    async def fetchval(self, query: str, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """See asyncpg. Raises TimeoutError."""
        async with self._answered_in(timeout):
            return await super().fetchval(query, *args, column=column)

    def _answered_in(self, timeout: float | None) -> AbstractAsyncContextManager[object]:
        seconds = self.answer_s if timeout is None else timeout
        return nullcontext() if seconds is None else Deadline(seconds)


class Hosts:
    """The hosts of a URL, and the order in which they are tried. Invariants:

    * Each host has its own time limit, so none uses up the time of another.
    * A host that failed, or left a statement unanswered, is tried last from then on. So the last good one comes first,
      and repeated attempts reach every host even if each lasts little more than HOST_S.
    * The first session on a host is proven not to be shared with other clients before anything is changed in it.
    """

    def __init__(self, url: str, *, feed: bool) -> None:
        self._url = read_database_url(url, writes=not feed)
        self._feed = feed
        self._attrs: SessionAttrs = (self._url.session_attrs or "any") if feed else "read-write"
        self._hosts = list(self._url.hosts)
        self._unshared: set[Host] = set()
        if self._url.shuffle_hosts:
            random.shuffle(self._hosts)

    async def connect(self, **options: Any) -> Connection:
        """Open a connection: to a writable host, or, for a feed, to any. Raises what asyncpg raises, or OSError.

        Raises LoginRefused or SessionUnfit if no host can be used until somebody changes a setting.
        """
        wanted: list[SessionAttrs] = [self._attrs]
        if self._attrs == "prefer-standby":
            wanted = ["any"] if len(self._hosts) == 1 else ["standby", "any"]
        hosts = list(self._hosts)
        if len(hosts) == 1:
            return await self._open(hosts[0], CONNECT_S, wanted[0], options)
        failures: list[tuple[Host, Exception]] = []
        for attrs in wanted:
            failures.clear()
            for host in hosts:
                try:
                    return await self._open(host, HOST_S, attrs, options)
                except (*_OUTAGES, SessionUnfit, LoginRefused) as error:
                    failures.append((host, error))
                    self._put_last(host)
        text = "; ".join(f"{host.name}: {_named(error)}" for host, error in failures)
        permanent = all(isinstance(error, SessionUnfit | LoginRefused) for _, error in failures)
        raise LoginRefused(text) if permanent else ConnectionError(text)

    def _put_last(self, host: Host) -> None:
        self._hosts.remove(host)
        self._hosts.append(host)

    async def _open(
        self, host: Host, timeout_s: float, attrs: SessionAttrs, options: dict[str, Any]
    ) -> Connection:
        timeout_s = min(timeout_s, self._url.connect_timeout_s or timeout_s)
        async with Deadline(timeout_s, "no connection"):
            connection = await self._log_in(host, options)
            vars(connection).update(
                deprioritize_host=partial(self._put_last, host), answer_s=options.get("command_timeout")
            )
            try:
                if host not in self._unshared:
                    await require_own_session(connection, partial(self._log_in, host, options))
                    self._unshared.add(host)
                await require_attrs(connection, attrs)
                with _permanent_if_refused():
                    await prepare(connection, options["server_settings"], feed=self._feed)
            except BaseException:
                connection.terminate()
                raise
        return connection

    async def _log_in(self, host: Host, options: dict[str, Any]) -> Connection:
        """Open a session with its startup parameters, or without those that a pooler refuses: `prepare` sets all."""
        settings = {**options["server_settings"], **self._url.server}
        with _permanent_if_refused():
            try:
                return await self._open_session(host, options, settings)
            except asyncpg.ProtocolViolationError as error:
                if "startup parameter" not in str(error):
                    raise
            kept = {name: settings[name] for name in ("application_name", *self._url.server)}
            return await self._open_session(host, options, kept)

    async def _open_session(
        self, host: Host, options: dict[str, Any], settings: dict[str, str]
    ) -> Connection:
        url = self._url
        connection: Connection = await asyncpg.connect(
            url.dsn,
            **{
                **options,
                "host": host.name,
                "port": host.port,
                "user": url.user,
                "password": url.password,
                "database": url.database,
                "server_settings": settings,
                "connection_class": _Pooled,
                "timeout": None,
                "command_timeout": None,
                "target_session_attrs": "any",  # `require_attrs` checks the host
            },
        )
        return connection


_REFUSED_LOGINS = (
    asyncpg.ClientConfigurationError,
    asyncpg.InvalidAuthorizationSpecificationError,  # also a wrong password
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedObjectError,  # no such role or parameter
    asyncpg.CantChangeRuntimeParamError,
    asyncpg.InvalidParameterValueError,
    ssl.SSLCertVerificationError,
)
"""Errors of a login that repeating it does not change."""


@contextmanager
def _permanent_if_refused() -> Iterator[None]:
    try:
        yield
    except _REFUSED_LOGINS as error:
        raise LoginRefused(_named(error)) from error


@asynccontextmanager
async def open_pool(url: str, *, feed: bool = False, max_size: int = 8) -> AsyncIterator[Pool]:
    """Open a pool of at most `max_size` connections: to the writable host of `url`, or, for a feed, to any.

    Opening succeeds while Postgres is unavailable: connections are made when they are needed.
    """
    hosts = Hosts(url, feed=feed)

    async def connect_one(_: object, **options: Any) -> Connection:
        return await hosts.connect(**options)

    options: dict[str, Any] = {"connect": connect_one, "server_settings": SESSION}
    pool = asyncpg.create_pool(
        url,
        min_size=0,
        max_size=max_size,
        max_inactive_connection_lifetime=60.0,
        reset=_no_reset,
        command_timeout=ANSWER_S,
        connection_class=_Pooled,
        **options,
    )
    await pool
    try:
        yield pool
    finally:
        pool.terminate()


@asynccontextmanager
async def acquired(pool: Pool) -> AsyncIterator[Connection]:
    """Acquire a connection from a pool. Raises TimeoutError if none is available within CONNECT_S seconds.

    A connection whose statement is still running is closed without a cancel request: through a pooler, a cancel may
    reach another session, and it would cut short a commit that waits for the standby. The server notices the closed
    connection. If the host has become read-only, all connections are reopened, to whichever host is writable.
    """
    async with Deadline(CONNECT_S, "no free connection"):
        taken = await pool.acquire()
    connection = cast("Connection", taken)
    try:
        yield connection
    except TimeoutError:
        cast("_Pooled", taken).deprioritize_host()
        await (
            pool.expire_connections()
        )  # the others may be dead too, and would be handed out before a new one is opened
        _terminate(connection)
        raise
    except asyncio.CancelledError:
        _terminate(connection)
        raise
    except asyncpg.ReadOnlySQLTransactionError:
        await pool.expire_connections()
        _terminate(connection)
        raise
    finally:
        await pool.release(taken, timeout=ANSWER_S)  # does nothing for a closed connection


def _terminate(connection: Connection) -> None:
    with suppress(asyncpg.InterfaceError):  # the pool has already released a broken connection
        connection.terminate()


async def connect(url: str, *, feed: bool = False, statement_s: float = STATEMENT_S) -> Connection:
    """Open a dedicated connection (for listening, migrations or administration).

    `statement_s` is the timeout of its statements in seconds. Raises JournalUnavailable.
    """
    with translate_db_errors():
        return await Hosts(url, feed=feed).connect(
            command_timeout=statement_s + ANSWER_S - STATEMENT_S,
            server_settings={**SESSION, "statement_timeout": f"{statement_s * 1000:.0f}"},
        )


async def notifications(
    url: str, wake: Callable[[], None], *, feed: bool = False, acts: bool = False
) -> None:
    """Call `wake` on each NOTIFY, and once after each connect, until cancelled; `acts`: only for administrative acts.

    A notification is only a hint, and callers also poll. So a lost connection is reopened after a pause, and on a
    standby, where LISTEN does not work, `wake` is never called.
    """

    rate = _NotificationRate()

    def on_notification(connection: Any, *details: object) -> None:
        if rate.exceeded(asyncio.get_running_loop().time()):
            if not connection.is_closed():
                connection.terminate()
        elif not acts or details[-1] == ACT:
            wake()

    while True:
        pause_s = LISTEN_AGAIN_S
        try:
            connection = await connect(url, feed=feed)
        except JournalUnavailable:
            await asyncio.sleep(pause_s)
            continue
        ended = asyncio.Event()
        connection.add_termination_listener(lambda _, ended=ended: ended.set())
        try:
            with translate_db_errors():
                pause_s = NO_LISTEN_S
                await connection.add_listener(CHANNEL, on_notification)
                pause_s = LISTEN_AGAIN_S
                wake()
                await _wait_terminated(connection, ended)
        except JournalUnavailable:
            pass  # reopened below, like a connection that the server closed
        finally:
            connection.terminate()
        if rate.clear():
            log.warning(
                "too many notifications; the listener reconnects",
                limit_per_s=NOTIFICATIONS_PER_S_MAX,
                pause_s=NO_LISTEN_S,
            )
            pause_s = NO_LISTEN_S
        await asyncio.sleep(pause_s)


class _NotificationRate:
    """Counts notifications per second and detects more than NOTIFICATIONS_PER_S_MAX."""

    def __init__(self) -> None:
        self._second = 0
        self._count = 0
        self._over = False

    def exceeded(self, now: float) -> bool:
        """Count one notification; return whether the limit has been exceeded since the last `clear`."""
        if int(now) != self._second:
            self._second, self._count = int(now), 0
        self._count += 1
        self._over = self._over or self._count > NOTIFICATIONS_PER_S_MAX
        return self._over

    def clear(self) -> bool:
        """Reset; return whether the limit was exceeded."""
        over, self._over, self._count = self._over, False, 0
        return over


async def _wait_terminated(connection: Connection, ended: asyncio.Event) -> None:
    """Wait until a connection has ended; probe it every PROBE_S, because a network that drops packets ends none."""
    while not ended.is_set():
        try:
            async with asyncio.timeout(PROBE_S):
                await ended.wait()
        except TimeoutError:
            await connection.execute("SELECT 1", timeout=ANSWER_S)
