"""A simulated Postgres: a primary and its synchronous standby, the network to their clients, and what goes wrong.

It is the database that is simulated, not the gateway's journal: `journal.py` has connections and pools to it, on which
`PostgresJournal`, `PublicRecord` and the others run unchanged. `server.py` says what is assumed about its servers; each
assumption is tested against both in `test_database_contract.py`.

Time passes as in the servers of one site: fractions of a millisecond for a message, a flush or a statement. All chance
is `chance_for("database")` of the simulation, so a run depends on its seed alone.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol, cast

from msgspec.structs import replace

from gateway.election.record import JournalHold, JournalReport
from gateway.election.registry_reading import read_registry
from gateway.errors import ElectionUnknown, Refused
from gateway.journal.administration import NewToken
from gateway.journal.session import Connection
from tests.simulation.rows import (
    Election,
    ElectionRow,
    EmbargoRow,
    HeadRow,
    OpeningRow,
    Record,
    Row,
    TokenRow,
)
from tests.simulation.server import (
    ADMINISTRATION,
    FLUSH_S,
    MESSAGE_S,
    SILENT,
    Client,
    Peer,
    Server,
    Session,
    SessionTransaction,
    World,
)
from tests.simulation.statements import Do, Found, Statement, opening_of

REPLAY_S = (0.0001, 0.003)
"""How long after its flush a standby shows a commit."""
SKEWS_S = (0.0, 0.0, -0.005, -2.0)
"""How far the clock of a standby is ahead of the true time, in seconds: one of these. It is never ahead, since it then
ends an embargo early."""


class SimulatedDatabase:
    """Postgres as the gateway reaches it: a primary, with `standby` also a synchronous standby.

    Every method that is not `async` is called by a test or a plan at any time.
    """

    def __init__(
        self, world: World, *, standby: bool, pace: float = 1.0, acts_require_standby: bool = False
    ) -> None:
        """`pace`: by what all times are multiplied that are drawn, apart from time limits.

        `acts_require_standby`: whether administrative acts are performed with `require_standby`.
        """
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
        self.acts_require_standby = acts_require_standby
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

        Raises what a command gets: CommittedLocally if the wait was cut short, and so on; see `gateway.journal.acts`.
        """
        from tests.simulation.journal import SimulatedActs, connect

        key = self.primary.tables.keys.get(election)
        if key is None:
            raise ElectionUnknown(election)

        changed = False

        def change(tx: Any, key: int) -> Sequence[Found]:
            nonlocal changed
            do(tx, tx.tables.elections[key])
            changed = bool(tx.changes)
            return ()

        statement: Do = change
        connection = await connect(self, ADMINISTRATION)
        acts = SimulatedActs(
            cast("Connection", connection), "operator", require_standby=self.acts_require_standby
        )
        try:
            await acts.perform(
                Statement("act", statement, head=True, writes=True), key, has_changed=lambda: changed
            )
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


def _version_changed(tx: SessionTransaction, rows: Election) -> None:
    tx.change(rows.key, replace(rows.head, version=rows.head.version + 1))
