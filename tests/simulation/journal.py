"""Connections and pools to a simulated database, as the gateway's journal uses those of asyncpg.

`PostgresJournal`, `PublicRecord`, `PostgresConfirmations` and whatever else takes a pool run on them unchanged:

    pool = SimulatedPool(database, process)
    journal = PostgresJournal(pool, announcer, require_standby=True)
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from datetime import datetime
from functools import partial
from typing import Any, cast

import asyncpg

from gateway.deadline import Deadline
from gateway.journal.acts import Acts
from gateway.journal.announcer import Announcer
from gateway.journal.confirmations import PostgresConfirmations
from gateway.journal.connection import ANSWER_S, CONNECT_S, Hosts, _Pooled
from gateway.journal.connection_pool import Pool
from gateway.journal.db_errors import OUTAGES, LocalCommits, translate_db_errors
from gateway.journal.log import LogRecord
from gateway.journal.newest_host import NewestHost
from gateway.journal.notifications import notifications
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from gateway.journal.session import Connection
from tests.simulation.database import SimulatedDatabase
from tests.simulation.server import LOGIN_S, Client, Server, Session
from tests.simulation.statements import Found, Statement, statement

POOL_SIZE = 8
_NOT_REPLICATED = asyncpg.PostgresLogMessage.new(
    {"C": "01000", "R": "SyncRepWaitForLSN", "M": "canceling wait for synchronous replication"}
)
"""The warning with which a commit returns that did not wait for the standby to the end."""


async def _stay() -> None:
    """Have no other server."""


class SimulatedConnection:
    """A connection to a simulated server, as asyncpg has it. Each statement that waits has a time limit."""

    def __init__(self, database: SimulatedDatabase, client: Client, answer_s: float) -> None:
        self._database = database
        self._client = client
        self._answer_s = answer_s
        self._session: Session | None = None
        self.host: Server | None = None
        self.leave_host: Callable[[], Awaitable[None]] = _stay
        """Called if a statement was not answered in time, or the server is not the primary."""
        self.alternatives = False
        """Whether there are other servers."""
        self._answer: asyncio.Future[Sequence[Found]] | None = None
        self._opening: asyncio.Future[None] | None = None
        self._closed = False
        self._in_transaction = False
        self.local_commits: LocalCommits
        self._log_listeners: set[Callable[..., None]] = set()
        self._listeners: dict[str, list[Callable[..., object]]] = {}
        self._termination_listeners: list[Callable[..., object]] = []

    # Opening.

    async def open(self, server: Server) -> None:
        """Log in to a server. Raises OSError, and TimeoutError if it does not answer."""
        self._opening = asyncio.get_running_loop().create_future()
        self._database.travel(self._client, partial(self._arrived, server))
        try:
            async with Deadline(CONNECT_S, "no connection"):
                await self._opening
        except BaseException:
            self.terminate()
            raise
        _Pooled.count_local_commits(cast("_Pooled", self))

    def _arrived(self, server: Server) -> None:
        if server.up:
            server.later(LOGIN_S, self._accepted, server)
        else:
            self._database.travel(self._client, self._refused)

    def _accepted(self, server: Server) -> None:
        session = self._database.accept(server, self, self._client)
        self._database.travel(self._client, partial(self._opened, session))

    def _refused(self) -> None:
        if self._opening is not None and not self._opening.done():
            self._opening.set_exception(ConnectionRefusedError("connection refused"))

    def _opened(self, session: Session) -> None:
        self._session = session
        if self._closed or not self._client.alive:
            self._database.travel(self._client, session.client_closed)
        elif self._opening is not None and not self._opening.done():
            self._opening.set_result(None)

    # Statements.

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        """See asyncpg. Raises TimeoutError."""
        async with self._answered_in(timeout):
            await self._send(query, args)
        return "OK"

    async def fetch(self, query: str, *args: Any, timeout: float | None = None) -> Sequence[Found]:
        """See asyncpg. Raises TimeoutError."""
        async with self._answered_in(timeout):
            return await self._send(query, args)

    async def fetchrow(self, query: str, *args: Any, timeout: float | None = None) -> Found | None:
        """See asyncpg. Raises TimeoutError."""
        async with self._answered_in(timeout):
            rows = await self._send(query, args)
        return rows[0] if rows else None

    async def fetchval(self, query: str, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """See asyncpg. Raises TimeoutError."""
        async with self._answered_in(timeout):
            rows = await self._send(query, args)
        return rows[0][column] if rows else None

    def observe_reload(self, _: datetime) -> float:
        """See `connection.observe_reload`; the clock of a simulated server is never set back."""
        return 0.0

    async def prepare_all(self, queries: Iterable[str]) -> None:
        """See `connection.prepare_all`; a simulated server has nothing to prepare."""
        for query in queries:
            statement(query)

    async def perform(self, what: Statement, arguments: Sequence[Any]) -> Sequence[Found]:
        """Execute a statement that has no text. Raises as others do."""
        async with self._answered_in(None):
            return await self._exchange(lambda session: session.receive(what, arguments))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """See asyncpg."""
        await self.execute("BEGIN")
        try:
            yield
        except BaseException:
            with suppress(*OUTAGES):
                await self.execute("ROLLBACK")
            raise
        await self.execute("COMMIT")

    def _answered_in(self, timeout: float | None) -> AbstractAsyncContextManager[object]:
        seconds = self._answer_s if timeout is None else timeout
        return nullcontext() if seconds is None else Deadline(seconds)

    async def _send(self, query: str, arguments: Sequence[Any]) -> Sequence[Found]:
        if query.startswith("BEGIN"):
            return await self._exchange(lambda session: session.control(session.begin))
        if query in ("COMMIT", "ROLLBACK"):
            end = query == "COMMIT"
            return await self._exchange(
                lambda session: session.control(partial(session.end_transaction, commit=end))
            )
        if query == "LISTEN":
            return await self._exchange(lambda session: session.control(session.listen))
        found = statement(query)
        return await self._exchange(lambda session: session.receive(found, arguments))

    async def _exchange(self, send: Callable[[Session], None]) -> Sequence[Found]:
        if self._closed:
            raise asyncpg.InterfaceError("cannot perform operation: connection is closed")
        if self._answer is not None:
            raise asyncpg.InterfaceError("cannot perform operation: another operation is in progress")
        session = self._session
        assert session is not None
        self._answer = answer = asyncio.get_running_loop().create_future()
        self._database.travel(self._client, partial(send, session))
        try:
            return await answer
        finally:
            if answer.done() and not answer.cancelled():
                self._answer = None  # otherwise the statement is still being executed

    # What comes from the server.

    def answered(
        self, rows: Sequence[Found], error: Exception | None, *, in_transaction: bool, warned: bool
    ) -> None:
        """See `Peer.answered`."""
        if self._closed:
            return
        self._in_transaction = in_transaction
        if warned:
            for listener in self._log_listeners:
                listener(self, _NOT_REPLICATED)
        answer = self._answer
        if answer is not None and not answer.done():
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(rows)

    def notified(self, payload: str) -> None:
        """See `Peer.notified`."""
        if not self._closed and self._client.alive:
            for channel, listeners in self._listeners.items():
                for listener in listeners:
                    listener(self, 0, channel, payload)

    def lost(self, error: Exception | None) -> None:
        """See `Peer.lost`."""
        if not self._closed:
            self._close(error)

    def _close(self, error: Exception | None) -> None:
        self._closed = True
        self._in_transaction = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(
                error
                or asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
            )
        for listener in self._termination_listeners:
            listener(self)

    # The rest of what the gateway uses.

    def terminate(self) -> None:
        """Close the connection at once."""
        if self._closed:
            return
        if self._session is not None:
            self._database.travel(self._client, self._session.client_closed)
        self._close(None)

    def is_closed(self) -> bool:
        """Whether it is closed."""
        return self._closed

    def is_in_transaction(self) -> bool:
        """Whether a transaction was begun and has not ended."""
        return self._in_transaction

    def add_log_listener(self, callback: Callable[..., None]) -> None:
        """See asyncpg."""
        self._log_listeners.add(callback)

    async def reset(self) -> None:
        """Have no listeners any more, as asyncpg's pool does with a released connection; then do what is set here."""
        self._log_listeners.clear()
        await _Pooled.reset_released(cast("_Pooled", self))

    async def add_listener(self, channel: str, callback: Callable[..., object]) -> None:
        """See asyncpg."""
        self._listeners.setdefault(channel, []).append(callback)
        await self._send("LISTEN", ())

    def add_termination_listener(self, callback: Callable[..., object]) -> None:
        """See asyncpg."""
        self._termination_listeners.append(callback)


