"""Connections to Postgres: how they are opened, bounded and given up, and what their errors mean.

The promise: every wait has an end. A host that says nothing costs HOST_S and not the turn of the next one, and a
connection on which an answer is outstanding is closed and never waited for. Each of these waits is a `Deadline`, which
counts only time in which the event loop ran: a busy process does not mistake its own stall for an outage of Postgres.

asyncpg's errors stop at this package: `translate_db_errors` turns them into the gateway's own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import structlog

from gateway.database_url import Host, hosts_of
from gateway.deadline import Deadline
from gateway.errors import ElectionUnknown, GatewayError, JournalUnavailable, StandbyMissing

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

log = structlog.get_logger()

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
"""Likewise where LISTEN is refused, as on a standby, and after a flood of notifications."""
HEARD_MAX = 10_000
"""Notifications that a listener takes within a second, some 1 % of a core. Any login may send as many as it likes;
beyond this the listener gives up its connection, with all that is unread, and whoever it wakes looks by itself."""

_SESSION = {
    "application_name": "valgnatt",
    "search_path": "valgnatt",
    "TimeZone": "UTC",
    "client_min_messages": "warning",  # a commit that did not wait for the standby says so in a warning only
    "default_transaction_isolation": "read committed",  # each statement of an append sees all before its lock
    "row_security": "off",  # a policy that somebody adds raises an error, rather than hide rows from an append
    "plan_cache_mode": "auto",  # statements that are repeated are not planned each time
    "jit": "off",  # compiling costs more than any statement here
    "statement_timeout": f"{STATEMENT_S * 1000:.0f}",
    "lock_timeout": f"{STATEMENT_S * 1000:.0f}",
    "idle_in_transaction_session_timeout": "5000",  # a cut network must not hold the head lock
    "idle_session_timeout": "0",  # a listener is idle all the time
    "client_connection_check_interval": "2000",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "8000",
}
"""Startup parameters of every session, in the units of `pg_settings`. They override what is set for the role, the
database or the server. `default_transaction_read_only` is absent on purpose: a host on which an operator or a
provider has switched it on is not to be written to, and is passed over like a standby."""
_UNVERIFIED = ("application_name", "jit", "plan_cache_mode")
"""Startup parameters that only cost time where they are not in force; those of TCP also depend on the socket."""
_REQUIRED = {"session_replication_role": "origin"}
"""Parameters that are verified too, but that only a superuser may set. Another value would switch off the trigger that
keeps accepted reports from being changed."""
_FLUSHED = ("on", "remote_apply")
"""Values of `synchronous_commit` by which a commit waits for the flush here and on the synchronous standby."""

_SYNCHRONOUS_COMMIT = (
    "CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END"
)
COMMIT_SETTINGS = (
    f"set_config('synchronous_commit', {_SYNCHRONOUS_COMMIT}, true),"
    " set_config('client_min_messages', 'warning', true)"
)
"""Columns for a SELECT in the transaction that they concern: its commit waits for the flush and for the standby, and
warns if it did not. They apply until the commit has ended, whatever session a pooler has given the transaction."""

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


class CommittedLocally(JournalUnavailable):
    """A commit's wait for the synchronous standby was cut short: it may be on the primary only."""


class SessionUnfit(JournalUnavailable):
    """A new session lacks something that a promise rests on; the message names it."""


class Unstorable(GatewayError):
    """Postgres will not take these data, however often they are sent."""

    code = "unstorable"


@contextmanager
def translate_db_errors() -> Iterator[None]:
    """Turn what a database call raises into VersionChanged, ElectionUnknown, Unstorable or JournalUnavailable."""
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
        raise JournalUnavailable(f"{type(error).__name__} ({state}): {error}") from error
    except _OUTAGES as error:
        raise JournalUnavailable(f"{type(error).__name__}: {error}") from error


def _blames_report(error: asyncpg.PostgresError, state: str) -> bool:
    if state[:2] == _LIMIT:
        return getattr(error, "constraint_name", None) is not None
    return state[:2] in _REPORTS_AT_FAULT and state != _PLACE_TAKEN


class LocalCommit:
    """Detect a commit on this connection that did not wait for the synchronous standby to the end.

    When such a wait is cancelled, Postgres reports success, with a warning: the transaction is committed on the
    primary and perhaps nowhere else. Use it as a context around a statement or a transaction. The connection has to
    show warnings: see COMMIT_SETTINGS, and `_require_messages`.
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

    async def rule_out(
        self, text: str = "committed locally, but perhaps not on the synchronous standby"
    ) -> None:
        """Raise CommittedLocally, with a text, if the wait was cut short."""
        await asyncio.sleep(0)  # listeners are called by the loop, before whatever comes after this
        if self._heard:
            raise CommittedLocally(text)

    def _hear(self, _: object, message: asyncpg.PostgresLogMessage) -> None:
        self._heard = self._heard or tells_local_commit(message)


def tells_local_commit(message: asyncpg.PostgresLogMessage) -> bool:
    """Whether this says that a commit did not wait for the standby; the server's language does not matter."""
    if message.sqlstate not in _LOCAL_COMMIT:
        return False
    where = getattr(message, "server_source_function", None)
    return where == "SyncRepWaitForLSN" or "synchronous replication" in (message.message or "")


