"""A simulated Postgres: a primary, its synchronous standby, their sessions, locks and logs, and their faults.

It is the server that is simulated, not the gateway's journal: `journal.py` has connections and pools to it, on which
`PostgresJournal`, `PublicRecord` and the others run unchanged. What is assumed about Postgres:

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

Time passes as in the servers of one site: fractions of a millisecond for a message, a flush or a statement. All chance
is `chance_for("database")` of the simulation, so a run depends on its seed alone.
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
from msgspec.structs import replace

from gateway.election.record import JournalHold, JournalReport
from gateway.election.registry import read_registry
from gateway.errors import ElectionUnknown, Refused
from gateway.journal.administration import NewToken
from tests.simulation.rows import (
    Election,
    ElectionRow,
    EmbargoRow,
    HeadRow,
    OpeningRow,
    Record,
    Row,
    Tables,
    TokenRow,
)
from tests.simulation.statements import Do, Found, Statement, database_error, opening_of

MESSAGE_S = (0.00005, 0.0005)
"""How long a message between two machines takes, in seconds: at least and at most."""
STATEMENT_S = (0.0001, 0.0006)
"""How long a server takes for a statement."""
FLUSH_S = (0.0002, 0.002)
"""How long a server takes to flush its log."""
HANDOVER_S = (0.00002, 0.0002)
"""How long it takes until the next in the queue of a lock has it."""
REPLAY_S = (0.0001, 0.003)
"""How long after its flush a standby shows a commit."""
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


SKEWS_S = (0.0, 0.0, -0.005, -2.0)
"""How far the clock of a standby is ahead of the true time, in seconds: one of these. It is never ahead, since it then
ends an embargo early."""


class Client(Protocol):
    """A process that connects to the database."""

    name: str
    alive: bool
    on_kill: list[Callable[[], None]]


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

    def __init__(self, database: "SimulatedDatabase", name: str, *, in_recovery: bool) -> None:
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


class SimulatedDatabase:
    """Postgres as the gateway reaches it: a primary, with `standby` also a synchronous standby.

    Every method that is not `async` is called by a test or a plan at any time.
    """

    def __init__(self, world: World, *, standby: bool, pace: float = 1.0) -> None:
        """`pace`: by what all times are multiplied that are drawn, apart from time limits."""
        self.world = world
        self.chance = world.chance_for("database")
        self.context = world.server_side()
        self.pace = pace
        self._loop: asyncio.AbstractEventLoop | None = getattr(world, "loop", None)
        self.unstorable: dict[str, None] = {}
        """Units whose reports the server refuses to store."""
        self._distance = self.chance.choice((1.0, 1.0, 3.0, 10.0))
        self._paths: dict[str, _Path] = {}
        self._clients: dict[str, Client] = {}
        self._hosts: dict[tuple[str, bool], SimulatedHosts] = {}
        self.standby_planned = standby
        """Whether clients know several servers."""
        self._answers_to_lose = 0
        self._requests_to_lose = 0
        self._names = 1
        self._standby_cut_until = 0.0
        self._standby_unheard_until = 0.0
        self._follower_life = 0
        self.primary = Server(self, "database-1", in_recovery=False)
        self.clocks: list[tuple[float, float]] = [(0.0, 0.0)]
        """From when on, in true time, the clock of the primary was ahead of it by so many seconds."""
        self.standby: Server | None = None
        self._former: Server | None = None
        """A primary that was replaced and has not noticed."""
        if standby:
            self.primary.synchronous = True
            self._add_standby()

    # Time and messages.

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop on which everything happens."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def time(self) -> float:
        """Return the time of the loop, in seconds; 0 before there is one."""
        return self._loop.time() if self._loop is not None else 0.0

    def between(self, at_least: float, at_most: float) -> float:
        """Return a time between two."""
        return self.pace * (at_least + (at_most - at_least) * self.chance.random())

    def travel(self, client: Client, callback: Callable[[], None]) -> None:
        """Call back when a message between a process and its server has arrived, unless a cut network loses it."""
        delay_s = self.between(*MESSAGE_S) * self._distance
        path = self._paths.get(client.name)
        if path is not None:
            now = self.time()
            if path.cut_until > now:
                return
            if path.slow_until > now:
                delay_s += self.between(0.0, path.delay_max_s)
        self.loop.call_later(delay_s, self._arrive, client, callback, context=self.context)

    def _arrive(self, client: Client, callback: Callable[[], None]) -> None:
        path = self._paths.get(client.name)
        if path is not None:
            if path.cut_until > self.time():
                return
            if path.stalled_until > self.time():
                until = path.stalled_until + self.between(*MESSAGE_S)
                self.loop.call_at(until, self._arrive, client, callback, context=self.context)
                return
        callback()

    def _path(self, client: Client) -> "_Path":
        return self._paths.setdefault(client.name, _Path())

    # What clients do.

    @property
    def servers(self) -> Sequence[Server]:
        """The servers of the present: the primary, and with it a standby, or a former primary that still runs."""
        return [each for each in (self.primary, self.standby, self._former) if each is not None]

    def hosts(self, client: Client, *, replica: bool) -> "SimulatedHosts":
        """Return the servers as a process knows them; all its pools share them."""
        found = self._hosts.get((client.name, replica))
        if found is None or found.client is not client:
            found = self._hosts[client.name, replica] = SimulatedHosts(self, client, replica=replica)
        return found

    def accept(self, server: Server, peer: Peer, client: Client) -> Session:
        """Begin a session, which notices when its client is killed."""
        if client.name not in self._clients or self._clients[client.name] is not client:
            self._clients[client.name] = client
            client.on_kill.append(partial(self._killed, client))
        return Session(server, peer, client)

    def _killed(self, client: Client) -> None:
        """Notice that a process was killed, unless its machine stopped with it."""
        if self.chance.random() >= SILENT:
            for server in self.servers:
                for session in list(server.sessions):
                    if session.client is client:
                        self.travel(client, session.client_closed)

    def takes_answer(self, session: Session) -> bool:
        """Whether the answer to a commit is to be lost with its connection."""
        if self._answers_to_lose and session.client.name != ADMINISTRATION.name:
            self._answers_to_lose -= 1
            self.world.trace("answer lost", client=session.client.name)
            return True
        return False

    def takes_request(self, session: Session) -> bool:
        """Whether a statement that takes a head lock is to be lost with its connection."""
        if self._requests_to_lose and session.client.name != ADMINISTRATION.name:
            self._requests_to_lose -= 1
            self.world.trace("request lost", client=session.client.name)
            return True
        return False

    # Elections.

    def load(
        self,
        document: dict[str, Any],
        tokens: Sequence[NewToken] = (),
        publish_from: datetime | None = None,
        *,
        operators: Sequence[NewToken] = (),
        previous: bytes | None = None,
    ) -> int:
        """Load an election with its tokens before anything runs, on all servers; return its key.

        `publish_from`: the end of the embargo; None: that of the registry. Tokens have the keys 1, 2, 3 …, senders
        first.
        """
        registry = read_registry(document)
        key = len(self.primary.tables.elections) + 1
        first = 1 + sum(len(each.tokens) for each in self.primary.tables.elections.values())
        roles = [(token, "sender") for token in tokens] + [(token, "operator") for token in operators]
        rows: list[Row] = [
            ElectionRow(registry.id, registry.canonical(), self.primary.now(), previous),
            HeadRow(),
            EmbargoRow(publish_from if publish_from is not None else registry.publish_from),
            *(
                TokenRow(number, token.digest, list(token.areas), role, token.note)
                for number, (token, role) in enumerate(roles, start=first)
            ),
        ]
        primary = self.primary
        place = primary.write(Record([(key, row) for row in rows]))
        primary.flushed = place
        primary.show(place)
        if self.standby is not None:
            self.standby.receive(primary.log, 0)
            self.standby.replay(place)
            primary.acknowledged = place
        return key

    async def act(self, election: str, do: Callable[[SessionTransaction, Election], None]) -> None:
        """Perform an administrative act: change an election under its head lock, and wait for the standby.

        Raises what a command gets if Postgres does not answer.
        """
        from tests.simulation.journal import connect

        key = self.primary.tables.keys.get(election)
        if key is None:
            raise ElectionUnknown(election)

        def changed(tx: Any, key: int) -> Sequence[Found]:
            do(tx, tx.tables.elections[key])
            if tx.changes:
                tx.notifications.append("act")
            return ()

        statement: Do = changed
        connection = await connect(self, ADMINISTRATION)
        try:
            await connection.perform(Statement("act", statement, head=True, writes=True), (key,))
        finally:
            connection.terminate()

    async def change_version(self, election: str, number: int = 1) -> None:
        """Perform acts that change nothing but the version of an election, one after the other."""
        for _ in range(number):
            await self.act(election, _version_changed)

    async def close(self, election: str) -> None:
        """Close an election."""

        def do(tx: SessionTransaction, rows: Election) -> None:
            if rows.head.closed_at is None:
                tx.change(rows.key, replace(rows.head, closed_at=tx.now(), version=rows.head.version + 1))

        await self.act(election, do)

    async def revoke(self, election: str, token: int) -> None:
        """Revoke a token, given by its key."""

        def do(tx: SessionTransaction, rows: Election) -> None:
            found = rows.tokens[token]
            if found.revoked_at is None:
                tx.change(rows.key, replace(found, revoked_at=tx.now()))
                _version_changed(tx, rows)

        await self.act(election, do)

    async def issue(self, election: str, token: NewToken, role: str = "sender") -> None:
        """Issue a token."""

        def do(tx: SessionTransaction, rows: Election) -> None:
            key = 1 + max((max(each.tokens, default=0) for each in tx.tables.elections.values()), default=0)
            tx.change(rows.key, TokenRow(key, token.digest, list(token.areas), role, token.note))
            _version_changed(tx, rows)

        await self.act(election, do)

    async def move_embargo(self, election: str, until: datetime) -> None:
        """Move the end of the embargo to a later time. Raises Refused if it has ended, or would end earlier."""
        refused = False

        def do(tx: SessionTransaction, rows: Election) -> None:
            nonlocal refused
            ends_at = rows.embargo.publish_from
            if rows.embargo.released_at is not None or tx.now() >= ends_at or until < ends_at:
                refused = True
            elif until != ends_at:
                tx.change(rows.key, replace(rows.embargo, publish_from=until))
                _version_changed(tx, rows)

        await self.act(election, do)
        if refused:
            raise Refused(f"the embargo of {election} cannot be moved")

    async def open(self, election: str) -> None:
        """Open an election: write the opening entry of its log."""

        def do(tx: SessionTransaction, rows: Election) -> None:
            if rows.opening is None:
                tx.change(rows.key, OpeningRow(opening_of(rows, tx.now()), None))
                _version_changed(tx, rows)

        await self.act(election, do)

    # What is in it, for judges.

    def journal_reports(self, election: str) -> list[JournalReport]:
        """Return every report of an election that the primary has in its record, see `ElectionReads`."""
        rows = self.primary.tables.of_id(election)
        if rows is None:
            return []
        end = rows.embargo.released_at
        return [
            JournalReport(
                each.sequence,
                each.unit,
                each.revision,
                each.digest,
                each.chain,
                each.body,
                max(each.accepted_at, end) if end is not None else None,
            )
            for each in rows.reports
        ]

    def journal_holds(self, election: str) -> list[JournalHold]:
        """Return every hold of an election, the first accepted first, see `ElectionReads`."""
        rows = self.primary.tables.of_id(election)
        if rows is None:
            return []
        holds = sorted(rows.all_holds(), key=lambda each: (each.accepted_at, each.unit, each.revision))
        return [
            JournalHold(each.unit, each.revision, each.digest, each.state, each.sequence) for each in holds
        ]

    # Faults.

    def freeze(self, seconds: float) -> None:
        """Let the primary do nothing for some seconds; its machine keeps the connections."""
        self.world.trace("database frozen", seconds=seconds)
        self.primary.freeze(seconds)

    def freeze_standby(self, seconds: float) -> None:
        """Let the standby do nothing for some seconds."""
        if self.standby is not None:
            self.world.trace("standby frozen", seconds=seconds)
            self.standby.freeze(seconds)

    def slow(self, factor: float, seconds: float) -> None:
        """Let the primary take a multiple of the time for some seconds."""
        self.world.trace("database slow", factor=factor, seconds=seconds)
        self.primary.slow(factor, seconds)

    def stall(self, client: Client, seconds: float) -> None:
        """Let messages between a process and the database wait for some seconds."""
        self.world.trace("database stalled", client=client.name, seconds=seconds)
        path = self._path(client)
        path.stalled_until = max(path.stalled_until, self.time() + seconds)

    def delay(self, client: Client, most_s: float, seconds: float) -> None:
        """Let each message between a process and the database take up to `most_s` longer, for some seconds."""
        self.world.trace("database far away", client=client.name, most_s=most_s, seconds=seconds)
        path = self._path(client)
        path.delay_max_s, path.slow_until = most_s, self.time() + seconds

    def cut(self, client: Client, seconds: float) -> None:
        """Let messages between a process and the database be lost for some seconds; its connections break.

        The process notices at once or, with the probability SILENT, by its time limits. The server notices when its
        own limits have passed, or the end of the cut.
        """
        self.world.trace("database cut off", client=client.name, seconds=seconds)
        silent = self.chance.random() < SILENT
        for server in self.servers:
            for session in list(server.sessions):
                if session.client.name == client.name:
                    if not silent:
                        self.travel(session.client, session.reset)
                    self.loop.call_later(
                        self.between(0.0, seconds), session.client_closed, context=self.context
                    )
        path = self._path(client)
        self.loop.call_later(
            self.between(*MESSAGE_S) * 2 * self._distance, self._cut, path, seconds, context=self.context
        )

    def _cut(self, path: "_Path", seconds: float) -> None:
        path.cut_until = max(path.cut_until, self.time() + seconds)

    def reset_sessions(self, client: Client | None = None) -> None:
        """Reset the connections of a process, or all, in the network: both sides notice, and the server goes on."""
        self.world.trace("connections reset", client=client.name if client is not None else None)
        for server in self.servers:
            for session in list(server.sessions):
                if client is None or session.client.name == client.name:
                    self.travel(session.client, session.reset)
                    self.travel(session.client, session.client_closed)

    def terminate_sessions(self, client: Client | None = None) -> None:
        """End sessions of the primary as an administrator does."""
        self.world.trace("sessions terminated", client=client.name if client is not None else None)
        for session in list(self.primary.sessions):
            if client is None or session.client.name == client.name:
                session.terminate()

    def lose_answers(self, number: int = 1) -> None:
        """Let the next commits take effect, and their connections break before the answer, or stay silent."""
        self._answers_to_lose += number

    def lose_requests(self, number: int = 1) -> None:
        """Let the next appends be lost on their way, with their connections."""
        self._requests_to_lose += number

    def cancel_wait(self) -> bool:
        """Cut the wait of the oldest commit that waits for the standby short; return whether there was one."""
        self.world.trace("wait cancelled")
        return bool(self.primary.waiting) and self.primary.waiting[0][1].cancel_wait()

    def cut_standby(self, seconds: float, *, answers_only: bool = False) -> None:
        """Let nothing pass between primary and standby for some seconds, or only what the standby answers."""
        self.world.trace("standby cut off", seconds=seconds, answers_only=answers_only)
        until = self.time() + seconds
        self._standby_unheard_until = max(self._standby_unheard_until, until)
        if not answers_only:
            self._standby_cut_until = max(self._standby_cut_until, until)
        self.loop.call_at(until + 0.001, self._stream_again, context=self.context)

    def reconnect_standby(self) -> None:
        """End the cut between primary and standby."""
        self._standby_cut_until = self._standby_unheard_until = self.time()
        self._stream_again()

    def pause_replay(self, seconds: float) -> None:
        """Let the standby flush what it receives, but show nothing of it for some seconds."""
        if self.standby is not None:
            self.world.trace("replay paused", seconds=seconds)
            self.standby.replay_paused_until = self.time() + seconds

    def set_synchronous(self, synchronous: bool) -> None:
        """Set or empty `synchronous_standby_names` on the primary."""
        self.world.trace("synchronous_standby_names", set=synchronous)
        self.primary.set_synchronous(synchronous)

    def crash_and_restart(self, seconds: float) -> None:
        """End the primary, and start it again after some seconds."""
        self.world.trace("database crashed", seconds=seconds)
        server = self.primary
        server.crash()
        self.loop.call_later(seconds, self._restart, server, context=self.context)

    def shut_down_and_restart(self, seconds: float) -> None:
        """Shut the primary down in its fast mode, and start it again after some seconds."""
        self.world.trace("database shut down", seconds=seconds)
        server = self.primary
        server.shut_down()
        self.loop.call_later(max(seconds, 0.1), self._restart, server, context=self.context)

    def jump_clock(self, seconds: float) -> None:
        """Set the primary's clock forward, or back."""
        self.world.trace("database clock", seconds=seconds)
        self.primary.skew_s += seconds
        self._note_clock()

    def failover(self, *, rejoin_s: float | None = 1.0, former_s: float = 0.0) -> bool:
        """Promote the standby, whose clock is another one; return False if there is none.

        The former primary is gone; with `former_s` it takes connections for some seconds more, and cannot know better.
        It comes back as the standby of the new one after `rejoin_s`; with None it does not, and the new primary waits
        for no standby.
        """
        standby, former = self.standby, self.primary
        if standby is None or not standby.up:
            return False
        self.world.trace("failover", lost=len(former.log) - len(standby.log), former_s=former_s)
        self._retire_former()
        self._follower_life += 1
        self.primary, self.standby = standby, None
        self._note_clock()
        self._standby_cut_until = self._standby_unheard_until = 0.0
        standby.promote()
        standby.synchronous = rejoin_s is not None
        self._former = former
        if former_s > 0.0:
            self.loop.call_later(former_s, self._retire, former, context=self.context)
        else:
            self._retire(former)
        if rejoin_s is not None:
            self.loop.call_later(rejoin_s, self._rejoin, self._follower_life, context=self.context)
        return True

    def _retire_former(self) -> None:
        if self._former is not None:
            self._retire(self._former)

    def _retire(self, former: Server) -> None:
        """End a former primary: at once, or in the fast mode, which cuts waits for the standby short."""
        if former.up and self.chance.random() < 0.5:
            former.shut_down()
        elif former.up:
            former.crash()
        if self._former is former:
            self._former = None

    def _restart(self, server: Server) -> None:
        if server is self.primary and not server.up:
            server.start()
            self.world.trace("database started")
            self.stream(server)

    def _rejoin(self, life: int) -> None:
        if life == self._follower_life and self.standby is None:
            self._add_standby()
            self.world.trace("standby joined")
            self.stream(self.primary)

    def _note_clock(self) -> None:
        self.clocks.append((self.world.now().timestamp(), self.primary.skew_s))

    # Replication.

    def _add_standby(self) -> None:
        self._names += 1
        self.standby = Server(self, f"database-{self._names}", in_recovery=True)
        self.standby.skew_s = self.chance.choice(SKEWS_S)
        self.standby.receive(self.primary.log[: self.primary.flushed], 0)
        self.standby.replay(self.primary.flushed)

    def _stream_again(self) -> None:
        self.stream(self.primary)

    def stream(self, primary: Server) -> None:
        """Send what a primary has flushed to its standby."""
        standby = self.standby
        if standby is None or primary is not self.primary or not primary.up:
            return
        if self._standby_cut_until > self.time():
            return  # it is sent when the cut ends
        place, life = primary.flushed, self._follower_life
        primary.later(MESSAGE_S, self._streamed, primary, standby, place, life)

    def _streamed(self, primary: Server, standby: Server, place: int, life: int) -> None:
        if life == self._follower_life and self._standby_cut_until <= self.time():
            standby.later(FLUSH_S, self._received, primary, standby, place, life)

    def _received(self, primary: Server, standby: Server, place: int, life: int) -> None:
        if life != self._follower_life:
            return
        if place > len(standby.log):
            standby.receive(primary.log[len(standby.log) : place], len(standby.log))
            paused_s = max(0.0, standby.replay_paused_until - self.time())
            standby.later(paused_s + self.between(*REPLAY_S), standby.replay, place)
        standby.later(MESSAGE_S, self._acknowledged, primary, len(standby.log), life)

    def _acknowledged(self, primary: Server, place: int, life: int) -> None:
        if life == self._follower_life and primary.up and self._standby_unheard_until <= self.time():
            primary.later(0.0, primary.acknowledge, place)


