"""Several hosts, silent networks and standbys that are missing: nothing waits for ever, and no receipt lies."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from gateway.errors import JournalUnavailable, StandbyMissing
from gateway.journal import connection as connection_module
from gateway.journal import postgres as postgres_module
from gateway.journal.administration import Administration, administration
from gateway.journal.connection import (
    CHANNEL,
    CommittedLocally,
    Connection,
    Host,
    Unstorable,
    connect,
    hosts_of,
    notifications,
    open_pool,
    reports_local_commit,
)
from gateway.journal.embedded import EmbeddedPostgres
from gateway.journal.migrate import migrate
from gateway.journal.postgres import WRITERS_FREE, PostgresJournal
from tests.journal.makers import (
    PATIENCE_S,
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
from tests.journal.network import a_line, port_of, through

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[EmbeddedPostgres]]:
    """Two servers that may be set as a test likes, with one password."""
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
    """The address of one server."""
    return servers[0].tcp_url


@pytest.fixture
def second(servers: list[EmbeddedPostgres], first: str) -> str:
    """The address of the other."""
    return through(first, f"127.0.0.1:{port_of(servers[1].tcp_url)}")


@pytest.fixture
async def owner(first: str) -> AsyncIterator[Connection]:
    """A connection of the first server's owner, as with psql."""
    owner = await asyncpg.connect(first, server_settings={"search_path": "valgnatt"})
    yield owner
    owner.terminate()


@asynccontextmanager
async def server_set(url: str, name: str, value: str) -> AsyncIterator[None]:
    """Set a parameter of a whole server, also for the sessions that there are."""
    owner = await asyncpg.connect(url)

    async def present() -> str:
        async with connected_as_owner(url) as other:
            found: str = await other.fetchval(f"SHOW {name}")
            return found

    async def make(statement: str, shown: str) -> None:
        await owner.execute("SET default_transaction_read_only = off")
        await owner.execute(statement)
        await owner.execute("SELECT pg_reload_conf()")

        async def is_so() -> bool:
            return await present() == shown

        await until(is_so)

    before = await present()
    try:
        await make(f"ALTER SYSTEM SET {name} = '{value}'", value)
        yield
    finally:
        await make(f"ALTER SYSTEM RESET {name}", before)
        owner.terminate()


@asynccontextmanager
async def connected_as_owner(url: str) -> AsyncIterator[Connection]:
    """A connection as with psql."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        connection.terminate()


async def an_election(url: str) -> int:
    """Load an election and return its key."""
    async with administration(url, "test") as acts:
        identifier = await acts.load_election(a_registry())
    async with open_pool(url) as pool:
        return (await PostgresJournal(pool).election(identifier)).key


# Several hosts.


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
        ("postgresql:///db?port=6", [Host(None, None)]),
        ("postgresql:///db", [Host(None, None)]),
    ],
)
def test_the_hosts_of_a_url_are_those_it_names(url: str, hosts: list[Host]) -> None:
    """In its order, by name, address or directory, each with its port."""
    assert hosts_of(url) == hosts


@pytest.mark.parametrize("url", ["postgresql://one:x/db", "postgresql:///db?host=one,two,three&port=1,2"])
def test_a_url_whose_ports_make_no_sense_is_an_error(url: str) -> None:
    """It is told before anything is tried."""
    with pytest.raises(ValueError, match=r"port|invalid literal"):
        hosts_of(url)


@pytest.mark.parametrize("how", ["one connection", "pool"])
async def test_a_silent_host_does_not_take_the_turn_of_the_next(
    first: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It takes connections and never answers: the next host is tried in time, and comes first from then on."""
    monkeypatch.setattr(connection_module, "HOST_S", 0.5)
    async with a_line() as mute:
        url = through(first, mute.host, f"127.0.0.1:{port_of(first)}")
        if how == "pool":
            async with open_pool(url) as pool:
                for _ in range(3):
                    await PostgresJournal(pool).versions()
                    await pool.expire_connections()
        else:
            async with connected(url) as single:
                assert await single.fetchval("SELECT 1") == 1
        assert mute.connected == 1


