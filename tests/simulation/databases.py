"""Two databases for one contract: the simulated Postgres, and real servers, of which one follows the other.

A test sees both as a `Subject`, with processes of the gateway as its clients. What it does to them happens in the real
world as well: a link between the servers that is cut, a server that is killed, a connection that is reset. Faults last
until the test ends them, and nothing waits for a time to pass.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import asyncpg
from msgspec.structs import replace

from gateway.journal.administration import Administration, NewToken, administration
from gateway.journal.confirmations import PostgresConfirmations
from gateway.journal.connection import open_pool
from gateway.journal.connection_pool import Pool
from gateway.journal.notifications import notifications
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from tests.faults.servers import Link, Pair, PostgresLink, Server, a_link, a_pair, a_postgres_link, urls_of
from tests.journal.makers import a_registry
from tests.journal.network import port_of, with_hosts
from tests.simulation import journal as doubles
from tests.simulation.database import SimulatedDatabase
from tests.simulation.processes import Process, Simulation
from tests.simulation.rows import Election

TIMEOUT_S = 60.0
"""How long a test waits for anything before it fails; far longer than it takes."""
POLL_S = 0.005


class Client(Protocol):
    """A process of the gateway, with its connections to the database."""

    @property
    def journal(self) -> PostgresJournal:
        """The journal of a push process."""

    @property
    def strict_journal(self) -> PostgresJournal:
        """The same with `require_standby`."""

    @property
    def confirmations(self) -> PostgresConfirmations:
        """Where it confirms and announces commits."""

    @property
    def record(self) -> PublicRecord:
        """The record, as a feed process reads it."""

    @property
    def replica_record(self) -> PublicRecord:
        """The same from the server that is the standby when the process starts."""

    def notifications(self, wake: Callable[[], None], *, acts: bool = False) -> Coroutine[Any, Any, None]:
        """Call `wake` on notifications, and once after each connect, until cancelled."""

    async def reset(self) -> None:
        """Reset its connections in the network; both sides notice, and it may connect again."""

    def losing(self, what: Literal["request", "answer"]) -> AbstractAsyncContextManager[None]:
        """Lose the next append with its connection: before it arrives or, once it is committed, its answer."""

    def leave(self) -> None:
        """Close all connections at once, whatever they wait for."""


class Subject(Protocol):
    """A database with one election, whose embargo has ended unless a test says otherwise."""

    id: str
    key: int
    token: int
    """The key of its first token."""

    @property
    def version(self) -> int:
        """The version of the election after the last act."""

    async def client(self) -> Client:
        """Start a process."""

    # What happens now.

    async def commits_waiting(self) -> int:
        """Return how many commits wait for the standby."""

    async def locks_waiting(self) -> int:
        """Return how many statements wait for a lock."""

    async def reports_on_standby(self) -> int:
        """Return how many reports the standby shows."""

    # Acts.

    async def change(self) -> None:
        """Perform an act that changes nothing but the version."""

    async def revoke(self) -> None:
        """Revoke the only token of the election."""

    async def close(self) -> None:
        """Close the election."""

    async def move_embargo(self, until: datetime) -> None:
        """Move the end of the embargo. Raises Refused."""

    async def pretend_embargo(self, until: datetime) -> None:
        """Have the embargo end at this time, without an act."""

    async def pretend_last_append(self, at: datetime) -> None:
        """Have the last append be of this time, by the clock of a server that is no more."""

    # Faults.

    def standby_cut(self) -> AbstractAsyncContextManager[None]:
        """Let the standby receive nothing within a context."""

    def standby_unheard(self) -> AbstractAsyncContextManager[None]:
        """Let the standby receive everything within a context, and the primary hear nothing of it."""

    def standby_optional(self) -> AbstractAsyncContextManager[None]:
        """Let no commit wait for a standby within a context."""

    async def cancel_wait(self) -> None:
        """Cancel the wait of a commit for the standby, as an administrator may."""

    async def end_waiting_session(self) -> None:
        """End the session whose commit waits for the standby, likewise."""

    def frozen(self) -> AbstractAsyncContextManager[None]:
        """Let the primary do nothing within a context; its machine keeps the connections."""

    async def crash(self) -> None:
        """Kill the primary."""

    async def restart(self) -> None:
        """Start it again."""

    async def fail_over(self) -> None:
        """Kill the primary, unless it is dead, and promote the standby, which then waits for no other server."""

    async def promote_beside(self) -> None:
        """Promote the standby; the former primary goes on and does not know."""

    async def former_commits_waiting(self) -> int:
        """Return how many commits wait on the former primary."""

    async def end_former(self) -> None:
        """Kill the former primary."""


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Wait until a condition holds."""
    while not await condition():  # noqa: ASYNC110 - the state of servers can only be polled
        await asyncio.sleep(POLL_S)


