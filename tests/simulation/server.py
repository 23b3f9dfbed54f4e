"""A simulated server of Postgres: its sessions, the locks of head rows, and its log. What is assumed about it:

* A transaction that writes or locks is added to the server's log, flushed, and then waits until the synchronous
  standby has flushed it too. Only then do others see what it changed, and only then does it let go of its locks.
* Whoever waits for a head lock gets it in order of arrival; but one that arrives while the lock is being handed over
  may be faster than the one that waits. A wait ends with an error after LOCK_S.
* A session whose client is gone completes what it executes: a commit that waits for the standby goes on waiting. If it
  waits for a lock it ends within CHECK_S; if it is idle in a transaction it ends at once or, if the client is silent,
  after the time that it set.
* If a wait is cancelled, or its session ended by an administrator, the commit stays on the primary, and the client gets
  a warning.
* After a crash everything that was flushed is there and visible, whether or not the standby has it. What was not
  flushed may be there, up to some commit.
* A standby that is promoted has the commits up to one that is at least the last that was waited for. The others are
  lost, and their numbers are given again.
* A NOTIFY reaches those who listen after its commit, which waits for nothing.

It knows nothing of other servers, nor of the network: see `database.py`.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

import asyncpg

from tests.simulation.rows import Record, Row, Tables
from tests.simulation.statements import Found, Statement, database_error

MESSAGE_S = (0.00005, 0.0005)
"""How long a message between two machines takes, in seconds: at least and at most."""
STATEMENT_S = (0.0001, 0.0006)
"""How long a server takes for a statement."""
FLUSH_S = (0.0002, 0.002)
"""How long a server takes to flush its log."""
HANDOVER_S = (0.00002, 0.0002)
"""How long it takes until the next in the queue of a lock has it."""
LOGIN_S = (0.002, 0.006)
"""How long a login takes, with the statements that set and check its session."""
LOCK_S = 5.0
"""`lock_timeout` and `statement_timeout`, of which the latter begins first; see `gateway.journal.session`."""
IDLE_S = 5.0
"""`idle_in_transaction_session_timeout`, unless the transaction set another."""
CHECK_S = 2.0
"""`client_connection_check_interval`."""
SILENT = 0.3
"""The probability that the machine of a process that is killed stops with it, so that nobody tells its peers."""


class Client(Protocol):
    """A process that connects to the database."""

    name: str
    alive: bool
    on_kill: list[Callable[[], None]]


class _Administration:
    """The client of administrative acts."""

    name = "administration"
    alive = True
    on_kill: list[Callable[[], None]] = []  # noqa: RUF012 - it is never killed


ADMINISTRATION = _Administration()


class World(Protocol):
    """What a simulated database needs of its simulation."""

    def chance_for(self, purpose: str) -> random.Random:
        """Return random numbers for one purpose."""

    def server_side(self) -> Context:
        """Return a context whose callbacks belong to no process."""

    def now(self) -> datetime:
        """Return the true time."""

    def trace(self, event: str, **facts: object) -> None:
        """Record an event."""


class Surroundings(Protocol):
    """What surrounds a server: time, chance, the network and other servers."""

    chance: random.Random
    context: Context
    """That of its callbacks."""
    world: World
    unstorable: dict[str, None]
    """Units whose reports it refuses to store."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop on which everything happens."""

    def time(self) -> float:
        """Return the time of the loop, in seconds."""

    def between(self, at_least: float, at_most: float) -> float:
        """Return a time between two."""

    def travel(self, client: Client, callback: Callable[[], None]) -> None:
        """Call back when a message to a client has arrived, if it does."""

    def stream(self, primary: "Server") -> None:
        """Send what a server has flushed to those that follow it."""

    def takes_answer(self, session: "Session") -> bool:
        """Whether the answer to a commit is to be lost with its connection."""

    def takes_request(self, session: "Session") -> bool:
        """Whether a statement that takes a head lock is to be lost with its connection."""


class Peer(Protocol):
    """The client's end of a session."""

    def answered(
        self, rows: Sequence[Found], error: Exception | None, *, in_transaction: bool, warned: bool
    ) -> None:
        """Take the answer to a statement; `warned`: the commit did not wait for the standby to the end."""

    def notified(self, payload: str) -> None:
        """Take a notification."""

    def lost(self, error: Exception | None) -> None:
        """The connection is closed by the other side, after an error or without one."""