async def test_hosts_that_refuse_or_may_not_write_are_passed_over(first: str, second: str) -> None:
    """A writer wants the host that takes writes; a feed takes the first that answers."""
    async with a_line() as line:
        closed = line.host
    hosts = [f"127.0.0.1:{port_of(url)}" for url in (second, first)]
    url = through(first, closed, *hosts)
    async with server_set(second, "default_transaction_read_only", "on"):
        async with connected(url) as writer:
            assert await writer.fetchval("SHOW default_transaction_read_only") == "off"
        async with open_pool(url) as pool:
            assert await pool.fetchval("SHOW default_transaction_read_only") == "off"
        async with connected(url, feed=True) as feed:
            assert await feed.fetchval("SHOW default_transaction_read_only") == "on"


async def test_where_no_host_will_do_each_says_why(first: str) -> None:
    """The error names them all."""
    async with a_line() as line:
        closed = line.host
    async with server_set(first, "default_transaction_read_only", "on"):
        with pytest.raises(
            JournalUnavailable, match=r"127\.0\.0\.1: .*refused.*; 127\.0\.0\.1: .*read-write"
        ):
            await connect(through(first, closed, f"127.0.0.1:{port_of(first)}"))


async def test_sockets_and_parameters_stand_in_a_url_as_before(servers: list[EmbeddedPostgres]) -> None:
    """The directory of a socket is a host like another."""
    url = servers[0].url.replace("?host=", "?host=/nonexistent,")
    async with connected(url + "&geqo=off") as single:
        assert await single.fetchval("SHOW geqo") == "off"


async def test_a_host_that_has_become_read_only_is_left(first: str, second: str) -> None:
    """Of all connections of the pool: whoever comes next is on the host that takes writes."""
    key = await an_election(first)
    url = through(first, *[f"127.0.0.1:{port_of(each)}" for each in (first, second)])
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


# A network that falls silent.


