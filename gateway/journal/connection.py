"""Open, bound and close connections to Postgres.

Every wait has a limit. A host that does not answer costs HOST_S and does not keep the next one from being tried. A
connection with an outstanding answer is closed, never waited for. Each wait is a `Deadline`, which counts only time in
which the event loop ran, so a busy process does not mistake its own stall for an outage of Postgres.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, cast

import asyncpg

from gateway.clock import SYSTEM_CHANCE
from gateway.database_url import Host, SessionAttrs, read_database_url
from gateway.deadline import Deadline
from gateway.errors import JournalUnavailable
from gateway.journal.connection_pool import ConnectionPool, Pool
from gateway.journal.db_errors import OUTAGES, LocalCommits, LoginRefused, name_of, translate_db_errors
from gateway.journal.session import (
    FEED_ROLE,
    SESSION,
    SIGNER_ROLE,
    STATEMENT_S,
    Connection,
    SessionUnfit,
    prepare,
    require_attrs,
    require_own_session,
)

ANSWER_S = 8.0
"""Seconds to wait for an answer; longer than STATEMENT_S, so that the server's own error arrives first."""
CONNECT_S = 5.0
"""Seconds to wait for a connection: for a new one to open, or for a free one in a pool."""
HOST_S = 2.0
"""Seconds to wait for one of several hosts before the next is tried; less than half of CONNECT_S."""


class _Pooled(asyncpg.Connection):
    """A connection that bounds its statements by a Deadline and can make its host the last to be tried.

    asyncpg's own `command_timeout` uses the clock, and expires while the loop is busy.
    """

    host: Host | None = None
    alternatives: bool = False
    """Whether there are other hosts."""
    leave_host: Callable[[], Awaitable[None]]
    """Opens further connections to another host."""
    answer_s: float | None = None
    """Default timeout of a statement in seconds; None: no limit."""

    _reload: tuple[datetime, float, float] | None = None
    """The server's last reload by its own clock, and when that was seen first and last by one that is never set."""

    def observe_reload(self, loaded_at: datetime) -> float:
        """Remember the time of the server's last reload; return the seconds from the first to the previous observation.

        In that time the server did not reload its configuration, whatever its clock does.
        """
        now = time.monotonic()
        known = self._reload
        first, last = known[1:] if known is not None and known[0] == loaded_at else (now, now)
        self._reload = (loaded_at, first, now)
        return last - first

    local_commits: LocalCommits
    """The commits that did not wait for the synchronous standby to the end."""

    def count_local_commits(self) -> None:
        """Count them from now on."""
        self.local_commits = LocalCommits()
        self.add_log_listener(self.local_commits.on_message)

    async def reset_released(self) -> None:
        """Add the listener again, which asyncpg removes when a connection is released to its pool.

        The statements here leave nothing else to reset.
        """
        self.add_log_listener(self.local_commits.on_message)

    def _check_listeners(self, listeners: Iterable[object], kind: str) -> None:
        if kind != "log":  # the listener for messages is one of the connection, not of who releases it
            super()._check_listeners(listeners, kind)  # type: ignore[misc]

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

    async def copied(self, query: str) -> bytes:
        """Return the rows of a query without arguments in the binary format of COPY. Raises TimeoutError."""
        parts: list[bytes] = []

        async def add(part: bytes) -> None:
            parts.append(part)

        async with self._answered_in(None):
            await self.copy_from_query(query, output=add, format="binary")
        return b"".join(parts)

    async def prepare_all(self, queries: Iterable[str]) -> None:
        """Prepare statements that are not, so that each takes one round trip. Raises TimeoutError."""
        async with self._answered_in(None):
            for query in queries:
                await self._get_statement(query, None, named=True)  # type: ignore[attr-defined]

    def _answered_in(self, timeout: float | None) -> "_Statement":
        seconds = self.answer_s if timeout is None else timeout
        return _Statement(self, None if seconds is None else Deadline(seconds))


class _Statement:
    """Bounds a statement of a connection, which fails with an InterfaceError if the connection is terminated meanwhile.

    Between its round trips, asyncpg would raise AttributeError, since a terminated connection has no protocol.
    """

    __slots__ = ("_connection", "_deadline")

    def __init__(self, connection: _Pooled, deadline: Deadline | None) -> None:
        self._connection = connection
        self._deadline = deadline

    async def __aenter__(self) -> None:
        if self._deadline is not None:
            await self._deadline.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._deadline is not None:
            await self._deadline.__aexit__(kind, error, traceback)
        if kind is AttributeError and self._connection.is_closed():
            raise asyncpg.InterfaceError("the connection was closed during a statement") from error