class SessionTransaction:
    """A transaction of a session. See `statements.Transaction`."""

    def __init__(self, session: "Session", *, explicit: bool) -> None:
        self._server = session.server
        self.explicit = explicit
        self.failed = False
        self.tables = session.server.tables
        self.waits_for_standby = False
        self.synchronous = True
        self.idle_s: float | None = None
        self.notifications: list[str] = []
        self.changes: list[tuple[int, Row]] = []
        self.locks: list[HeadLock] = []

    @property
    def in_recovery(self) -> bool:
        """Whether the server is a standby."""
        return self._server.in_recovery

    @property
    def conf_loaded_at(self) -> datetime:
        """When the server read its configuration."""
        return self._server.conf_loaded_at

    def now(self) -> datetime:
        """Return the time by the server's clock."""
        return self._server.now()

    def change(self, election: int, row: Row) -> None:
        """Write a row."""
        self.changes.append((election, row))

    def check_storable(self, unit: str) -> None:
        """Raise the error of a report that the server cannot store."""
        if unit in self._server.database.unstorable:
            raise database_error("23514", "refused by a check of the test")


class HeadLock:
    """The lock of the head row of an election, and who waits for it."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self.holder: Session | None = None
        self.queue: deque[tuple[Session, Callable[[], None]]] = deque()

    def acquire(self, session: "Session", proceed: Callable[[], None]) -> None:
        """Call `proceed` once the session has the lock."""
        if self.holder is None or self.holder is session:
            self.holder = session
            proceed()
        else:
            self.queue.append((session, proceed))

    def release(self) -> None:
        """Hand the lock over to the first that waits, which takes a moment."""
        self.holder = None
        if self.queue:
            self._server.later(HANDOVER_S, self._hand_over)

    def _hand_over(self) -> None:
        if self.holder is None and self.queue:
            self.holder, proceed = self.queue.popleft()
            proceed()

    def forget(self, session: "Session") -> None:
        """Remove a session from those that wait."""
        self.queue = deque(each for each in self.queue if each[0] is not session)


class Session:
    """A session of a server: it executes one statement after the other, as its client sends them."""

    def __init__(self, server: "Server", peer: Peer, client: Client) -> None:
        self.server = server
        self.client = client
        self.ended = False
        self.listening = False
        self._peer = peer
        self._transaction: SessionTransaction | None = None
        self._client_gone = False
        self._executing = False
        self._waiting_for: HeadLock | None = None
        self._commit: tuple[SessionTransaction, Sequence[Found], int] | None = None
        """The commit that is being flushed or waits for the standby: its transaction, its answer, its place."""
        self._wait_cut = False
        self._timer: asyncio.TimerHandle | None = None
        server.sessions[self] = None

    # Statements.

    def receive(self, statement: Statement, arguments: Sequence[Any]) -> None:
        """Execute a statement that has arrived from the client."""
        if statement.head and self.server.database.takes_request(self):
            self.server.database.travel(self.client, self.reset)
            self.client_closed()
        elif self._takes_message():
            self.server.later(STATEMENT_S, self._begin, statement, arguments)

    def _begin(self, statement: Statement, arguments: Sequence[Any]) -> None:
        if self.ended:
            return
        transaction = self._transaction or SessionTransaction(self, explicit=False)
        transaction.waits_for_standby = self.server.synchronous
        error = self._refused(transaction, statement, arguments)
        if error is not None:
            self._fail(transaction, error)
        elif statement.head:
            lock = self.server.lock(arguments[0])
            self._waiting_for = lock
            self._timer = self.server.later(LOCK_S, self._give_up, transaction)
            lock.acquire(self, partial(self._locked, lock, transaction, statement, arguments))
        else:
            self._execute(transaction, statement, arguments)

    def _refused(
        self, transaction: SessionTransaction, statement: Statement, arguments: Sequence[Any]
    ) -> Exception | None:
        if transaction.failed:
            return database_error("25P02", "current transaction is aborted")
        if statement.writes and self.server.in_recovery:
            return database_error("25006", "cannot execute in a read-only transaction")
        required = statement.requires_standby
        if required is not None and arguments[required] and not transaction.waits_for_standby:
            return database_error("VG004", "the server waits for no synchronous standby")
        if statement.head and arguments[0] not in self.server.tables.elections:
            return database_error("VG002", "no such election")
        return None

    def _locked(
        self,
        lock: HeadLock,
        transaction: SessionTransaction,
        statement: Statement,
        arguments: Sequence[Any],
    ) -> None:
        self._waiting_for = None
        self._stop_timer()
        if lock not in transaction.locks:
            transaction.locks.append(lock)
        self._execute(transaction, statement, arguments)

    def _give_up(self, transaction: SessionTransaction) -> None:
        """End a wait for a lock with an error."""
        assert self._waiting_for is not None
        self._waiting_for.forget(self)
        self._waiting_for = None
        if self.client is ADMINISTRATION:  # its statements may take longer, see `administration`
            error = database_error("55P03", "canceling statement due to lock timeout")
        else:
            error = database_error("57014", "canceling statement due to statement timeout")
        self._fail(transaction, error)

    def _execute(
        self, transaction: SessionTransaction, statement: Statement, arguments: Sequence[Any]
    ) -> None:
        try:
            rows = statement.do(transaction, *arguments)
        except asyncpg.PostgresError as error:
            self._fail(transaction, error)
            return
        if transaction.explicit:
            self._answer(rows)
        else:
            self._commit_transaction(transaction, rows)

    def _fail(self, transaction: SessionTransaction, error: Exception) -> None:
        """Roll back, and answer with an error."""
        self._roll_back(transaction)
        transaction.failed = True
        self._answer((), error)

    def _roll_back(self, transaction: SessionTransaction) -> None:
        transaction.changes.clear()
        transaction.notifications.clear()
        self._unlock(transaction)

    @staticmethod
    def _unlock(transaction: SessionTransaction) -> None:
        for lock in transaction.locks:
            lock.release()
        transaction.locks.clear()

    # Transactions.

    def begin(self) -> None:
        """Begin a transaction."""
        self._transaction = SessionTransaction(self, explicit=True)
        self._answer(())

    def end_transaction(self, *, commit: bool) -> None:
        """Commit or roll back the transaction."""
        transaction, self._transaction = self._transaction, None
        if transaction is None or transaction.failed:
            self._answer(())
        elif commit:
            self._commit_transaction(transaction, ())
        else:
            self._roll_back(transaction)
            self._answer(())

    def listen(self) -> None:
        """Send notifications to the client from now on."""
        if self.server.in_recovery:
            self._answer((), database_error("25006", "cannot execute LISTEN during recovery"))
        else:
            self.listening = True
            self._answer(())

    def control(self, what: Callable[[], None]) -> None:
        """Do what a BEGIN, COMMIT, ROLLBACK or LISTEN does that has arrived from the client."""
        if self._takes_message():
            self.server.later(STATEMENT_S, self._control, what)

    def _takes_message(self) -> bool:
        """Return whether the session still exists; otherwise the client's message is answered with a reset."""
        if self.ended:
            self.server.database.travel(self.client, self.reset)
            return False
        self._stop_timer()
        self._executing = True
        return True

    def _control(self, what: Callable[[], None]) -> None:
        if not self.ended:
            what()

    def _commit_transaction(self, transaction: SessionTransaction, rows: Sequence[Found]) -> None:
        if not transaction.changes and not transaction.locks:
            self._complete(transaction, rows)
            return
        place = self.server.write(Record(tuple(transaction.changes)))
        self._commit = transaction, rows, place
        self.server.later(FLUSH_S, self._flushed)

    def _flushed(self) -> None:
        if self._commit is None:
            return
        transaction, _, place = self._commit
        self.server.flush(place)
        if transaction.synchronous and self.server.lacks(place) and not self._wait_cut:
            self.server.waiting.append((place, self))
        else:
            self.committed(warned=self._wait_cut and transaction.synchronous)

    def committed(self, *, warned: bool = False) -> None:
        """Complete the commit, whose wait for the standby has ended, or was cut short."""
        assert self._commit is not None
        transaction, rows, place = self._commit
        self._commit = None
        self.server.show(place)
        self._complete(transaction, rows, warned=warned)

    def _complete(
        self, transaction: SessionTransaction, rows: Sequence[Found], *, warned: bool = False
    ) -> None:
        append = bool(transaction.locks)
        self._unlock(transaction)
        for payload in transaction.notifications:
            self.server.notify(payload)
        if append and self.server.database.takes_answer(self):
            self.end(lose=True)
        elif self._wait_cut:
            self.end(_shut_down())
        else:
            self._answer(rows, warned=warned)

    def _answer(self, rows: Sequence[Found], error: Exception | None = None, *, warned: bool = False) -> None:
        self._executing = False
        if self._client_gone:
            self.end()
            return
        in_transaction = self._transaction is not None
        self.server.database.travel(
            self.client,
            partial(self._peer.answered, rows, error, in_transaction=in_transaction, warned=warned),
        )
        if self._transaction is not None:
            idle_s = self._transaction.idle_s
            self._timer = self.server.later(IDLE_S if idle_s is None else idle_s, self._idle_too_long)

    def _idle_too_long(self) -> None:
        text = "terminating connection due to idle-in-transaction timeout"
        self.end(asyncpg.IdleInTransactionSessionTimeoutError(text))

    # The end.

    def client_closed(self) -> None:
        """Notice that the client has closed the connection, or that its machine no longer knows it."""
        if self.ended or self._client_gone:
            return
        self._client_gone = True
        if not self._executing:
            self.end()
        elif self._waiting_for is not None:
            self.server.later((0.0, CHECK_S), self._end_unless_locked)

    def _end_unless_locked(self) -> None:
        if self._waiting_for is not None:
            self.end()

    def terminate(self) -> None:
        """End it as `pg_terminate_backend` does: a commit is not taken back, only its wait is cut short."""
        if self._commit is None:
            self.end(_shut_down())
        else:
            self._wait_cut = True
            self.server.cut_wait(self)

    def cancel_wait(self) -> bool:
        """Cut the wait for the standby short, as `pg_cancel_backend` does; return whether there was one."""
        return self.server.cut_wait(self)

    def reset(self) -> None:
        """Let the client notice that the connection is reset."""
        self._peer.lost(ConnectionResetError("connection reset by peer"))

    def notify(self, payload: str) -> None:
        """Send a notification to the client."""
        self.server.database.travel(self.client, partial(self._peer.notified, payload))

    def end(self, error: Exception | None = None, *, lose: bool = False) -> None:
        """End the session: roll back, unless a commit is under way, and close the connection."""
        if self.ended:
            return
        self.ended = True
        self._stop_timer()
        self.server.sessions.pop(self, None)
        if self._waiting_for is not None:
            self._waiting_for.forget(self)
            self._waiting_for = None
        if self._transaction is not None:
            self._roll_back(self._transaction)
            self._transaction = None
        if not self._client_gone and not (lose and self.server.database.chance.random() < SILENT):
            self.server.database.travel(self.client, partial(self._peer.lost, error))

    def crashed(self) -> None:
        """Forget everything: the server does not exist any more."""
        self._commit = None
        self._transaction = None
        self._waiting_for = None
        self.end()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Server:
    """A server with its log and its sessions. Invariants:

    * `tables` has exactly the transactions of the log that are visible.
    * `flushed` is a place in the log; a crash loses nothing up to it.
    """

    def __init__(self, database: Surroundings, name: str, *, in_recovery: bool) -> None:
        self.database = database
        self.name = name
        self.port = 5432
        self.in_recovery = in_recovery
        self.up = True
        self.skew_s = 0.0
        self.synchronous = False
        """Whether `synchronous_standby_names` is set."""
        self.conf_loaded_at = self.now() - timedelta(days=1)
        self.tables = Tables()
        self.log: list[Record] = []
        self.flushed = 0
        self.replayed = 0
        """On a standby: up to where the log is visible."""
        self.acknowledged = 0
        """On a primary: up to where its standby has flushed the log."""
        self.replay_paused_until = 0.0
        self.sessions: dict[Session, None] = {}
        """In the order in which they began."""
        self.waiting: list[tuple[int, Session]] = []
        """Sessions that wait for the standby, each for a place in the log."""
        self.frozen_until = 0.0
        self._slow_until = 0.0
        self._slowness = 1.0
        self._invisible: dict[int, Record] = {}
        self._locks: dict[int, HeadLock] = {}
        self._life = 0

    def now(self) -> datetime:
        """Return the time by its clock."""
        return self.database.world.now() + timedelta(seconds=self.skew_s)

    def later(
        self, delay_s: float | tuple[float, float], callback: Callable[..., None], *arguments: Any
    ) -> asyncio.TimerHandle:
        """Call back after a time, or one between two; while it is frozen, once it goes on; after a crash, never."""
        database = self.database
        if isinstance(delay_s, tuple):
            delay_s = database.between(*delay_s)
            if self._slow_until > database.time():
                delay_s *= self._slowness
        return database.loop.call_later(
            delay_s, self._call, self._life, callback, arguments, context=database.context
        )

    def _call(self, life: int, callback: Callable[..., None], arguments: Sequence[Any]) -> None:
        if life != self._life:
            return
        database = self.database
        if self.frozen_until > database.time():
            until = self.frozen_until + database.between(0.0, 0.001)
            database.loop.call_at(until, self._call, life, callback, arguments, context=database.context)
            return
        callback(*arguments)

    def lock(self, election: int) -> HeadLock:
        """Return the lock of an election's head row."""
        lock = self._locks.get(election)
        if lock is None:
            lock = self._locks[election] = HeadLock(self)
        return lock

    # The log.

    def write(self, record: Record) -> int:
        """Add a record to the log, and return its place."""
        self.log.append(record)
        self._invisible[len(self.log)] = record
        return len(self.log)

    def flush(self, place: int) -> None:
        """Flush the log up to a place, and stream it to the standby."""
        self.flushed = max(self.flushed, place)
        self.database.stream(self)

    def show(self, place: int) -> None:
        """Make a record visible."""
        self.tables.apply(self._invisible.pop(place))

    def lacks(self, place: int) -> bool:
        """Whether a commit has to wait for the standby."""
        return self.synchronous and place > self.acknowledged

    def acknowledge(self, place: int) -> None:
        """Note what the standby has flushed, and complete the commits that waited for it."""
        if place > self.acknowledged:
            self.acknowledged = place
            self._release_waiting()

    def set_synchronous(self, synchronous: bool) -> None:
        """Set or empty `synchronous_standby_names`; without them nobody waits any more."""
        self.synchronous = synchronous
        self.conf_loaded_at = self.now()
        self._release_waiting()

    def _release_waiting(self) -> None:
        done = [session for place, session in self.waiting if not self.lacks(place)]
        self.waiting = [each for each in self.waiting if self.lacks(each[0])]
        for session in done:
            session.committed()

    def cut_wait(self, session: Session) -> bool:
        """End a session's wait for the standby with a warning; return whether there was one."""
        for each in self.waiting:
            if each[1] is session:
                self.waiting.remove(each)
                session.committed(warned=True)
                return True
        return False

    def notify(self, payload: str) -> None:
        """Send a notification to all who listen."""
        for session in list(self.sessions):
            if session.listening:
                session.notify(payload)

    # What goes wrong.

    def freeze(self, seconds: float) -> None:
        """Do nothing for some seconds, as after SIGSTOP."""
        self.frozen_until = max(self.frozen_until, self.database.time() + seconds)

    def slow(self, factor: float, seconds: float) -> None:
        """Take a multiple of the time for everything, for some seconds."""
        self._slowness, self._slow_until = factor, self.database.time() + seconds

    def crash(self) -> None:
        """Stop at once. What is flushed is kept, and perhaps some of what is not."""
        self.up = False
        self._life += 1
        kept = self.database.chance.randint(self.flushed, len(self.log))
        del self.log[kept:]
        for place in [each for each in self._invisible if each > kept]:
            del self._invisible[place]
        self.flushed = kept
        self.waiting.clear()
        self._locks.clear()
        for session in list(self.sessions):
            session.crashed()

    def shut_down(self) -> None:
        """Stop in the fast mode: sessions are ended, and commits that wait for the standby stay as they are."""
        self.up = False
        for session in list(self.sessions):
            session.terminate()
        database = self.database
        database.loop.call_later(FLUSH_S[1], self._stopped, self._life, context=database.context)

    def _stopped(self, life: int) -> None:
        if life == self._life:
            self.crash()

    def start(self) -> None:
        """Start after a crash: everything in the log becomes visible."""
        self.frozen_until = 0.0
        for place in sorted(self._invisible):
            self.show(place)
        self.replayed = len(self.log)
        self.up = True
        self.conf_loaded_at = self.now()

    # As a standby.

    def receive(self, records: Sequence[Record], begin: int) -> None:
        """Add what follows from a place in the log on, and flush it."""
        self.log += records[len(self.log) - begin :]
        self.flushed = len(self.log)

    def replay(self, place: int) -> None:
        """Make the log visible up to a place."""
        while self.replayed < min(place, len(self.log)):
            self.tables.apply(self.log[self.replayed])
            self.replayed += 1

    def promote(self) -> None:
        """Become a primary, after everything received is replayed."""
        self.replay(len(self.log))
        self.in_recovery = False
        self.acknowledged = 0
        self.conf_loaded_at = self.now()


def _shut_down() -> Exception:
    return asyncpg.AdminShutdownError("terminating connection due to administrator command")