async def test_an_append_on_a_silent_network_is_given_up_at_once_when_its_time_is_over(
    first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection is closed; no cancel is tried, which would take as long again."""
    monkeypatch.setattr(connection_module, "ANSWER_S", 0.3)
    key = await an_election(first)
    async with a_line(port_of(first)) as line, open_pool(through(first, line.host)) as pool:
        journal = PostgresJournal(pool)
        await append(journal, key, 1, a_report())
        line.silent = True
        with pytest.raises(JournalUnavailable):
            await append(journal, key, 1, a_report(revision=2))
        assert (pool.get_size(), line.connected) == (0, 1)


async def test_a_cancelled_append_ends_at_once_on_a_silent_network(first: str, owner: Connection) -> None:
    """It waits neither for an answer nor for its cancel."""
    key = await an_election(first)
    async with a_line(port_of(first)) as line, open_pool(through(first, line.host)) as pool:
        journal = PostgresJournal(pool)
        await append(journal, key, 1, a_report())
        async with owner.transaction():
            await owner.execute("SELECT FROM head WHERE election = $1 FOR UPDATE", key)
            appending = asyncio.create_task(append(journal, key, 1, a_report(revision=2)))
            await until(lambda: waiting_for_locks(owner, 1))
            line.silent = True
            appending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await appending
            assert (pool.get_size(), line.connected) == (0, 1)


async def test_a_pool_that_has_no_connection_left_says_so(
    first: str, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for one waits for CONNECT_S at most."""
    monkeypatch.setattr(connection_module, "CONNECT_S", 0.3)
    key = await an_election(first)
    async with open_pool(first, max_size=1) as pool, pool.acquire():
        with pytest.raises(JournalUnavailable):
            await append(PostgresJournal(pool), key, 1, a_report())


async def test_a_listener_notices_a_silent_network(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks now and then whether anybody is there, and connects again where nobody answers."""
    monkeypatch.setattr(connection_module, "PROBE_S", 0.05)
    monkeypatch.setattr(connection_module, "ANSWER_S", 0.3)
    monkeypatch.setattr(connection_module, "LISTEN_AGAIN_S", 0.01)
    woken = asyncio.Semaphore(0)
    async with a_line(port_of(first)) as line:
        listening = asyncio.create_task(notifications(through(first, line.host), woken.release))
        async with asyncio.timeout(PATIENCE_S):
            await woken.acquire()
            line.silent = True
            while line.connected == 1:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            line.silent = False
            await woken.acquire()  # it has connected again
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening


async def test_a_listener_pauses_before_it_connects_again_however_its_connection_ended(
    first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it ends as soon as it listens, so that a host that throws all out is not stormed."""
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
        ended.extend(task for task in [asyncio.ensure_future(throw_out())] if task)

    ended: list[asyncio.Future[None]] = []

    async def throw_out() -> None:
        await thrower.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = $1", f'LISTEN "{CHANNEL}"'
        )

    async with connected_as_owner(first) as thrower:
        monkeypatch.setattr(connection_module, "connect", connected_once)
        monkeypatch.setattr(asyncio, "sleep", paused)
        with pytest.raises(asyncio.CancelledError):
            await notifications(first, wake)
        monkeypatch.setattr(asyncio, "sleep", sleep)
        await asyncio.gather(*ended)
    assert done == ["connect", "pause", "connect", "pause", "connect"]


# Those who read back.


async def test_an_append_does_not_wait_for_those_who_read_back(first: str, owner: Connection) -> None:
    """However many read, WRITERS_FREE connections are the writers' own."""
    key = await an_election(first)
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


async def test_a_unit_that_no_index_takes_is_the_reports_fault(first: str) -> None:
    """It can never be stored; the others of its election must not wait for it."""
    key = await an_election(first)
    async with open_pool(first) as pool:
        with pytest.raises(Unstorable):
            await append(PostgresJournal(pool), key, 1, a_report(os.urandom(4000).hex()))


# A standby that is missing.


@asynccontextmanager
async def standby_missing(url: str, owner: Connection) -> AsyncIterator[None]:
    """Have every commit wait for a standby that does not exist."""
    await owner.execute("CREATE TABLE IF NOT EXISTS probe (n integer)")
    async with server_set(url, "synchronous_standby_names", "nobody"), connected_as_owner(url) as other:
        await other.execute("SET synchronous_commit = on")
        while True:  # until commits do wait
            trying = asyncio.create_task(other.execute("INSERT INTO valgnatt.probe VALUES (1)"))

            async def told(trying: asyncio.Task[str] = trying) -> object:
                return trying.done() or await waiting_for_standby(owner)

            if await until(told) is not True:
                await cancel_wait(owner)
                await trying
                break
        yield


async def waiting_for_standby(owner: Connection) -> int | None:
    """Return the process that waits for the standby."""
    found: int | None = await owner.fetchval("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
    return found


async def cancel_wait(owner: Connection) -> None:
    """Have the commit that waits for the standby wait no longer; it is committed locally."""
    pid = await until(lambda: waiting_for_standby(owner))
    await owner.execute("SELECT pg_cancel_backend($1)", pid)

    async def waits_no_longer() -> bool:
        return await waiting_for_standby(owner) != pid

    await until(waits_no_longer)


async def test_an_append_whose_wait_for_the_standby_is_cancelled_has_no_receipt(
    first: str, owner: Connection
) -> None:
    """Postgres reports success, with a warning. Sent again, once the standby is there, the report is found."""
    key = await an_election(first)
    async with open_pool(first) as pool:
        journal = PostgresJournal(pool)
        async with standby_missing(first, owner):
            appending = asyncio.create_task(append(journal, key, 1, a_report()))
            await cancel_wait(owner)
            with pytest.raises(JournalUnavailable, match="locally"):
                await appending
        assert known_sequences(await append(journal, key, 1, a_report())) == [1]


@asynccontextmanager
async def role_set(owner: Connection, name: str, value: str) -> AsyncIterator[None]:
    """Set a parameter for the sessions of the role that begin from now on."""
    await owner.execute(f"ALTER ROLE CURRENT_USER SET {name} = '{value}'")
    try:
        yield
    finally:
        await owner.execute(f"ALTER ROLE CURRENT_USER RESET {name}")


@pytest.mark.parametrize("setting", ["client_min_messages", "synchronous_commit"])
@pytest.mark.parametrize("where", ["role", "database", "session"])
async def test_no_setting_makes_an_append_without_the_standby_look_like_one_with_it(
    first: str, owner: Connection, setting: str, where: str
) -> None:
    """Neither of the role or database, nor of a session that a pooler hands over: no receipt is given."""
    value = {"client_min_messages": "error", "synchronous_commit": "local"}[setting]
    key = await an_election(first)
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
    "load the same again": lambda acts, election, _: acts.load_election(
        a_registry(id=election, publish_from=FAR_AHEAD)
    ),
    "embargo": lambda acts, election, _: acts.move_embargo(election, MOVED_TO),
    "close": lambda acts, election, _: acts.close_election(election),
    "token revoke": lambda acts, _, token: acts.revoke_token(int(token)),
}
FAR_AHEAD = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
MOVED_TO = datetime.now(UTC) + timedelta(hours=2)


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
async def test_an_act_whose_wait_for_the_standby_is_cancelled_is_an_error(
    first: str, owner: Connection, act: Callable[[Administration, str, str], Awaitable[object]]
) -> None:
    """It is committed on the primary only. Repeated, it waits as well, and is done once the standby is there."""
    async with administration(first, "test") as acts:
        election = await acts.load_election(a_registry(publish_from=FAR_AHEAD))
        token = str((await acts.issue_token(election, ["no"])).key)
        async with role_set(owner, "client_min_messages", "error"), administration(first, "test") as waiting:
            async with standby_missing(first, owner):
                for _ in range(2):
                    acting = asyncio.ensure_future(act(waiting, election, token))
                    await cancel_wait(owner)
                    with pytest.raises(CommittedLocally, match="Repeat the command"):
                        await acting
            await act(waiting, election, token)


async def test_an_act_is_not_held_up_by_its_notification(
    first: str, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the standby goes right after the act, the notification does not wait for it."""
    async with administration(first, "test") as acts:
        election = await acts.load_election(a_registry())
        notify = Administration._notify
        told = []

        async def notify_without_standby(acting: Administration) -> None:
            async with standby_missing(first, owner):
                await notify(acting)
                told.append(await waiting_for_standby(owner))

        monkeypatch.setattr(Administration, "_notify", notify_without_standby)
        await acts.close_election(election)
        assert told == [None]


async def test_a_token_that_a_failover_could_lose_is_not_told(first: str, owner: Connection) -> None:
    """The error names it by its number, so that it can be revoked."""
    async with administration(first, "test") as acts:
        election = await acts.load_election(a_registry())
        async with standby_missing(first, owner):
            issuing = asyncio.create_task(acts.issue_token(election, ["no"]))
            await cancel_wait(owner)
            with pytest.raises(CommittedLocally, match=r"numbers \d+.*revoke") as told:
                await issuing
        (token,) = await acts.tokens(election)
        assert f"(numbers {token.key})." in str(told.value)


async def test_an_act_whose_session_is_ended_while_it_waits_for_the_standby_is_an_error(
    first: str, owner: Connection
) -> None:
    """It says that the act is committed on the primary."""
    async with administration(first, "test") as acts:
        election = await acts.load_election(a_registry())
        async with standby_missing(first, owner):
            closing = asyncio.create_task(acts.close_election(election))
            pid = await until(lambda: waiting_for_standby(owner))
            await owner.execute("SELECT pg_terminate_backend($1)", pid)
            with pytest.raises(CommittedLocally, match="Repeat the command"):
                await closing


async def test_an_act_that_is_given_up_leaves_the_wait_for_the_standby_alone(
    first: str, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that the act may have happened, and no cancel follows."""
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


async def test_an_append_that_is_given_up_leaves_the_wait_for_the_standby_alone(
    first: str, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancel would commit it here and perhaps nowhere else, for all to see."""
    monkeypatch.setattr(connection_module, "ANSWER_S", 0.5)
    key = await an_election(first)
    async with open_pool(first) as pool:
        journal = PostgresJournal(pool)
        async with standby_missing(first, owner):
            with pytest.raises(JournalUnavailable):
                await append(journal, key, 1, a_report())
            assert await waiting_for_standby(owner)
            assert await journal.current_report(key, "a-1") is None
        assert known_sequences(await append(journal, key, 1, a_report())) == [1]


async def test_a_receipt_is_not_read_back_before_the_standby_has_it(
    first: str, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is committed here only is seen by whoever reads, but no receipt is made of it."""
    monkeypatch.setattr(connection_module, "ANSWER_S", 0.5)
    key = await an_election(first)
    async with open_pool(first) as pool:
        journal = PostgresJournal(pool)
        async with standby_missing(first, owner):
            with pytest.raises(JournalUnavailable):
                await append(journal, key, 1, a_report())
            await cancel_wait(owner)
            assert await owner.fetchval("SELECT count(*) FROM report WHERE election = $1", key) == 1
            with pytest.raises(JournalUnavailable):
                await journal.current_report(key, "a-1")
        stored = await journal.current_report(key, "a-1")
        assert stored is not None
        assert (stored.revision, stored.previous) == (1, None)


# A standby that is required.


async def test_where_a_standby_is_required_nothing_is_appended_without_one(
    first: str, owner: Connection
) -> None:
    """Neither a new report, nor a duplicate, nor an empty append; and no receipt is read back."""
    key = await an_election(first)
    async with open_pool(first) as pool:
        await append(PostgresJournal(pool), key, 1, a_report())
        strict = PostgresJournal(pool, require_standby=True)
        for reports in ([a_report()], [a_report(revision=2)], []):
            with pytest.raises(StandbyMissing):
                await append(strict, key, 1, *reports)
        with pytest.raises(StandbyMissing):
            await strict.current_report(key, "a-1")
    assert await owner.fetchval("SELECT count(*) FROM report WHERE election = $1", key) == 1


async def test_a_commit_that_is_let_go_because_the_names_are_emptied_has_no_receipt(
    first: str, owner: Connection
) -> None:
    """It waited for a standby and then for none: Postgres reports success, without a warning."""
    key = await an_election(first)
    async with open_pool(first) as pool:
        journal = PostgresJournal(pool, require_standby=True)
        async with standby_missing(first, owner):
            appending = asyncio.create_task(append(journal, key, 1, a_report()))
            await until(lambda: waiting_for_standby(owner))
        with pytest.raises(StandbyMissing, match="ceased to wait"):
            await appending
    assert await owner.fetchval("SELECT count(*) FROM report WHERE election = $1", key) == 1


async def test_names_that_are_emptied_and_set_again_during_a_commit_are_noticed(
    first: str, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting is there before and after; the reload in between tells that it may not have been."""
    set_again = asyncio.Event()
    require_waited = postgres_module._require_waited

    async def require_later(*args: Any) -> None:
        await set_again.wait()
        await require_waited(*args)

    monkeypatch.setattr(postgres_module, "_require_waited", require_later)
    key = await an_election(first)
    async with open_pool(first) as pool:
        journal = PostgresJournal(pool, require_standby=True)
        async with standby_missing(first, owner):
            appending = asyncio.create_task(append(journal, key, 1, a_report()))
            await until(lambda: waiting_for_standby(owner))
        async with server_set(first, "synchronous_standby_names", "nobody"):
            set_again.set()
            with pytest.raises(JournalUnavailable, match="reloaded"):
                await appending


@pytest.mark.parametrize(
    ("sqlstate", "text", "function", "meant"),
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
def test_a_wait_for_the_standby_that_was_cut_short_is_told_in_any_language(
    sqlstate: str, text: str, function: str | None, meant: bool
) -> None:
    """By where it comes from, or by its words; no other warning is taken for it."""
    fields = {"S": "WARNING", "V": "WARNING", "C": sqlstate, "M": text}
    if function is not None:
        fields["R"] = function
    message = asyncpg.PostgresLogMessage.new(fields)
    assert reports_local_commit(message) is meant