# Simulated.


class SimulatedClient:
    """A process of a simulation."""

    def __init__(self, database: SimulatedDatabase, process: Process) -> None:
        self._database = database
        self._process = process
        self._pools = [doubles.open_pool(database, process, max_size=size) for size in (8, 1, 2)]
        self._pools.append(doubles.open_pool(database, process, replica=True, max_size=1))
        self.journal = PostgresJournal(self._pools[0])
        self.strict_journal = PostgresJournal(self._pools[0], require_standby=True)
        self.confirmations = PostgresConfirmations(self._pools[1])
        self.record = PublicRecord(self._pools[2])
        self.replica_record = PublicRecord(self._pools[3])

    def notifications(self, wake: Callable[[], None], *, acts: bool = False) -> Coroutine[Any, Any, None]:
        """See `Client.notifications`."""
        return doubles.notified(self._database, self._process, wake, acts=acts)

    async def reset(self) -> None:
        """See `Client.reset`."""
        self._database.reset_sessions(self._process)

    @asynccontextmanager
    async def losing(self, what: Literal["request", "answer"]) -> AsyncIterator[None]:
        """See `Client.losing`."""
        if what == "answer":
            self._database.lose_answers()
        else:
            self._database.lose_requests()
        yield

    def leave(self) -> None:
        """See `Client.leave`."""
        for pool in self._pools:
            pool.terminate()


