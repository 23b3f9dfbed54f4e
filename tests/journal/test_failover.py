"""Multiple hosts, silent networks and missing standbys: every wait is bounded, and a receipt is always durable."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock, Mock

import asyncpg
import pytest

from gateway.database_url import Host, read_database_url
from gateway.errors import JournalUnavailable, StandbyMissing
from gateway.journal import acts as acts_module
from gateway.journal import appending as appending_module
from gateway.journal import connection as connection_module
from gateway.journal import newest_host as newest_host_module
from gateway.journal import notifications as notifications_module
from gateway.journal.administration import Administration, administration
from gateway.journal.confirmations import PostgresConfirmations
from gateway.journal.connection import CONNECT_S, Hosts, connect, open_pool
from gateway.journal.connection_pool import Pool
from gateway.journal.db_errors import CommittedLocally, Unstorable, reports_local_commit
from gateway.journal.decisions import Evaluated
from gateway.journal.elections import Elections
from gateway.journal.embedded import EmbeddedPostgres
from gateway.journal.evaluator import START
from gateway.journal.holds import HoldDecision, HoldName
from gateway.journal.journal_connections import WRITERS_FREE
from gateway.journal.migrate import migrate
from gateway.journal.newest_host import NewestHost, journal_place
from gateway.journal.notifications import CHANNEL, notifications
from gateway.journal.postgres import PostgresJournal
from gateway.journal.session import Connection
from tests.journal.makers import (
    TIMEOUT_S,
    a_registry,
    a_report,
    append,
    connected,
    database_set,
    known_sequences,
    sequences,
    until,
    waiting_for_locks,
)
from tests.journal.network import a_link, port_of, with_hosts
from tests.journal.standbys import (
    cancel_wait,
    connected_as_owner,
    server_set,
    standby_missing,
    waiting_for_standby,
)

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[EmbeddedPostgres]]:
    """Two servers that tests may reconfigure, with the same password."""
    with ExitStack() as stack:
        found = []
        for _ in range(2):
            directory = tmp_path_factory.mktemp("server")
            os.chmod(directory, 0o755)
            server = EmbeddedPostgres(directory / "data", durable=False, listen_tcp=True)
            found.append(stack.enter_context(server))
            asyncio.run(migrate(server.url))
        asyncio.run(_give_password(found[1], found[0]))
        yield found


async def _give_password(server: EmbeddedPostgres, of: EmbeddedPostgres) -> None:
    async with connected(server.url) as owner:
        password = of.url.partition("://valgnatt:")[2].partition("@")[0]
        await owner.execute(f"ALTER ROLE valgnatt PASSWORD '{password}'")


@pytest.fixture
def first(servers: list[EmbeddedPostgres]) -> str:
    """The URL of the first server."""
    return servers[0].tcp_url


@pytest.fixture
def second(servers: list[EmbeddedPostgres], first: str) -> str:
    """The URL of the second server."""
    return with_hosts(first, f"127.0.0.1:{port_of(servers[1].tcp_url)}")


@pytest.fixture
async def owner(first: str) -> AsyncIterator[Connection]:
    """A plain connection to the first server as its owner, as psql would open it."""
    owner = await asyncpg.connect(first, server_settings={"search_path": "valgnatt"})
    yield owner
    owner.terminate()


async def load_election_key(url: str) -> int:
    """Load an election and return its key."""
    async with administration(url, "test") as acts:
        identifier = await acts.load_election(a_registry())
    async with open_pool(url) as pool:
        return (await PostgresJournal(pool).election(identifier)).key


# Multiple hosts.


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://u:p@one/db", [Host("one", None)]),
        ("postgresql://u:p@one:1,two:2/db?application_name=x", [Host("one", 1), Host("two", 2)]),
        ("postgresql://u:p@[::1]:5,[fe80::1%25eth0]/db", [Host("::1", 5), Host("fe80::1%eth0", None)]),
        ("postgresql://%2Ftmp%2Fdir:7/db", [Host("/tmp/dir", 7)]),
        ("postgresql://u:p@/db?host=/run/pg&port=6", [Host("/run/pg", 6)]),
        ("postgresql:///db?host=/run/pg,two&port=6,7", [Host("/run/pg", 6), Host("two", 7)]),
        ("postgresql:///db?host=one,two&port=6", [Host("one", 6), Host("two", 6)]),
        ("postgresql://one,two:2/db?port=6", [Host("one", 6), Host("two", 2)]),
        ("postgresql:///db?host=[::1]:9,two:2", [Host("::1", 9), Host("two", 2)]),
        ("postgresql:///db?port=6", [Host(None, 6)]),
        ("postgresql:///db", [Host(None, None)]),
    ],
)
def test_the_hosts_of_a_url_are_parsed_in_order(url: str, hosts: list[Host]) -> None:
    """`hosts` has names, addresses and socket directories, each with its port."""
    assert list(read_database_url(url).hosts) == hosts


@pytest.mark.parametrize("url", ["postgresql://one:x/db", "postgresql:///db?host=one,two,three&port=1,2"])
def test_a_url_with_invalid_ports_is_an_error(url: str) -> None:
    """Invalid ports raise ValueError before any connection is made."""
    with pytest.raises(ValueError, match=r"port|invalid literal"):
        read_database_url(url)


@pytest.mark.parametrize("kind", ["one connection", "pool"])
async def test_an_unresponsive_host_is_skipped_for_the_next(
    first: str, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """After HOST_S without an answer the next host is tried, which is preferred from then on."""
    monkeypatch.setattr(connection_module, "HOST_S", 0.5)
    async with a_link() as unresponsive:
        url = with_hosts(first, unresponsive.host, f"127.0.0.1:{port_of(first)}")
        if kind == "pool":
            async with open_pool(url) as pool:
                for _ in range(3):
                    await PostgresJournal(pool).versions()
                    await pool.expire_connections()
        else:
            async with connected(url) as single:
                assert await single.fetchval("SELECT 1") == 1
        assert unresponsive.connected == 1


async def test_hosts_that_refuse_connections_or_writes_are_skipped(first: str, second: str) -> None:
    """A writer uses the first writable host; a feed uses the first host that answers."""
    async with a_link() as link:
        closed = link.host
    hosts = [f"127.0.0.1:{port_of(url)}" for url in (second, first)]
    url = with_hosts(first, closed, *hosts)
    async with server_set(second, "default_transaction_read_only", "on"):
        async with connected(url) as writer:
            assert await writer.fetchval("SHOW default_transaction_read_only") == "off"
        async with open_pool(url) as pool:
            assert await pool.fetchval("SHOW default_transaction_read_only") == "off"
        async with connected(url, feed=True) as feed:
            assert await feed.fetchval("SHOW default_transaction_read_only") == "on"


async def test_if_no_host_is_usable_the_error_gives_a_reason_for_each(first: str) -> None:
    """The error names every host with the reason why it was not used."""
    async with a_link() as link:
        closed = link.host
    async with server_set(first, "default_transaction_read_only", "on"):
        with pytest.raises(
            JournalUnavailable, match=r"127\.0\.0\.1: .*refused.*; 127\.0\.0\.1: .*read-write"
        ):
            await connect(with_hosts(first, closed, f"127.0.0.1:{port_of(first)}"))


async def test_a_url_may_contain_socket_directories_and_parameters(servers: list[EmbeddedPostgres]) -> None:
    """A socket directory is a host like any other, and server parameters are applied."""
    url = servers[0].url.replace("?host=", "?host=/nonexistent,")
    async with connected(url + "&options=-c%20geqo%3Doff") as single:
        assert await single.fetchval("SHOW geqo") == "off"


async def test_a_pool_leaves_a_host_that_becomes_read_only(first: str, second: str) -> None:
    """All connections of the pool are replaced by connections to the writable host."""
    key = await load_election_key(first)
    url = with_hosts(first, *[f"127.0.0.1:{port_of(each)}" for each in (first, second)])
    async with open_pool(url) as pool:
        journal = PostgresJournal(pool)
        await asyncio.gather(journal.versions(), journal.versions(), append(journal, key, 1, a_report()))
        async with server_set(first, "default_transaction_read_only", "on"):

            async def refused() -> bool:
                try:
                    await append(journal, key, 1, a_report())
                except JournalUnavailable as error:
                    return "25006" in str(error)
                return False

            await until(refused)
            ports = await asyncio.gather(*[pool.fetchval("SHOW port") for _ in range(3)])
            assert set(ports) == {str(port_of(second))}


async def port_of_pool(pool: Pool) -> int:
    """Return the port of the server that a pool uses."""
    return int(await pool.fetchval("SHOW port"))


async def test_a_pool_leaves_a_host_where_a_statement_waits_for_too_long(
    first: str, second: str, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next append uses another writable host; the former primary may hold its lock for ever.

    So do pools that share its hosts: a confirmation has to reach the server that has the append.
    """
    monkeypatch.setitem(connection_module.SESSION, "lock_timeout", "100")
    key = await load_election_key(first)
    url = with_hosts(first, *[f"127.0.0.1:{port_of(each)}" for each in (first, second)])
    hosts = Hosts(url, feed=False)
    async with open_pool(url, hosts=hosts) as pool, open_pool(url, hosts=hosts, max_size=1) as announcing:
        journal = PostgresJournal(pool)
        assert await port_of_pool(announcing) == port_of(first)
        await append(journal, key, 1, a_report())
        async with owner.transaction():
            await owner.execute("SELECT FROM head WHERE election = $1 FOR UPDATE", key)
            with pytest.raises(JournalUnavailable, match="lock timeout"):
                await append(journal, key, 1, a_report(revision=2))
        assert await port_of_pool(pool) == await port_of_pool(announcing) == port_of(second)