class SimulatedActs(Acts):
    """Administrative acts in the gateway's own transaction; what one does is a statement that has no text."""

    async def perform(self, act: Statement, key: int, *, has_changed: Callable[[], bool]) -> None:
        """Execute the statement of an act, commit, and notify if something `has_changed`."""
        with translate_db_errors():
            async with self._transaction():
                await cast("SimulatedConnection", self._connection).perform(act, (key,))
                self._notification_due = has_changed()


async def connect(
    database: SimulatedDatabase, client: Client, *, replica: bool = False, answer_s: float = ANSWER_S
) -> SimulatedConnection:
    """Open a connection, see `gateway.journal.connection.connect`. Raises JournalUnavailable."""
    connection = SimulatedConnection(database, client, answer_s)
    with translate_db_errors():
        await connection.open(database.hosts(client, replica=replica).choose())
    return connection


class _Slot:
    """A place of a pool for one connection."""

    def __init__(self) -> None:
        self.connection: SimulatedConnection | None = None
        self.generation = 0


class SimulatedPool:
    """A pool of connections as asyncpg has it: connections are opened when they are needed."""

    def __init__(
        self, database: SimulatedDatabase, client: Client, *, replica: bool = False, max_size: int = POOL_SIZE
    ) -> None:
        self._database = database
        self._client = client
        self._hosts = database.hosts(client, replica=replica)
        self._hosts.serve(self)
        self._max_size = max_size
        self._free = [_Slot() for _ in range(max_size)]
        self._used: dict[SimulatedConnection, _Slot] = {}
        self._waiting: deque[asyncio.Future[_Slot]] = deque()
        self._generation = 0
        self._closed = False

    async def acquire(self) -> SimulatedConnection:
        """Take a connection, once one is free within CONNECT_S; raise what `SimulatedConnection.open` raises."""
        if self._closed:
            raise asyncpg.InterfaceError("pool is closed")
        async with Deadline(CONNECT_S, "no free connection"):
            return await self._acquire()

    async def _acquire(self) -> SimulatedConnection:
        slot = await self._take()
        try:
            connection = slot.connection
            if connection is not None and slot.generation != self._generation:
                connection.terminate()
            if connection is None or connection.is_closed():
                connection = SimulatedConnection(self._database, self._client, ANSWER_S)
                slot.connection, slot.generation = connection, self._generation
                connection.host = server = self._hosts.choose()
                connection.leave_host = partial(self._hosts.leave, server)
                connection.alternatives = self._hosts.alternatives
                await connection.open(server)
        except BaseException:
            slot.connection = None
            self._give(slot)
            raise
        self._used[connection] = slot
        return connection

    async def release(self, connection: SimulatedConnection, *, timeout: float | None = None) -> None:
        """Give a connection back."""
        slot = self._used.pop(connection, None)
        if slot is not None:
            if connection.is_closed() or slot.generation != self._generation:
                connection.terminate()
                slot.connection = None
            else:
                await connection.reset()
            self._give(slot)

    async def _take(self) -> _Slot:
        if self._free:
            return self._free.pop()
        waiter: asyncio.Future[_Slot] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self._give(waiter.result())  # it was given a slot in the same moment
            raise

    def _give(self, slot: _Slot) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(slot)
                return
        self._free.append(slot)

    async def expire_connections(self) -> None:
        """Have all connections of now opened anew."""
        self._generation += 1

    def terminate(self) -> None:
        """Close all connections at once."""
        self._closed = True
        for slot in [*self._free, *self._used.values()]:
            if slot.connection is not None:
                slot.connection.terminate()

    def get_size(self) -> int:
        """Return the number of open connections."""
        slots = [*self._free, *self._used.values()]
        return sum(slot.connection is not None and not slot.connection.is_closed() for slot in slots)

    def get_idle_size(self) -> int:
        """Return the number of those that nobody uses."""
        return sum(slot.connection is not None and not slot.connection.is_closed() for slot in self._free)

    def get_max_size(self) -> int:
        """Return the number of connections that it opens at most."""
        return self._max_size