def _shut_down() -> Exception:
    return asyncpg.AdminShutdownError("terminating connection due to administrator command")


class Expiring(Protocol):
    """A pool of connections."""

    async def expire_connections(self) -> None:
        """Have all connections opened anew."""


class SimulatedHosts:
    """The servers of a process, see `gateway.journal.connection.Hosts`. It keeps to one that it can use."""

    def __init__(self, database: SimulatedDatabase, client: Client, *, replica: bool) -> None:
        self.client = client
        self._database = database
        self._replica = replica
        self._last: Server | None = None
        self._left: Server | None = None
        self._pools: list[Expiring] = []

    @property
    def all(self) -> Sequence[Server]:
        """All servers."""
        return self._database.servers

    @property
    def alternatives(self) -> bool:
        """Whether there is more than one."""
        return self._database.standby_planned

    def serve(self, pool: Expiring) -> None:
        """Let a pool leave a server together with the others of its process."""
        self._pools.append(pool)

    def choose(self) -> Server:
        """Return the server for a new connection: a primary, or with `replica` a standby if there is one.

        While a replaced primary has not noticed that it is, it is as good as the new one for who does not know better.
        """
        usable = [each for each in self.all if each.up and each.in_recovery == self._replica]
        usable = usable or [each for each in self.all if each.up and (self._replica or not each.in_recovery)]
        if self._last not in usable:
            others = [each for each in usable if each is not self._left] or usable
            self._last = self._database.chance.choice(others) if others else self._database.primary
        return self._last

    async def leave(self, server: Server) -> None:
        """Use another server from now on, and open all connections anew."""
        self._left, self._last = server, None
        for pool in self._pools:
            await pool.expire_connections()


class _Path:
    """The network between a process and the database."""

    def __init__(self) -> None:
        self.cut_until = self.stalled_until = self.slow_until = 0.0
        self.delay_max_s = 0.0


class _Administration:
    """The client of administrative acts."""

    name = "administration"
    alive = True
    on_kill: list[Callable[[], None]] = []  # noqa: RUF012 - it is never killed


ADMINISTRATION = _Administration()


def _version_changed(tx: SessionTransaction, rows: Election) -> None:
    tx.change(rows.key, replace(rows.head, version=rows.head.version + 1))