class SimulatedSubject:
    """A simulated database with a standby."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._database = SimulatedDatabase(simulation, standby=True)
        document = a_registry()
        self.id: str = document["election"]["id"]
        self.key = self._database.load(document)
        self._clients = 0

    async def prepare(self) -> None:
        """Issue a token."""
        await self.change()
        (self.token,) = self._rows.tokens

    @property
    def _rows(self) -> Election:
        return self._database.primary.tables.elections[self.key]

    @property
    def version(self) -> int:
        """See `Subject.version`."""
        return self._rows.head.version

    async def client(self) -> SimulatedClient:
        """See `Subject.client`."""
        self._clients += 1
        return SimulatedClient(self._database, self._simulation.process(f"client-{self._clients}"))

    async def commits_waiting(self) -> int:
        """See `Subject.commits_waiting`."""
        return len(self._database.primary.waiting)

    async def locks_waiting(self) -> int:
        """See `Subject.locks_waiting`."""
        return len(self._database.primary.lock(self.key).queue)

    async def reports_on_standby(self) -> int:
        """See `Subject.reports_on_standby`."""
        assert self._database.standby is not None
        return len(self._database.standby.tables.elections[self.key].reports)

    async def change(self) -> None:
        """See `Subject.change`."""
        await self._database.issue(self.id, NewToken(["no"]))

    async def revoke(self) -> None:
        """See `Subject.revoke`."""
        await self._database.revoke(self.id, self.token)

    async def close(self) -> None:
        """See `Subject.close`."""
        await self._database.close(self.id)

    async def move_embargo(self, until: datetime) -> None:
        """See `Subject.move_embargo`."""
        await self._database.move_embargo(self.id, until)

    async def pretend_embargo(self, until: datetime) -> None:
        """See `Subject.pretend_embargo`."""
        self._rows.apply(replace(self._rows.embargo, publish_from=until))

    async def pretend_last_append(self, at: datetime) -> None:
        """See `Subject.pretend_last_append`."""
        self._rows.apply(replace(self._rows.head, last_at=at))

    @asynccontextmanager
    async def standby_cut(self) -> AsyncIterator[None]:
        """See `Subject.standby_cut`."""
        self._database.cut_standby(TIMEOUT_S)
        try:
            yield
        finally:
            self._database.reconnect_standby()

    @asynccontextmanager
    async def standby_unheard(self) -> AsyncIterator[None]:
        """See `Subject.standby_unheard`."""
        self._database.cut_standby(TIMEOUT_S, answers_only=True)
        try:
            yield
        finally:
            self._database.reconnect_standby()

    @asynccontextmanager
    async def standby_optional(self) -> AsyncIterator[None]:
        """See `Subject.standby_optional`."""
        self._database.set_synchronous(False)
        try:
            yield
        finally:
            self._database.set_synchronous(True)

    async def cancel_wait(self) -> None:
        """See `Subject.cancel_wait`."""
        assert self._database.cancel_wait()

    async def end_waiting_session(self) -> None:
        """See `Subject.end_waiting_session`."""
        ((_, session),) = self._database.primary.waiting
        session.terminate()

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """See `Subject.frozen`."""
        self._database.freeze(1.0)
        yield

    async def crash(self) -> None:
        """See `Subject.crash`."""
        self._database.primary.crash()

    async def restart(self) -> None:
        """See `Subject.restart`."""
        self._database._restart(self._database.primary)

    async def fail_over(self) -> None:
        """See `Subject.fail_over`."""
        assert self._database.failover(rejoin_s=None)

    async def promote_beside(self) -> None:
        """See `Subject.promote_beside`."""
        assert self._database.failover(rejoin_s=None, former_s=TIMEOUT_S)

    async def former_commits_waiting(self) -> int:
        """See `Subject.former_commits_waiting`."""
        assert self._database._former is not None
        return len(self._database._former.waiting)

    async def end_former(self) -> None:
        """See `Subject.end_former`."""
        self._database._retire_former()


def run_simulated(test: Callable[[Subject], Awaitable[None]], seed: int) -> None:
    """Run a test with a simulated database."""

    async def run(subject: SimulatedSubject) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await subject.prepare()
            await test(subject)

    with Simulation(seed) as simulation:
        try:
            simulation.run(run(SimulatedSubject(simulation)))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


# Postgres.


class Servers:
    """A primary and a synchronous standby that follows it over a link, for the tests of a module. `a` is the first."""

    def __init__(self, pair: Pair, links: dict[str, Link]) -> None:
        self._pair = pair
        self._links = links
        """The way to each server for the other one."""
        self.primary = "a"

    @property
    def standby(self) -> str:
        """The name of the server that is not the primary."""
        return "b" if self.primary == "a" else "a"

    @property
    def servers(self) -> dict[str, Server]:
        """Both servers by name."""
        return self._pair.servers

    @property
    def server(self) -> Server:
        """The primary."""
        return self.servers[self.primary]

    @property
    def way(self) -> Link:
        """The link over which the standby follows."""
        return self._links[self.primary]

    async def follow_over_link(self) -> None:
        """Let the standby follow over the link, and wait until commits wait for it again."""
        source = f"{with_hosts(self.server.tcp_url, self.way.host)}?application_name={self.standby}"
        async with self.servers[self.standby].session() as session:
            await session.execute("ALTER SYSTEM SET wal_retrieve_retry_interval = '20ms'")
            await session.execute(f"ALTER SYSTEM SET primary_conninfo = '{source}'")
            await session.execute("SELECT pg_reload_conf()")
        await self._pair.follow(self.standby, self.primary)

    async def promote(self) -> None:
        """Promote the standby, which is the primary from now on."""
        await self._pair.promote(self.standby)
        self.primary = self.standby

    async def restore(self) -> None:
        """Let there be a primary and a standby that follows it."""
        if self.server.ended:
            self.server.start_again()
        if self.servers[self.standby].ended:
            await self._pair.rejoin(self.standby, self.primary)
            await self.follow_over_link()


@asynccontextmanager
async def servers(directory: Path) -> AsyncIterator[Servers]:
    """Run two servers."""
    async with AsyncExitStack() as opened:
        pair = await opened.enter_async_context(a_pair(directory))
        links = {
            name: await opened.enter_async_context(a_link(port_of(server.tcp_url)))
            for name, server in pair.servers.items()
        }
        found = Servers(pair, links)
        await found.follow_over_link()
        yield found


@dataclass
class PostgresClient:
    """A process with a link of its own to each server."""

    _url: str
    _links: dict[str, PostgresLink]
    _servers: Servers
    _pools: tuple[Pool, Pool, Pool, Pool]

    def __post_init__(self) -> None:
        push, announcing, feed, replica = self._pools
        self.journal = PostgresJournal(push)
        self.strict_journal = PostgresJournal(push, require_standby=True)
        self.confirmations = PostgresConfirmations(announcing)
        self.record = PublicRecord(feed)
        self.replica_record = PublicRecord(replica)

    def notifications(self, wake: Callable[[], None], *, acts: bool = False) -> Coroutine[Any, Any, None]:
        """See `Client.notifications`."""
        return notifications(self._url, wake, acts=acts)

    async def reset(self) -> None:
        """See `Client.reset`."""
        for link in self._links.values():
            link.cut()

    @asynccontextmanager
    async def losing(self, what: Literal["request", "answer"]) -> AsyncIterator[None]:
        """See `Client.losing`."""
        link = self._links[self._servers.primary]
        losing = asyncio.create_task(link.lose("append" if what == "request" else what))
        await asyncio.sleep(0)
        yield
        await losing

    def leave(self) -> None:
        """See `Client.leave`."""
        for pool in self._pools:
            pool.terminate()


class PostgresSubject:
    """An election on real servers."""

    def __init__(self, servers: Servers, opened: AsyncExitStack) -> None:
        self._servers = servers
        self._opened = opened
        self._owner: asyncpg.Connection[asyncpg.Record] | None = None
        self._owner_at = ""
        self.version = 0

    async def prepare(self) -> None:
        """Load an election and issue a token."""
        async with administration(self._servers.server.url, "test") as acts:
            self.id = await acts.load_election(a_registry())
            self.token = (await acts.issue_token(self.id, ["no"])).key
        self.key: int = await self._value("SELECT key FROM election WHERE id = $1", self.id)
        await self._read_version()

    async def client(self) -> PostgresClient:
        """See `Subject.client`."""
        enter, site = self._opened.enter_async_context, self._servers
        found = {
            name: site.servers[name] for name in (site.primary, site.standby)
        }  # feeds read from the first
        links = {
            name: await enter(a_postgres_link(port_of(server.tcp_url))) for name, server in found.items()
        }
        urls = urls_of(*found.values(), hosts={found[name]: link.host for name, link in links.items()})
        pools = (
            await enter(open_pool(urls.url)),
            await enter(open_pool(urls.url, max_size=1)),
            await enter(open_pool(urls.feed_url, feed=True)),
            await enter(open_pool(urls_of(found[self._servers.standby]).feed_url, feed=True)),
        )
        return PostgresClient(urls.url, links, self._servers, pools)

    async def _value(self, query: str, *arguments: object) -> Any:
        """Return the first value of a query on the primary, as its owner."""
        if self._owner is None or self._owner.is_closed() or self._owner_at != self._servers.primary:
            self._owner_at = self._servers.primary
            self._owner = await asyncpg.connect(
                self._servers.server.url, server_settings={"search_path": "valgnatt"}
            )
            self._opened.callback(self._owner.terminate)
        return await self._owner.fetchval(query, *arguments)

    async def _read_version(self) -> None:
        self.version = await self._value("SELECT version FROM head WHERE election = $1", self.key)

    async def commits_waiting(self) -> int:
        """See `Subject.commits_waiting`."""
        found: int = await self._value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        return found

    async def locks_waiting(self) -> int:
        """See `Subject.locks_waiting`."""
        found: int = await self._value("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return found

    async def reports_on_standby(self) -> int:
        """See `Subject.reports_on_standby`."""
        standby = self._servers.servers[self._servers.standby]
        found: int = await standby.ask("SELECT count(*) FROM valgnatt.report WHERE election = $1", self.key)
        return found

    async def _act(self, perform: Callable[[Administration], Awaitable[object]]) -> None:
        async with administration(self._servers.server.url, "test") as acts:
            await perform(acts)
        await self._read_version()

    async def change(self) -> None:
        """See `Subject.change`."""
        await self._act(lambda acts: acts.issue_token(self.id, ["no"]))

    async def revoke(self) -> None:
        """See `Subject.revoke`."""
        await self._act(lambda acts: acts.revoke_token(self.token))

    async def close(self) -> None:
        """See `Subject.close`."""
        await self._act(lambda acts: acts.close_election(self.id))

    async def move_embargo(self, until: datetime) -> None:
        """See `Subject.move_embargo`."""
        await self._act(lambda acts: acts.move_embargo(self.id, until))

    async def pretend_embargo(self, until: datetime) -> None:
        """See `Subject.pretend_embargo`."""
        await self._value("UPDATE embargo SET publish_from = $2 WHERE election = $1", self.key, until)

    async def pretend_last_append(self, at: datetime) -> None:
        """See `Subject.pretend_last_append`."""
        await self._value("UPDATE head SET last_at = $2 WHERE election = $1", self.key, at)

    @asynccontextmanager
    async def standby_cut(self) -> AsyncIterator[None]:
        """See `Subject.standby_cut`."""
        with self._servers.way.down():
            yield

    @asynccontextmanager
    async def standby_unheard(self) -> AsyncIterator[None]:
        """See `Subject.standby_unheard`."""
        primary = self._servers.primary
        await self._set_standbys("nobody")
        try:
            yield
        finally:
            if self._servers.primary == primary and not self._servers.server.ended:
                await self._set_standbys(self._servers.standby)
                await self._value("SELECT pg_switch_wal()")  # whose receipt the standby reports

    @asynccontextmanager
    async def standby_optional(self) -> AsyncIterator[None]:
        """See `Subject.standby_optional`."""
        await self._set_standbys("")
        try:
            yield
        finally:
            await self._set_standbys(self._servers.standby)

    async def _set_standbys(self, names: str) -> None:
        """Set `synchronous_standby_names`, and wait until commits wait for these."""
        await self._value(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        await self._value("SELECT pg_reload_conf()")

        async def in_effect() -> bool:
            shown: str = await self._value("SHOW synchronous_standby_names")
            state = await self._value("SELECT sync_state FROM pg_stat_replication")
            return shown == names and (names not in self._servers.servers or state == "sync")

        await until(in_effect)

    async def cancel_wait(self) -> None:
        """See `Subject.cancel_wait`."""
        assert await self._value(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' LIMIT 1"
        )

    async def end_waiting_session(self) -> None:
        """See `Subject.end_waiting_session`."""
        assert await self._value(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' LIMIT 1"
        )

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """See `Subject.frozen`."""
        with self._servers.server.suspended():
            yield

    async def crash(self) -> None:
        """See `Subject.crash`."""
        self._servers.server.crash()

    async def restart(self) -> None:
        """See `Subject.restart`."""
        self._servers.server.start_again()

    async def fail_over(self) -> None:
        """See `Subject.fail_over`."""
        if not self._servers.server.ended:
            self._servers.server.crash()
        await self._servers.promote()

    async def promote_beside(self) -> None:
        """See `Subject.promote_beside`."""
        await self._servers.promote()

    async def former_commits_waiting(self) -> int:
        """See `Subject.former_commits_waiting`."""
        former = self._servers.servers[self._servers.standby]
        found: int = await former.ask("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        return found

    async def end_former(self) -> None:
        """See `Subject.end_former`."""
        self._servers.servers[self._servers.standby].crash()


async def run_on_postgres(test: Callable[[Subject], Awaitable[None]], servers: Servers) -> None:
    """Run a test with an election of its own on real servers."""
    try:
        async with asyncio.timeout(TIMEOUT_S), AsyncExitStack() as opened:
            subject = PostgresSubject(servers, opened)
            await subject.prepare()
            await test(subject)
    finally:
        await servers.restore()