def open_pool(
    database: SimulatedDatabase, client: Client, *, replica: bool = False, max_size: int = POOL_SIZE
) -> Pool:
    """Return a pool, see `gateway.journal.connection.open_pool`; with `replica` of connections to the standby."""
    return cast("Pool", SimulatedPool(database, client, replica=replica, max_size=max_size))


class _FeedHosts:
    """The hosts of a feed, see `gateway.journal.newest_host`."""

    def __init__(self, database: SimulatedDatabase, client: Client, *, replica: bool) -> None:
        self._hosts = database.hosts(client, replica=replica)
        self._database = database

    @property
    def all(self) -> Sequence[Server]:
        """All hosts."""
        return self._hosts.all

    async def connect_to(self, host: Server) -> SimulatedConnection:
        """Open a connection to one of them. Raises OSError and TimeoutError."""
        connection = SimulatedConnection(self._database, self._hosts.client, ANSWER_S)
        await connection.open(host)
        return connection

    async def leave(self, host: Server) -> None:
        """Read from another one."""
        await self._hosts.leave(host)


def newest_host(
    database: SimulatedDatabase, client: Client, pool: Pool, *, replica: bool = False
) -> NewestHost:
    """Return what makes a feed leave a host whose record is older."""
    return NewestHost(pool, cast("Hosts", _FeedHosts(database, client, replica=replica)))