async def test_pools_with_the_same_hosts_use_the_same_one_after_a_failed_login(
    first: str, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A former primary that accepts no more connections may still answer on those that it has."""
    url = with_hosts(first, *[f"127.0.0.1:{port_of(each)}" for each in (first, second)])
    hosts = Hosts(url, feed=False)
    refused, open_usual = hosts.all[0], hosts._open

    async def open_other(host: Host, *arguments: Any) -> Connection:
        if host == refused:
            raise ConnectionRefusedError
        return await open_usual(host, *arguments)

    async with open_pool(url, hosts=hosts) as pool, open_pool(url, hosts=hosts, max_size=1) as announcing:
        assert await port_of_pool(announcing) == port_of(first)
        monkeypatch.setattr(hosts, "_open", open_other)
        assert await port_of_pool(pool) == await port_of_pool(announcing) == port_of(second)


async def test_confirmations_leave_a_server_that_lacks_the_append(first: str, second: str) -> None:
    """A former primary takes a confirmation without an error, and the feeds of the new one would wait for ever."""
    key = await load_election_key(first)
    url = with_hosts(first, *[f"127.0.0.1:{port_of(each)}" for each in (first, second)])
    async with open_pool(url) as pool:
        done = await append(PostgresJournal(pool), key, 1, a_report())
        confirmations = PostgresConfirmations(pool)
        await confirmations.confirm(key, done.number, 1)
        assert await port_of_pool(pool) == port_of(first)
        await confirmations.confirm(key, done.number + 1, 2)
        assert await port_of_pool(pool) == port_of(second)


async def test_a_server_that_lacks_an_append_confirms_none_of_its_own(
    first: str, second: str, owner: Connection
) -> None:
    """Unconfirmed appends of a former primary are not those that the new one has under their numbers."""
    key = await load_election_key(first)
    url = with_hosts(first, *[f"127.0.0.1:{port_of(each)}" for each in (first, second)])
    async with open_pool(url) as pool:
        confirmed, other = [await append(PostgresJournal(pool), key, 1, a_report("a-1", n)) for n in (1, 2)]
        confirmations = PostgresConfirmations(pool)
        await confirmations.confirm(key, confirmed.number, 1)
        await confirmations.confirm(key, other.number + 1, 3)
    row = await owner.fetchrow("SELECT append, sequence FROM confirmation WHERE election = $1", key)
    assert tuple(row or ()) == (confirmed.number, 1)


# Hosts whose record is behind.


@pytest.fixture
def feed_url(servers: list[EmbeddedPostgres], first: str, second: str) -> str:
    """A feed's URL with both servers, the first one preferred."""
    return with_hosts(first, *[f"127.0.0.1:{port_of(each)}" for each in (first, second)])


async def test_a_feed_leaves_a_host_whose_record_stays_behind(
    first: str, second: str, feed_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its pools use the other host from then on."""
    monkeypatch.setattr(newest_host_module, "CATCH_UP_S", 0.01)
    hosts, monitored = Hosts(feed_url, feed=True), Hosts(feed_url, feed=True)
    async with (
        open_pool(feed_url, feed=True, hosts=hosts) as pool,
        open_pool(feed_url, feed=True, hosts=monitored, max_size=1) as other,
    ):
        comparing = NewestHost(pool, hosts, monitored)
        await comparing.compare()
        await comparing.compare()
        assert await port_of_pool(pool) == await port_of_pool(other) == port_of(first)
        await load_election_key(second)
        await comparing.compare()
        assert await port_of_pool(pool) == await port_of_pool(other) == port_of(second)


@pytest.mark.parametrize("later", ["token", "election", "report"])
async def test_a_push_process_without_reports_leaves_a_former_primary_for_one_that_knows_more(
    first: str, second: str, monkeypatch: pytest.MonkeyPatch, later: str
) -> None:
    """It would refuse tokens and elections that were made since the failover, until something is committed."""
    monkeypatch.setattr(newest_host_module, "CATCH_UP_S", 0.01)
    first, second = [await an_empty_database(each, f"empty_{later}") for each in (first, second)]
    registry = a_registry(publish_from=(datetime.now(UTC) + timedelta(days=1)).isoformat())
    for each in (first, second):
        async with administration(each, "test") as acts:
            election = await acts.load_election(registry)
    url = with_hosts(first, *[f"127.0.0.1:{port_of(each)}" for each in (first, second)])
    hosts, monitored = Hosts(url, feed=False), Hosts(url, feed=False)
    async with (
        open_pool(url, hosts=hosts) as pool,
        open_pool(url, hosts=monitored, max_size=1) as other,
        open_pool(second) as there,
    ):
        left: list[None] = []
        comparing = NewestHost(
            pool, hosts, monitored, read_place=journal_place, left=lambda: left.append(None)
        )
        elections = Elections(PostgresJournal(pool), lambda _: None)
        for _ in range(2):
            await comparing.compare()
        assert await port_of_pool(pool) == await port_of_pool(other) == port_of(first)
        journal, secret = PostgresJournal(there), "none"
        async with administration(second, "test") as acts:
            if later == "token":
                (issued,) = await acts.issue_tokens(election, [(["no"], "")])
                secret = issued.secret
            elif later == "election":
                await acts.load_election(a_registry())
            else:
                found = await journal.election(election)
                await append(journal, found.key, found.version, a_report())
        assert (await elections.authenticate(election, secret))[1] is None
        assert not left
        await comparing.compare()
        assert len(left) == 1
        assert await port_of_pool(pool) == await port_of_pool(other) == port_of(second)
        if later == "token":
            assert (await elections.authenticate(election, secret))[1] is not None


async def test_a_push_process_reads_elections_again_on_another_host(
    first: str, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version of the former primary may have the number of another one: the act that it was made by is lost."""
    first, second = [await an_empty_database(each, "empty_again") for each in (first, second)]
    registry, secrets = a_registry(), []
    for each in (first, second):
        async with administration(each, "test") as acts:
            election = await acts.load_election(registry)
            (issued,) = await acts.issue_tokens(election, [(["no"], "")])
            secrets.append(issued.secret)
    hosts = Hosts(with_hosts(first, *[f"127.0.0.1:{port_of(each)}" for each in (first, second)]), feed=False)
    async with open_pool(first, hosts=hosts) as pool:
        elections = Elections(PostgresJournal(pool), lambda _: None)
        hosts.on_change(elections.read_again)

        async def known() -> list[bool]:
            await elections.refresh()
            version = await elections.find(election)
            assert version.version == 2
            return [version.find_token(secret, datetime.now(UTC)) is not None for secret in secrets]

        assert await known() == [True, False]
        await hosts.leave(hosts.all[0])
        with monkeypatch.context() as failing:
            failing.setattr(PostgresJournal, "election", AsyncMock(side_effect=JournalUnavailable("test")))
            with pytest.raises(JournalUnavailable):
                await known()
        assert await known() == [False, True]
        before = elections.get(election)
        assert await known() == [False, True]
        assert elections.get(election) is before


async def test_a_feed_does_not_go_back_and_forth_between_hosts_with_different_records(
    first: str, second: str, feed_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failover that has lost something, the former primary has what the new one lacks, and vice versa.

    A host that was unavailable for a while has not grown by that.
    """
    monkeypatch.setattr(newest_host_module, "CATCH_UP_S", 0.01)
    for url in (first, second):
        await load_election_key(url)
    hosts = Hosts(feed_url, feed=True)
    async with open_pool(feed_url, feed=True, hosts=hosts) as pool:
        comparing = NewestHost(pool, hosts)

        async def ports_of_comparisons() -> set[int]:
            found = set()
            for _ in range(4):
                await comparing.compare()
                found.add(await port_of_pool(pool))
            return found

        assert await ports_of_comparisons() == {port_of(first)}
        with monkeypatch.context() as unreachable:
            unreachable.setattr(hosts, "connect_to", Mock(side_effect=OSError))
            assert await ports_of_comparisons() == {port_of(first)}
        assert await ports_of_comparisons() == {port_of(first)}
        await load_election_key(second)
        await comparing.compare()
        assert await ports_of_comparisons() == {port_of(second)}


async def test_a_host_that_was_promoted_has_grown(
    first: str, second: str, feed_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a process leaves a former primary for it at once, although that has something more, such as a local commit."""
    monkeypatch.setattr(newest_host_module, "CATCH_UP_S", 0.01)
    promoted = False

    async def require_attrs(connection: Connection, attrs: str) -> None:
        if not promoted and await connection.fetchval("SELECT inet_server_port()") == port_of(second):
            raise asyncpg.TargetServerAttributeNotMatched("the host is not read-write, which is required")

    for url in (first, second):
        await load_election_key(url)
    monkeypatch.setattr(connection_module, "require_attrs", require_attrs)
    hosts = Hosts(feed_url, feed=True)
    async with open_pool(feed_url, feed=True, hosts=hosts) as pool:
        comparing = NewestHost(pool, hosts)
        for _ in range(2):
            await comparing.compare()
        assert await port_of_pool(pool) == port_of(first)
        promoted = True
        await comparing.compare()
        assert await port_of_pool(pool) == port_of(second)


async def test_a_feed_that_prefers_a_standby_stays_on_the_only_one(
    first: str, second: str, feed_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record may be behind that of the primary, but the next connection would be to the same standby."""
    monkeypatch.setattr(newest_host_module, "CATCH_UP_S", 0.01)

    async def require_attrs(connection: Connection, attrs: str) -> None:
        port = await connection.fetchval("SELECT inet_server_port()")
        if attrs == "standby" and port == port_of(second):
            raise asyncpg.TargetServerAttributeNotMatched("the host is not standby, which is required")

    monkeypatch.setattr(connection_module, "require_attrs", require_attrs)
    hosts = Hosts(f"{feed_url}?target_session_attrs=prefer-standby", feed=True)
    async with open_pool(feed_url, feed=True, hosts=hosts) as pool:
        session = await pool.fetchval("SELECT pg_backend_pid()")
        comparing = NewestHost(pool, hosts)
        await comparing.compare()
        await load_election_key(second)
        for _ in range(2):
            await comparing.compare()
        assert await pool.fetchval("SELECT pg_backend_pid()") == session


async def test_a_feed_stays_on_a_host_that_catches_up(
    first: str, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica shows a publication a little later than its primary."""
    monkeypatch.setattr(newest_host_module, "CATCH_UP_S", 1.0)
    here, there = [await an_empty_database(url) for url in (first, second)]
    registry = a_registry()
    async with a_link(port_of(second)) as link, administration(here, "test") as acts:
        url = with_hosts(here, f"127.0.0.1:{port_of(first)}", link.host)
        hosts = Hosts(url, feed=True)
        async with open_pool(url, feed=True, hosts=hosts) as pool:
            comparing = NewestHost(pool, hosts)
            async with administration(there, "test") as later:
                await later.load_election(registry)
            comparison = asyncio.create_task(comparing.compare())

            async def asked() -> bool:
                return link.connected > 0

            await until(asked)
            await acts.load_election(registry)
            await comparison
            assert await port_of_pool(pool) == port_of(first)


async def an_empty_database(url: str, name: str = "empty") -> str:
    """Create a database on a server, with the current schema; return its URL."""
    async with connected_as_owner(url) as owner:
        await owner.execute(f"CREATE DATABASE {name}")
    made = f"{url.rpartition('/')[0]}/{name}"
    await migrate(made)
    return made


async def test_a_feed_whose_record_grows_asks_no_other_host(first: str, second: str) -> None:
    """Another host is asked only if nothing was added since the last comparison."""
    await load_election_key(second)
    async with a_link(port_of(second)) as link:
        url = with_hosts(first, f"127.0.0.1:{port_of(first)}", link.host)
        hosts = Hosts(url, feed=True)
        async with open_pool(url, feed=True, hosts=hosts) as pool:
            comparing = NewestHost(pool, hosts)
            for _ in range(3):
                await load_election_key(first)
                await comparing.compare()
            assert link.connected == 0


async def test_a_feed_stays_on_its_host_if_the_others_are_unavailable(first: str) -> None:
    """A comparison with a host that refuses connections, or that is not fit for a feed, finds nothing."""
    async with a_link() as link:
        closed = link.host
    url = with_hosts(first, f"127.0.0.1:{port_of(first)}", closed)
    hosts = Hosts(url, feed=True)
    async with open_pool(url, feed=True, hosts=hosts) as pool:
        comparing = NewestHost(pool, hosts)
        await comparing.compare()
        await comparing.compare()
        assert await port_of_pool(pool) == port_of(first)


# Silent networks.


async def test_an_append_on_a_silent_network_fails_when_its_time_limit_expires(
    first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is closed without a cancel request, which would take as long again."""
    monkeypatch.setattr(connection_module, "ANSWER_S", 0.3)
    key = await load_election_key(first)
    async with a_link(port_of(first)) as link, open_pool(with_hosts(first, link.host)) as pool:
        journal = PostgresJournal(pool)
        await append(journal, key, 1, a_report())
        link.silent = True
        with pytest.raises(JournalUnavailable):
            await append(journal, key, 1, a_report(revision=2))
        assert (pool.get_size(), link.connected) == (0, 1)


async def test_an_append_under_the_lock_fails_when_its_time_limit_expires(
    first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection is closed because of the lock, before the pool leaves the host."""
    monkeypatch.setattr(connection_module, "ANSWER_S", 0.5)
    key = await load_election_key(first)
    async with a_link(port_of(first)) as link, open_pool(with_hosts(first, link.host)) as pool:
        journal = PostgresJournal(pool)

        async def append_under_the_lock() -> None:
            async with journal.locked(key, 1, START) as lock:
                link.silent = True
                evaluated = Evaluated(
                    lock.continuation.ends.chain, lock.continuation.ends.hold_chain, [0], [None]
                )
                await lock.append([a_report()], [datetime.now(UTC)], evaluated)

        with pytest.raises(JournalUnavailable, match="no answer within"):
            await append_under_the_lock()
        assert (pool.get_size(), link.connected) == (0, 1)


async def test_a_cancelled_append_ends_at_once_on_a_silent_network(first: str, owner: Connection) -> None:
    """Cancellation waits neither for the answer nor for the cancel request."""
    key = await load_election_key(first)
    async with a_link(port_of(first)) as link, open_pool(with_hosts(first, link.host)) as pool:
        journal = PostgresJournal(pool)
        await append(journal, key, 1, a_report())
        async with owner.transaction():
            await owner.execute("SELECT FROM head WHERE election = $1 FOR UPDATE", key)
            appending = asyncio.create_task(append(journal, key, 1, a_report(revision=2)))
            await until(lambda: waiting_for_locks(owner, 1))
            link.silent = True
            appending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await appending
            assert (pool.get_size(), link.connected) == (0, 1)


async def test_an_exhausted_pool_raises_an_error(
    first: str, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller waits for a free connection for CONNECT_S at most."""
    monkeypatch.setattr(connection_module, "CONNECT_S", 0.3)
    key = await load_election_key(first)
    async with open_pool(first, max_size=1) as pool, pool.acquire():
        with pytest.raises(JournalUnavailable):
            await append(PostgresJournal(pool), key, 1, a_report())


async def test_a_listener_detects_a_silent_network(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The listener probes its connection periodically, and reconnects if a probe is not answered."""
    monkeypatch.setattr(notifications_module, "PROBE_S", 0.05)
    monkeypatch.setattr(notifications_module, "ANSWER_S", 0.3)
    monkeypatch.setattr(notifications_module, "LISTEN_AGAIN_S", 0.01)
    woken = asyncio.Semaphore(0)
    async with a_link(port_of(first)) as link:
        listening = asyncio.create_task(notifications(with_hosts(first, link.host), woken.release))
        async with asyncio.timeout(TIMEOUT_S):
            await woken.acquire()
            link.silent = True
            while link.connected == 1:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.01)
            link.silent = False
            await woken.acquire()  # it has connected again
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening


async def test_a_listener_pauses_before_every_reconnect(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It also pauses if the connection ends at once, so a host that terminates every session is not flooded."""
    done: list[str] = []
    sleep = asyncio.sleep

    async def paused(delay: float, result: Any = None) -> Any:
        done.append("pause")
        return await sleep(0, result)

    async def connected_once(url: str, *, feed: bool = False) -> Connection:
        done.append("connect")
        if len(done) > 4:
            raise asyncio.CancelledError
        return await connect(url, feed=feed)

    def wake() -> None:
        ended.extend(task for task in [asyncio.ensure_future(terminate_listener())] if task)

    ended: list[asyncio.Future[None]] = []

    async def terminate_listener() -> None:
        await administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = $1", f'LISTEN "{CHANNEL}"'
        )

    async with connected_as_owner(first) as administrator:
        monkeypatch.setattr(asyncio, "sleep", paused)
        with pytest.raises(asyncio.CancelledError):
            await notifications(first, wake, opener=connected_once)
        monkeypatch.setattr(asyncio, "sleep", sleep)
        await asyncio.gather(*ended)
    assert done == ["connect", "pause", "connect", "pause", "connect"]


# Senders that read back.


async def test_an_append_does_not_wait_for_readers_of_the_journal(first: str, owner: Connection) -> None:
    """WRITERS_FREE connections of the pool are reserved for appends."""
    key = await load_election_key(first)
    async with open_pool(first) as pool:
        journal = PostgresJournal(pool)
        async with owner.transaction():
            await owner.execute("LOCK TABLE contact")
            readers = [asyncio.create_task(journal.contacts(key)) for _ in range(30)]
            reading = pool.get_max_size() - WRITERS_FREE
            await until(lambda: waiting_for_locks(owner, reading))
            assert sequences(await append(journal, key, 1, a_report())) == [1]
            assert not any(reader.done() for reader in readers)
        await asyncio.gather(*readers)


async def test_a_unit_too_long_for_the_index_is_an_error_of_the_report(first: str) -> None:
    """The report can never be stored, so it raises Unstorable instead of blocking its election."""
    key = await load_election_key(first)
    async with open_pool(first) as pool:
        with pytest.raises(Unstorable):
            await append(PostgresJournal(pool), key, 1, a_report(os.urandom(4000).hex()))


async def test_leaving_a_host_does_not_wait_until_it_has_closed_the_connection_at_hand(first: str) -> None:
    """That host may no longer answer, and all attempts to reach another one end after CONNECT_S."""
    async with a_link(port_of(first)) as link, open_pool(with_hosts(first, link.host), max_size=1) as pool:
        used = await pool.fetchval("SELECT pg_backend_pid()")
        link.silent = True
        async with asyncio.timeout(CONNECT_S / 2):
            await pool.expire_connections()
        link.silent = False
        assert await pool.fetchval("SELECT pg_backend_pid()") != used


# Missing standbys.


async def test_an_append_whose_wait_for_the_standby_is_cancelled_has_no_receipt(
    first: str, owner: Connection
) -> None:
    """Postgres reports success with a warning, which is treated as an error; a retry finds the report."""
    key = await load_election_key(first)
    async with open_pool(first) as pool:
        journal = PostgresJournal(pool)
        async with standby_missing(first, owner):
            appending = asyncio.create_task(append(journal, key, 1, a_report()))
            await cancel_wait(owner)
            with pytest.raises(JournalUnavailable, match="locally"):
                await appending
        assert known_sequences(await append(journal, key, 1, a_report())) == [1]


async def test_a_cancelled_wait_for_the_standby_is_noticed_on_a_connection_that_was_released_before(
    first: str, owner: Connection
) -> None:
    """The pool resets it then, which removes the listeners of the connection."""
    key = await load_election_key(first)
    async with open_pool(first, max_size=1) as pool:
        used = await pool.fetchval("SELECT pg_backend_pid()")
        async with pool.acquire() as connection:
            await asyncpg.Pool.release(pool, connection)
        async with standby_missing(first, owner):
            appending = asyncio.create_task(append(PostgresJournal(pool), key, 1, a_report()))
            await cancel_wait(owner)
            with pytest.raises(JournalUnavailable, match="locally"):
                await appending
        assert await pool.fetchval("SELECT pg_backend_pid()") == used


async def _append_locked(journal: PostgresJournal, key: int) -> object:
    async with journal.locked(key, 1, START) as lock:
        found = Evaluated(lock.continuation.ends.chain, lock.continuation.ends.hold_chain, [1], [None])
        return await lock.append([a_report()], [datetime.now(UTC)], found)


async def _reject(journal: PostgresJournal, key: int) -> object:
    names = [HoldName("a-1", 1, a_report().digest)]
    return await journal.decide(
        key, 1, HoldDecision(release=False, holds=names, reason="other", note="", token=1)
    )


async def _set_policy(journal: PostgresJournal, key: int) -> object:
    return await journal.set_policy(key, 1, b'"recommended"', 1)


@pytest.mark.parametrize("act", [_append_locked, _reject, _set_policy])
async def test_whatever_changes_the_journal_is_an_error_if_its_wait_for_the_standby_is_cancelled(
    first: str, owner: Connection, act: Callable[[PostgresJournal, int], Awaitable[object]]
) -> None:
    """An append under the head lock, a decision on held reports, and a change of the rules; none without a standby."""
    key = await load_election_key(first)
    async with open_pool(first) as pool:
        with pytest.raises(StandbyMissing):
            await act(PostgresJournal(pool, require_standby=True), key)
        async with standby_missing(first, owner):
            acting = asyncio.create_task(act(PostgresJournal(pool), key))  # type: ignore[arg-type]
            await cancel_wait(owner)
            with pytest.raises(JournalUnavailable, match="locally"):
                await acting
    assert not await owner.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    )


@asynccontextmanager
async def role_set(owner: Connection, name: str, value: str) -> AsyncIterator[None]:
    """Set a parameter for all sessions of the role that start inside the block."""
    await owner.execute(f"ALTER ROLE CURRENT_USER SET {name} = '{value}'")
    try:
        yield
    finally:
        await owner.execute(f"ALTER ROLE CURRENT_USER RESET {name}")


@pytest.mark.parametrize("setting", ["client_min_messages", "synchronous_commit"])
@pytest.mark.parametrize("where", ["role", "database", "session"])
async def test_no_setting_hides_that_an_append_skipped_the_standby(
    first: str, owner: Connection, setting: str, where: str
) -> None:
    """Settings of the role, the database or a pooled session do not lead to a receipt for a local commit."""
    value = {"client_min_messages": "error", "synchronous_commit": "local"}[setting]
    key = await load_election_key(first)
    async with AsyncExitStack() as stack:
        if where == "role":
            await stack.enter_async_context(role_set(owner, setting, value))
        elif where == "database":
            await stack.enter_async_context(database_set(owner, setting, value))
        pool = await stack.enter_async_context(open_pool(first, max_size=1))
        if where == "session":
            await pool.execute(f"SET {setting} = {value}")
        await stack.enter_async_context(standby_missing(first, owner))
        appending = asyncio.create_task(append(PostgresJournal(pool), key, 1, a_report()))
        await cancel_wait(owner)
        with pytest.raises(JournalUnavailable, match="locally"):
            await appending


ACTS: dict[str, Callable[[Administration, str, str], Awaitable[object]]] = {
    "load": lambda acts, election, _: acts.load_election(a_registry(id=f"{election}-new")),
    "load again": lambda acts, election, _: acts.load_election(
        a_registry(id=election, publish_from=PUBLISH_FROM)
    ),
    "embargo": lambda acts, election, _: acts.move_embargo(election, MOVED_TO),
    "close": lambda acts, election, _: acts.close_election(election),
    "open": lambda acts, election, _: acts.open_election(election),
    "token revoke": lambda acts, _, token: acts.revoke_token(int(token)),
}


async def _issue(acts: Administration, election: str, _: str) -> object:
    return await acts.issue_token(election, ["no"])


async def _recorded_acts(owner: Connection) -> int:
    found: int = await owner.fetchval("SELECT count(*) FROM act")
    return found


PUBLISH_FROM = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
MOVED_TO = datetime.now(UTC) + timedelta(hours=2)


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
async def test_an_act_whose_wait_for_the_standby_is_cancelled_is_an_error(
    first: str, owner: Connection, act: Callable[[Administration, str, str], Awaitable[object]]
) -> None:
    """The act is committed on the primary only; repeated, it waits again, and succeeds once the standby is back."""
    async with administration(first, "test") as acts:
        election = await acts.load_election(a_registry(publish_from=PUBLISH_FROM))
        token = str((await acts.issue_token(election, ["no"])).key)
        async with role_set(owner, "client_min_messages", "error"), administration(first, "test") as waiting:
            async with standby_missing(first, owner):
                for _ in range(2):
                    acting = asyncio.ensure_future(act(waiting, election, token))
                    await cancel_wait(owner)
                    with pytest.raises(CommittedLocally, match="Repeat the command"):
                        await acting
            await act(waiting, election, token)


async def test_the_notification_of_an_act_does_not_wait_for_the_standby(
    first: str, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the standby disconnects right after the act, the notification is still sent at once."""
    async with administration(first, "test") as acts:
        election = await acts.load_election(a_registry())
        waiting_pids = []

        async def notify_without_standby(connection: Connection) -> None:
            async with standby_missing(first, owner):
                await notifications_module.notify_act(connection)
                waiting_pids.append(await waiting_for_standby(owner))

        monkeypatch.setattr(acts_module, "notify_act", notify_without_standby)
        await acts.close_election(election)
        assert waiting_pids == [None]


async def test_a_token_that_a_failover_could_lose_is_not_returned(first: str, owner: Connection) -> None:
    """The error contains the number of the token, so that it can be revoked."""
    async with administration(first, "test") as acts:
        election = await acts.load_election(a_registry())
        async with standby_missing(first, owner):
            issuing = asyncio.create_task(acts.issue_token(election, ["no"]))
            await cancel_wait(owner)
            with pytest.raises(CommittedLocally, match=r"numbers \d+.*revoke") as error:
                await issuing
        (token,) = await acts.tokens(election)
        assert f"(numbers {token.key})." in str(error.value)


async def test_an_act_whose_session_is_terminated_while_it_waits_for_the_standby_is_an_error(
    first: str, owner: Connection
) -> None:
    """The error states that the act is committed on the primary."""
    async with administration(first, "test") as acts:
        election = await acts.load_election(a_registry())
        async with standby_missing(first, owner):
            closing = asyncio.create_task(acts.close_election(election))
            pid = await until(lambda: waiting_for_standby(owner))
            await owner.execute("SELECT pg_terminate_backend($1)", pid)
            with pytest.raises(CommittedLocally, match="Repeat the command"):
                await closing


async def test_an_act_that_times_out_is_not_cancelled_while_it_waits_for_the_standby(
    first: str, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error states that the act may have been made, and no cancel is sent."""
    monkeypatch.setattr(connection_module, "ANSWER_S", -54.5)
    async with administration(first, "test") as acts:
        election = await acts.load_election(a_registry())
        async with standby_missing(first, owner):
            with pytest.raises(JournalUnavailable, match="may or may not have been made"):
                await acts.close_election(election)
            assert await waiting_for_standby(owner)
            async with administration(first, "test") as others:
                (summary,) = [each for each in await others.elections() if each.id == election]
                assert summary.closed_at is None


async def test_an_append_that_times_out_is_not_cancelled_while_it_waits_for_the_standby(
    first: str, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancel would commit the append on the primary only, where it would be visible."""
    monkeypatch.setattr(connection_module, "ANSWER_S", 0.5)
    key = await load_election_key(first)
    async with open_pool(first) as pool:
        journal = PostgresJournal(pool)
        async with standby_missing(first, owner):
            with pytest.raises(JournalUnavailable):
                await append(journal, key, 1, a_report())
            assert await waiting_for_standby(owner)
            assert await owner.fetchval("SELECT count(*) FROM report WHERE election = $1", key) == 0
        assert known_sequences(await append(journal, key, 1, a_report())) == [1]


async def test_a_receipt_cannot_be_read_back_before_the_standby_has_it(
    first: str, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report committed on the primary only is visible to queries, but `current_report` returns no receipt for it."""
    monkeypatch.setattr(connection_module, "ANSWER_S", 0.5)
    key = await load_election_key(first)
    async with open_pool(first) as pool:
        journal = PostgresJournal(pool)
        async with standby_missing(first, owner):
            with pytest.raises(JournalUnavailable):
                await append(journal, key, 1, a_report())
            await cancel_wait(owner)
            assert await owner.fetchval("SELECT count(*) FROM report WHERE election = $1", key) == 1
            with pytest.raises(JournalUnavailable):
                await journal.newest_report(key, "a-1")
        stored = await journal.newest_report(key, "a-1")
        assert stored is not None
        assert (stored.revision, stored.previous) == (1, None)


# Required standbys.


async def test_with_require_standby_nothing_is_appended_without_one(first: str, owner: Connection) -> None:
    """New reports, duplicates, empty appends, and reading back a receipt or that there is none raise StandbyMissing."""
    key = await load_election_key(first)
    async with open_pool(first) as pool:
        await append(PostgresJournal(pool), key, 1, a_report())
        strict = PostgresJournal(pool, require_standby=True)
        for reports in ([a_report()], [a_report(revision=2)], []):
            with pytest.raises(StandbyMissing):
                await append(strict, key, 1, *reports)
        for unit in ("a-1", "a-2"):
            with pytest.raises(StandbyMissing):
                await strict.newest_report(key, unit)
    assert await owner.fetchval("SELECT count(*) FROM report WHERE election = $1", key) == 1


async def test_a_commit_that_stops_waiting_because_the_standby_names_are_cleared_has_no_receipt(
    first: str, owner: Connection
) -> None:
    """Postgres reports success without a warning, so the setting is checked again after the commit."""
    key = await load_election_key(first)
    async with open_pool(first) as pool:
        journal = PostgresJournal(pool, require_standby=True)
        async with standby_missing(first, owner):
            appending = asyncio.create_task(append(journal, key, 1, a_report()))
            await until(lambda: waiting_for_standby(owner))
        with pytest.raises(StandbyMissing, match="no longer waits"):
            await appending
    assert await owner.fetchval("SELECT count(*) FROM report WHERE election = $1", key) == 1


async def test_standby_names_that_are_cleared_and_restored_during_a_commit_are_detected(
    first: str, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting is the same before and after, but a reload in between shows that it may have changed."""
    names_restored = asyncio.Event()
    require_waited = appending_module.require_waited

    async def require_after_restore(*args: Any) -> None:
        await names_restored.wait()
        await require_waited(*args)

    monkeypatch.setattr(appending_module, "require_waited", require_after_restore)
    key = await load_election_key(first)
    async with open_pool(first) as pool:
        journal = PostgresJournal(pool, require_standby=True)
        async with standby_missing(first, owner):
            appending = asyncio.create_task(append(journal, key, 1, a_report()))
            await until(lambda: waiting_for_standby(owner))
        async with server_set(first, "synchronous_standby_names", "nobody"):
            names_restored.set()
            with pytest.raises(JournalUnavailable, match="reloaded"):
                await appending


@pytest.mark.parametrize("act", [*ACTS.values(), _issue], ids=[*ACTS, "token issue"])
async def test_with_require_standby_no_act_is_performed_without_one(
    first: str, owner: Connection, act: Callable[[Administration, str, str], Awaitable[object]]
) -> None:
    """Nothing is changed, and the error says so, and what to do; without the option the act is performed."""
    async with (
        administration(first, "test") as acts,
        administration(first, "test", require_standby=True) as strict,
    ):
        election = await acts.load_election(a_registry(publish_from=PUBLISH_FROM))
        token = str((await acts.issue_token(election, ["no"])).key)
        before = await _recorded_acts(owner)
        for _ in range(2):
            with pytest.raises(StandbyMissing, match=r"nothing was changed.*--no-require-standby"):
                await act(strict, election, token)
        assert await _recorded_acts(owner) == before
        await act(acts, election, token)


async def test_what_an_act_finds_already_done_is_not_confirmed_without_a_required_standby(
    first: str, owner: Connection
) -> None:
    """The first one may have been committed without a standby, so repeating it must not look like a success."""
    async with (
        administration(first, "test") as acts,
        administration(first, "test", require_standby=True) as strict,
    ):
        election = await acts.load_election(a_registry())
        token = (await acts.issue_token(election, ["no"])).key
        await acts.revoke_token(token)
        with pytest.raises(StandbyMissing):
            await strict.revoke_token(token)


async def test_standby_names_that_are_cleared_while_an_act_waits_for_a_lock_prevent_it(
    first: str, owner: Connection
) -> None:
    """The setting is checked again right before the commit, and nothing was changed."""
    async with (
        administration(first, "test") as acts,
        administration(first, "test", require_standby=True) as strict,
    ):
        election = await acts.load_election(a_registry())
        before = await _recorded_acts(owner)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(server_set(first, "synchronous_standby_names", "nobody"))
            async with owner.transaction():
                await owner.execute("SELECT FROM head FOR UPDATE")
                closing = asyncio.create_task(strict.close_election(election))
                await until(lambda: waiting_for_locks(owner, 1))
                await stack.aclose()
            with pytest.raises(StandbyMissing, match="nothing was changed"):
                await closing
        assert await _recorded_acts(owner) == before


@pytest.mark.parametrize("restored", [False, True])
async def test_an_act_whose_commit_may_not_have_waited_says_that_it_happened(
    first: str, owner: Connection, monkeypatch: pytest.MonkeyPatch, *, restored: bool
) -> None:
    """The standby names are cleared during its commit, and perhaps set again; Postgres sends no warning."""
    checked = asyncio.Event()
    require_waited = acts_module.require_waited

    async def require_later(*args: Any) -> None:
        await checked.wait()
        await require_waited(*args)

    monkeypatch.setattr(acts_module, "require_waited", require_later)
    async with (
        administration(first, "test") as acts,
        administration(first, "test", require_standby=True) as strict,
    ):
        election = await acts.load_election(a_registry())
        token = (await acts.issue_token(election, ["no"])).key
        async with standby_missing(first, owner):
            revoking = asyncio.create_task(strict.revoke_token(token))
            await until(lambda: waiting_for_standby(owner))
        async with AsyncExitStack() as stack:
            if restored:
                await stack.enter_async_context(server_set(first, "synchronous_standby_names", "nobody"))
            checked.set()
            with pytest.raises(
                CommittedLocally, match=r"committed on the primary, but perhaps.*Repeat the command"
            ):
                await revoking
        assert [each.revoked_at is not None for each in await acts.tokens(election)] == [True]


async def test_a_token_whose_commit_may_not_have_waited_is_not_returned(
    first: str, owner: Connection
) -> None:
    """The error contains the number of the token, so that it can be revoked."""
    async with (
        administration(first, "test") as acts,
        administration(first, "test", require_standby=True) as strict,
    ):
        election = await acts.load_election(a_registry())
        async with standby_missing(first, owner):
            issuing = asyncio.create_task(strict.issue_token(election, ["no"]))
            await until(lambda: waiting_for_standby(owner))
        with pytest.raises(CommittedLocally, match=r"numbers \d+.*revoke"):
            await issuing


@pytest.mark.parametrize(
    ("sqlstate", "text", "function", "expected"),
    [
        ("01000", "canceling wait for synchronous replication due to user request", None, True),
        ("01000", "storniere Warten auf synchrone Replikation", "SyncRepWaitForLSN", True),
        (
            "57P01",
            "canceling the wait for synchronous replication and terminating connection due to administrator command",
            "SyncRepWaitForLSN",
            True,
        ),
        ("01000", "NOTIFY queue is 60% full", "asyncQueueFillWarning", False),
        ("00000", "synchronous replication is fine", None, False),
    ],
)
def test_a_cancelled_wait_for_the_standby_is_recognized_in_any_language(
    sqlstate: str, text: str, function: str | None, expected: bool
) -> None:
    """The warning is recognized by its source function or its text; other warnings are not."""
    fields = {"S": "WARNING", "V": "WARNING", "C": sqlstate, "M": text}
    if function is not None:
        fields["R"] = function
    message = asyncpg.PostgresLogMessage.new(fields)
    assert reports_local_commit(message) is expected