class Hosts:
    """The hosts of a URL, and the order in which they are tried. Invariants:

    * Each host has its own time limit, so none uses up the time of another.
    * A host that failed, left a statement unanswered or cancelled one that waited for too long, is tried last from then
      on. So the last good one comes first, and repeated attempts reach every host even if each lasts little more than
      HOST_S.
    * All pools that share this object change to another host together, whatever the reason: what one of them writes is
      about what another one wrote.
    * The first session on a host is proven not to be shared with other clients before anything is changed in it.
    """

    def __init__(self, url: str, *, feed: bool, signer: bool = False) -> None:
        self._url = read_database_url(url, writes=not feed)
        self._role = FEED_ROLE if feed else SIGNER_ROLE if signer else None
        self._attrs: SessionAttrs = (self._url.session_attrs or "any") if feed else "read-write"
        self._hosts = list(self._url.hosts)
        self._unshared: set[Host] = set()
        self._pools: list[Pool] = []
        self._on_change: list[Callable[[], None]] = []
        self._last: Host | None = None
        """The host of the newest connection."""
        self._last_attrs: SessionAttrs = "any"
        """What it was required to be, for `prefer-standby`."""
        if self._url.shuffle_hosts:
            SYSTEM_CHANCE.shuffle(self._hosts)

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
                    connection = await self._open(host, HOST_S, attrs, options)
                except (*OUTAGES, SessionUnfit, LoginRefused) as error:
                    failures.append((host, error))
                    self._put_last(host)
                else:
                    await self._change_to(host)
                    self._last_attrs = attrs
                    return connection
        text = "; ".join(f"{host.name}: {name_of(error)}" for host, error in failures)
        permanent = all(isinstance(error, JournalUnavailable) and error.permanent for _, error in failures)
        raise LoginRefused(text) if permanent else ConnectionError(text)

    async def connect_each(self, **options: Any) -> list[tuple[str, Connection | JournalUnavailable]]:
        """Open a connection to every host, whether it is writable or not; return each, or why it cannot be used."""
        hosts = tuple(self._hosts)
        opened = await asyncio.gather(*(self._connect_to(host, options) for host in hosts))
        return [(_shown(host), each) for host, each in zip(hosts, opened, strict=True)]

    async def _connect_to(self, host: Host, options: dict[str, Any]) -> Connection | JournalUnavailable:
        try:
            with translate_db_errors():
                return await self._open(host, HOST_S, "any", options)
        except JournalUnavailable as error:
            return error

    @property
    def all(self) -> Sequence[Host]:
        """All hosts, as the URL orders them."""
        return self._url.hosts

    async def connect_to(self, host: Host) -> Connection:
        """Open a dedicated connection to one of the hosts, if `connect` might choose it. Raises what `connect` raises.

        With `prefer-standby`, the primary does not fit while there is a standby.
        """
        attrs = self._last_attrs if self._attrs == "prefer-standby" else self._attrs
        options = {"command_timeout": ANSWER_S, "server_settings": SESSION}
        return await self._open(host, HOST_S, attrs, options)

    def serve(self, pool: Pool) -> None:
        """Let a pool that connects to these hosts leave one together with the others."""
        self._pools.append(pool)

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call this whenever connections are opened to another host than before."""
        self._on_change.append(changed)

    async def leave(self, host: Host) -> None:
        """Try a host last from now on, and reopen all connections: others may be dead too, or to a former primary."""
        self._put_last(host)
        await self._expire_connections()

    async def _change_to(self, host: Host) -> None:
        """Reopen the connections of all pools if this is another host than that of the newest connection."""
        before, self._last = self._last, host
        if before not in (None, host):
            await self._expire_connections()
            for changed in self._on_change:
                changed()

    async def _expire_connections(self) -> None:
        for pool in self._pools:
            await pool.expire_connections()

    def _put_last(self, host: Host) -> None:
        self._hosts.remove(host)
        self._hosts.append(host)

    async def _open(
        self, host: Host, timeout_s: float, attrs: SessionAttrs, options: dict[str, Any]
    ) -> Connection:
        timeout_s = min(timeout_s, self._url.connect_timeout_s or timeout_s)
        try:
            async with Deadline(timeout_s, "no connection"):
                return await self._open_fit(host, attrs, options)
        except (*OUTAGES, JournalUnavailable):
            self._unshared.discard(host)  # it may come back with other settings
            raise

    async def _open_fit(self, host: Host, attrs: SessionAttrs, options: dict[str, Any]) -> Connection:
        connection = await self._log_in(host, options)
        vars(connection).update(
            host=host,
            alternatives=len(self._hosts) > 1,
            leave_host=partial(self.leave, host),
            answer_s=options.get("command_timeout"),
        )
        try:
            if host not in self._unshared:
                await require_own_session(connection, partial(self._log_in, host, options))
                self._unshared.add(host)
            await require_attrs(connection, attrs)
            with _permanent_if_refused((asyncpg.InsufficientPrivilegeError,)):
                await prepare(connection, options["server_settings"], self._role)
            cast("_Pooled", connection).count_local_commits()
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


def _shown(host: Host) -> str:
    name = host.name or "the default host"
    return name if host.port is None else f"{name}:{host.port}"


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
def _permanent_if_refused(errors: tuple[type[Exception], ...] = _REFUSED_LOGINS) -> Iterator[None]:
    try:
        yield
    except ConnectionError as error:
        if "rejected SSL upgrade" not in str(error):  # asyncpg has no class for it
            raise
        raise LoginRefused(name_of(error)) from error
    except errors as error:
        raise LoginRefused(name_of(error)) from error


@asynccontextmanager
async def open_pool(
    url: str, *, feed: bool = False, signer: bool = False, max_size: int = 8, hosts: Hosts | None = None
) -> AsyncIterator[Pool]:
    """Open a pool of at most `max_size` connections: to the writable host of `url`, or, for a feed, to any.

    They have the role of a feed or of a signer, or the rights of their login. Pools that are to use the same host are
    given the same `hosts`.

    Opening succeeds while Postgres is unavailable: connections are made when they are needed.
    """
    shared = hosts or Hosts(url, feed=feed, signer=signer)

    async def connect_one(_: object, **options: Any) -> Connection:
        return await shared.connect(**options)

    options: dict[str, Any] = {"connect": connect_one, "server_settings": SESSION}
    pool = ConnectionPool(
        url,
        acquire_s=CONNECT_S,
        min_size=0,
        max_size=max_size,
        loop=None,
        record_class=asyncpg.Record,
        reset=_Pooled.reset_released,
        command_timeout=ANSWER_S,
        connection_class=_Pooled,
        **options,
    )
    await pool
    shared.serve(pool)
    try:
        yield pool
    finally:
        pool.terminate()


@asynccontextmanager
async def acquired(pool: Pool) -> AsyncIterator[Connection]:
    """Acquire a connection from a pool of `open_pool`. Raises TimeoutError if none is available within CONNECT_S.

    A connection whose statement is still running is closed without a cancel request: through a pooler, a cancel may
    reach another session, and it would cut short a commit that waits for the standby. The server notices the closed
    connection. After a statement without an answer, one that the server has cancelled as it waited for too long, and
    one that it refused as it has become read-only, all connections are reopened, to another host if one is writable.
    A cancelled statement may have waited for a lock of a commit that never ends: a former primary, which has not
    noticed that it is one, waits for its standbys for ever.
    """
    taken = await pool.acquire()
    connection = cast("Connection", taken)
    # A connection that is closed within the block is no longer in its proxy when an error arrives here.
    pooled = cast("_Pooled", taken)
    leave_host, alternatives = pooled.leave_host, pooled.alternatives
    try:
        yield connection
    except (TimeoutError, asyncpg.ReadOnlySQLTransactionError):
        await leave_host()
        _terminate(connection)
        raise
    except asyncio.CancelledError:
        _terminate(connection)
        raise
    except (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError):
        if alternatives:
            await leave_host()
        raise
    finally:
        await pool.release(taken, timeout=ANSWER_S)  # does nothing for a closed connection


async def leave_host_of(connection: Connection) -> None:
    """Reopen all connections, to another host than that of a connection of a pool, if there is one."""
    pooled = cast("_Pooled", connection)
    if pooled.alternatives:
        await pooled.leave_host()


def host_of(connection: Connection) -> Host:
    """Return the host of a connection of a pool."""
    host = cast("_Pooled", connection).host
    assert host is not None
    return host


async def prepare_all(connection: Connection, queries: Iterable[str]) -> None:
    """Prepare statements of a connection of a pool, unless they are. Raises what asyncpg raises, or TimeoutError."""
    await cast("_Pooled", connection).prepare_all(queries)


async def copied(connection: Connection, query: str) -> bytes:
    """Return the rows of a query without arguments in the binary format of COPY. Raises what asyncpg raises, or
    TimeoutError."""
    return await cast("_Pooled", connection).copied(query)


def observe_reload(connection: Connection, loaded_at: datetime) -> float:
    """Return for how long the server is known not to have reloaded its configuration, in seconds; and observe it again.

    `loaded_at` is the time of its last reload now, by its own clock. Only calls for the same connection count.
    """
    return cast("_Pooled", connection).observe_reload(loaded_at)


def _terminate(connection: Connection) -> None:
    with suppress(asyncpg.InterfaceError):  # the pool has already released a broken connection
        connection.terminate()


async def connect(
    url: str, *, feed: bool = False, signer: bool = False, statement_s: float = STATEMENT_S
) -> Connection:
    """Open a dedicated connection (for listening, migrations or administration).

    `statement_s` is the timeout of its statements in seconds. Raises JournalUnavailable.
    """
    with translate_db_errors():
        return await Hosts(url, feed=feed, signer=signer).connect(
            command_timeout=statement_s + ANSWER_S - STATEMENT_S,
            server_settings={**SESSION, "statement_timeout": f"{statement_s * 1000:.0f}"},
        )


async def connect_each(url: str) -> list[tuple[str, Connection | JournalUnavailable]]:
    """Open a connection to every host of a URL, by name in its order; an error in place of one that cannot be used."""
    return await Hosts(url, feed=False).connect_each(command_timeout=ANSWER_S, server_settings=SESSION)
