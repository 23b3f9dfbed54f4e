"""Connections to Postgres: how they are opened, bounded and given up, and what their errors mean.

The promise: every wait has an end. A host that says nothing costs HOST_S and not the turn of the next one, and a
connection on which an answer is outstanding is closed and never waited for. Each of these waits is a `Deadline`, which
counts only time in which the event loop ran: a busy process does not mistake its own stall for an outage of Postgres.

asyncpg's errors stop at this package: `answering` turns them into the gateway's own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import asyncpg

from gateway.deadline import Deadline
from gateway.errors import ElectionUnknown, GatewayError, JournalUnavailable
from gateway.journal.hosts import Host, hosts_of

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

FEED_ROLE = "valgnatt_feed"
CHANNEL = "valgnatt"
ACT = "act"
"""What a NOTIFY says of an administrative act; of publications it says nothing."""

STATEMENT_S = 5.0
"""What a statement may take on the server; the longest append takes some hundredths."""
ANSWER_S = 8.0
"""How long an answer is waited for; longer than STATEMENT_S, so that the server's own word comes first."""
CONNECT_S = 5.0
"""What a connection may take to be had: opened, or free in a pool."""
HOST_S = 2.0
"""What one of several hosts may take to let us in, before the next is tried; less than half of CONNECT_S."""
PROBE_S = 30.0
"""How often a listener that hears nothing asks whether the other end is still there."""
LISTEN_AGAIN_S = 1.0
"""How long a listener waits before it connects again."""
NO_LISTEN_S = 5.0
"""Likewise where LISTEN is refused: it is a standby."""

_SESSION = {
    "application_name": "valgnatt",
    "search_path": "valgnatt",
    "timezone": "UTC",
    "default_transaction_isolation": "read committed",  # each statement of an append sees all before its lock
    "jit": "off",  # compiling costs more than any statement here
    "statement_timeout": f"{STATEMENT_S * 1000:.0f}",
    "lock_timeout": f"{STATEMENT_S * 1000:.0f}",
    "idle_in_transaction_session_timeout": "5000",  # a cut network must not hold the head lock
    "client_connection_check_interval": "2000",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "8000",
}