async def _prepare(connection: Connection, settings: Mapping[str, str], *, feed: bool) -> None:
    """Bring a new session into the state that the promises rest on, and verify it.

    Raises SessionUnfit, and what asyncpg raises.
    """
    if feed:
        await connection.execute(f"SET ROLE {FEED_ROLE}")
    await connection.execute(
        "SELECT CASE WHEN current_setting('transaction_timeout', true) IS NOT NULL"  # since Postgres 17
        " THEN set_config('transaction_timeout', '0', false) END"
    )
    if feed:
        await _require_settings(connection, settings)
    else:
        await _prepare_commits(connection, settings)


async def _prepare_commits(connection: Connection, settings: Mapping[str, str]) -> None:
    """Have every commit flushed, here and on the synchronous standby, and require that its warnings would arrive.

    `synchronous_commit` is set in the session, so that no later change of the server's settings takes it back. A
    message is sent through everything between the server and this process, as the warning would be.
    """
    heard: list[str | None] = []

    def hear(_: object, message: asyncpg.PostgresLogMessage) -> None:
        heard.append(message.message)

    connection.add_log_listener(hear)
    await connection.execute(
        f"DO $$ BEGIN PERFORM set_config('synchronous_commit', {_SYNCHRONOUS_COMMIT}, false);"
        f" PERFORM set_config('client_min_messages', 'notice', true); RAISE NOTICE '{_MESSAGE}'; END $$"
    )
    await _require_settings(connection, settings, synchronous_commit=_FLUSHED)
    connection.remove_log_listener(hear)
    if _MESSAGE not in heard:
        raise SessionUnfit(
            "messages of the server do not arrive, so a commit that skips the standby would go unnoticed;"
            " connect to Postgres directly, or by a pooler in session mode that passes them on"
        )


_MESSAGE = "valgnatt: messages arrive"


async def _require_settings(
    connection: Connection, settings: Mapping[str, str], **also: tuple[str, ...]
) -> None:
    """Require that parameters are in force, as `settings` asked for and with one of the values that `also` names.

    Raises SessionUnfit, naming those that are not.
    """
    wanted = {name: (value,) for name, value in {**settings, **_REQUIRED}.items() if _verified(name)} | also
    rows = await connection.fetch(
        "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY ($1)", list(wanted)
    )
    found: dict[str, str] = {row["name"]: row["setting"] for row in rows}
    wrong = [
        f"{name} is {found.get(name)!r}, not {values[0]!r}"
        for name, values in wanted.items()
        if found.get(name) not in values
    ]
    if wrong:
        raise SessionUnfit(
            f"the session lacks parameters that were asked for: {', '.join(wrong)}; a pooler in between may ignore"
            " startup parameters, and session_replication_role is set for the role or database by a superuser"
        )


def _verified(name: str) -> bool:
    return name not in _UNVERIFIED and not name.startswith("tcp_")


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
            except (*_OUTAGES, SessionUnfit) as error:
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
                await _prepare(connection, options["server_settings"], feed=self._feed)
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
    with translate_db_errors():
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

    flood = _Flood()

    def hear(connection: Any, *heard: object) -> None:
        if flood.counts(asyncio.get_running_loop().time()):
            if not connection.is_closed():
                connection.terminate()
        elif not acts or heard[-1] == ACT:
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
                await connection.add_listener(CHANNEL, hear)
                pause_s = LISTEN_AGAIN_S
                wake()
                await _see_through(connection, ended)
        except JournalUnavailable:
            pass  # it is opened again, as one that ended by itself
        finally:
            connection.terminate()
        if flood.clear():
            log.warning("more notifications than a listener takes", most_per_s=HEARD_MAX, away_s=NO_LISTEN_S)
            pause_s = NO_LISTEN_S
        await asyncio.sleep(pause_s)


class _Flood:
    """Counts notifications by the second, and notes where there were more than HEARD_MAX."""

    def __init__(self) -> None:
        self._second = 0
        self._count = 0
        self._seen = False

    def counts(self, now: float) -> bool:
        """Count one more; return whether it is one too many, or has been since the last `clear`."""
        if int(now) != self._second:
            self._second, self._count = int(now), 0
        self._count += 1
        self._seen = self._seen or self._count > HEARD_MAX
        return self._seen

    def clear(self) -> bool:
        """Begin anew; return whether there were too many."""
        seen, self._seen, self._count = self._seen, False, 0
        return seen


async def _see_through(connection: Connection, ended: asyncio.Event) -> None:
    """Wait until a connection has ended; ask now and then, as a silent network ends none."""
    while not ended.is_set():
        try:
            async with asyncio.timeout(PROBE_S):
                await ended.wait()
        except TimeoutError:
            await connection.execute("SELECT 1", timeout=ANSWER_S)