def journal(
    database: SimulatedDatabase,
    client: Client,
    announcer: Announcer | None = None,
    *,
    require_standby: bool = False,
) -> PostgresJournal:
    """Return the journal of a push process."""
    return PostgresJournal(open_pool(database, client), announcer, require_standby=require_standby)


def confirmations(database: SimulatedDatabase, client: Client) -> PostgresConfirmations:
    """Return the confirmations of a push process, on a connection of their own."""
    return PostgresConfirmations(open_pool(database, client, max_size=1))


def record(database: SimulatedDatabase, client: Client, *, replica: bool = False) -> PublicRecord:
    """Return the record as a feed process reads it."""
    return PublicRecord(open_pool(database, client, replica=replica))


def logs(database: SimulatedDatabase, client: Client, *, replica: bool = False) -> LogRecord:
    """Return the logs of elections as a feed process reads them."""
    return LogRecord(open_pool(database, client, replica=replica))


def notified(
    database: SimulatedDatabase,
    client: Client,
    wake: Callable[[], None],
    *,
    acts: bool = False,
    replica: bool = False,
) -> Coroutine[Any, Any, None]:
    """Call `wake` on notifications, until cancelled; see `gateway.journal.notifications`."""

    async def opener(_: str, *, feed: bool = False) -> Connection:
        return cast("Connection", await connect(database, client, replica=replica))

    return notifications("", wake, acts=acts, opener=opener)