VERSION_CHANGED = "VG001"
"""The SQLSTATE by which an append is turned back that rests on another version."""
_REPORTS_AT_FAULT = ("22", "23")
"""SQLSTATE classes that blame what was sent: data exception, integrity constraint."""
_PLACE_TAKEN = "23505"
"""A place or a revision was given twice: the head has fallen behind its reports, for which no report can be blamed."""
_LIMIT = "54"
"""The class of limits. A report hits one only with what an index cannot take, and then the error names the index; a
full queue of notifications is in this class too."""
_OUTAGES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What a database call raises, where nothing more is known of it."""
_LOCAL_COMMIT = ("01000", "57P01")
"""What a commit says that was told not to wait for the standby any more: a warning, or that the session ends."""


class VersionChanged(GatewayError):
    """The election is no longer as it was when these reports were checked; check them again."""

    code = "version_changed"
    retryable = True


class Unstorable(GatewayError):
    """Postgres will not take these data, however often they are sent."""

    code = "unstorable"


@contextmanager
def answering() -> Iterator[None]:
    """Turn what a database call raises into VersionChanged, ElectionUnknown, Unstorable or JournalUnavailable."""
    try:
        yield
    except asyncpg.PostgresError as error:
        state = error.sqlstate or ""
        if state == VERSION_CHANGED:
            raise VersionChanged(str(error)) from error
        if state == "VG002":
            raise ElectionUnknown(str(error)) from error
        if _blames_report(error, state):
            raise Unstorable(f"{type(error).__name__} ({state})") from error
        raise JournalUnavailable(f"{type(error).__name__} ({state}): {error}") from error
    except _OUTAGES as error:
        raise JournalUnavailable(f"{type(error).__name__}: {error}") from error


def _blames_report(error: asyncpg.PostgresError, state: str) -> bool:
    if state[:2] == _LIMIT:
        return getattr(error, "constraint_name", None) is not None
    return state[:2] in _REPORTS_AT_FAULT and state != _PLACE_TAKEN


class LocalCommit:
    """Whether a commit on this connection was cut short while it waited for the synchronous standby.

    Whoever cancels such a wait makes Postgres report success, with a warning: the transaction is committed here and
    perhaps nowhere else. Used around a statement, as a context.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._heard = False

    def __enter__(self) -> "LocalCommit":
        self._connection.add_log_listener(self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(asyncpg.InterfaceError):  # the connection is gone, and its listeners with it
            self._connection.remove_log_listener(self._hear)

    async def rule_out(self) -> None:
        """Raise JournalUnavailable if it was."""
        await asyncio.sleep(0)  # listeners are called by the loop, before whatever comes after this
        if self._heard:
            raise JournalUnavailable("committed locally, but perhaps not on the synchronous standby")

    def _hear(self, _: object, message: asyncpg.PostgresLogMessage) -> None:
        self._heard = self._heard or tells_local_commit(message)


def tells_local_commit(message: asyncpg.PostgresLogMessage) -> bool:
    """Whether this says that a commit did not wait for the standby; the server's language does not matter."""
    if message.sqlstate not in _LOCAL_COMMIT:
        return False
    where = getattr(message, "server_source_function", None)
    return where == "SyncRepWaitForLSN" or "synchronous replication" in (message.message or "")


async def _prepare_writer(connection: Connection) -> None:
    """Hold every commit to its promise: flushed, here and on the synchronous standby where there is one.

    It is set in each session, so that no later change of the server's settings takes it back.
    """
    await connection.execute(
        "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
        " WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)"
    )


async def _prepare_reader(connection: Connection) -> None:
    """Give up every right but those of the feed's role, whoever logged in."""
    await connection.execute(f"SET ROLE {FEED_ROLE}")


async def _keep(_: Connection) -> None:
    """Leave a returned connection as it is; the statements here leave nothing behind to reset."""


class _Pooled(asyncpg.Connection):
    """A connection that knows how to put its host behind the others, and bounds its statements by a Deadline.

    asyncpg's own `command_timeout` goes by the clock, and expires while the loop is busy.
    """

    blame: Callable[[], None] = staticmethod(lambda: None)
    answer_s: float | None = None
    """What an answer to one statement may take, where the call does not say; None: any time."""

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
    """The hosts of a URL, and how a connection to one of them is had. Invariants:

    * Each host is tried with a time of its own, so none takes the turn of another.
    * One that was tried in vain, or that left a question unanswered, comes last from then on, so the last good one
      comes first; and who is patient for HOST_S and a little more comes further with each attempt.
    """

    def __init__(self, url: str, *, feed: bool) -> None:
        self._url = url
        self._feed = feed
        self._wanted = "any" if feed else "read-write"
        self._hosts = hosts_of(url)

    async def connect(self, **options: Any) -> Connection:
        """Open a connection: to a writable host, or, for a feed, to any. Raises what asyncpg raises, or OSError."""
        hosts = list(self._hosts)
        if len(hosts) == 1:
            return await self._open(hosts[0], CONNECT_S, options)
        in_vain: list[str] = []
        for host in hosts:
            try:
                return await self._open(host, HOST_S, options)
            except _OUTAGES as error:
                in_vain.append(f"{host.name}: {type(error).__name__} {error}".strip())
                self._put_last(host)
        raise ConnectionError("; ".join(in_vain))

    def _put_last(self, host: Host) -> None:
        self._hosts.remove(host)
        self._hosts.append(host)

    async def _open(self, host: Host, patience_s: float, options: dict[str, Any]) -> Connection:
        answer_s = options.get("command_timeout")
        async with Deadline(patience_s):
            connection: Connection = await asyncpg.connect(
                self._url,
                host=host.name,
                port=host.port,
                **{
                    **options,
                    "connection_class": _Pooled,
                    "timeout": None,
                    "command_timeout": None,
                    "target_session_attrs": self._wanted,
                },
            )
            vars(connection).update(blame=partial(self._put_last, host), answer_s=answer_s)
            try:
                await (_prepare_reader if self._feed else _prepare_writer)(connection)
            except BaseException:
                connection.terminate()
                raise
        return connection


@asynccontextmanager
async def open_pool(url: str, *, feed: bool = False, most: int = 8) -> AsyncIterator[Pool]:
    """Open a pool of at most `most` connections: to the writable host of `url`, or, for a feed, to any.

    It opens even while Postgres is away: connections are made when they are asked for.
    """
    hosts = Hosts(url, feed=feed)

    async def connect_one(_: object, **options: Any) -> Connection:
        return await hosts.connect(**options)

    options: dict[str, Any] = {"connect": connect_one, "server_settings": _SESSION}
    pool = asyncpg.create_pool(
        url,
        min_size=0,
        max_size=most,
        max_inactive_connection_lifetime=60.0,
        reset=_keep,
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
    """Have a connection of a pool; raise TimeoutError where none is to be had in CONNECT_S.

    One on which an answer is outstanding is closed, and no cancel is sent: who it would reach is unknown, and a
    commit that waits for the standby would be cut short. The server sees that nobody is there any more. Where the
    host has become read-only, all connections are to be opened anew, to the one that is writable then.
    """
    async with Deadline(CONNECT_S):
        taken = await pool.acquire()
    connection = cast("Connection", taken)
    try:
        yield connection
    except TimeoutError:
        cast("_Pooled", taken).blame()
        await pool.expire_connections()  # the others may be as dead, and would be tried before a new one
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
        await pool.release(taken, timeout=ANSWER_S)  # does nothing for one that is closed


def _terminate(connection: Connection) -> None:
    with suppress(asyncpg.InterfaceError):  # the pool has let go of one that broke
        connection.terminate()


async def connect(url: str, *, feed: bool = False, patience_s: float = STATEMENT_S) -> Connection:
    """Open one connection for a purpose of its own (listening, migrating, administration).

    `patience_s` bounds its statements. Raises JournalUnavailable.
    """
    with answering():
        return await Hosts(url, feed=feed).connect(
            command_timeout=patience_s + ANSWER_S - STATEMENT_S,
            server_settings={**_SESSION, "statement_timeout": f"{patience_s * 1000:.0f}"},
        )


async def notifications(
    url: str, wake: Callable[[], None], *, feed: bool = False, acts: bool = False
) -> None:
    """Call `wake` upon each NOTIFY, and once after each connect, until cancelled; `acts`: only of administrative acts.

    A hint only: whoever uses it also looks by itself now and then. So a lost connection is opened again at leisure,
    and on a standby, where LISTEN does not work, nothing is ever heard.
    """

    def hear(*heard: object) -> None:
        if not acts or heard[-1] == ACT:
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
            with answering():
                pause_s = NO_LISTEN_S
                await connection.add_listener(CHANNEL, hear)
                pause_s = LISTEN_AGAIN_S
                wake()
                await _see_through(connection, ended)
        except JournalUnavailable:
            pass  # it is opened again, as one that ended by itself
        finally:
            connection.terminate()
        await asyncio.sleep(pause_s)


async def _see_through(connection: Connection, ended: asyncio.Event) -> None:
    """Wait until a connection has ended; ask now and then, as a silent network ends none."""
    while not ended.is_set():
        try:
            async with asyncio.timeout(PROBE_S):
                await ended.wait()
        except TimeoutError:
            await connection.execute("SELECT 1", timeout=ANSWER_S)
