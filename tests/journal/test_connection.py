"""Connections to Postgres: their guarantees, their time limits, and how their errors are translated."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from gateway.database_url import read_database_url
from gateway.errors import ElectionUnknown, GatewayError, JournalUnavailable, StandbyMissing
from gateway.journal import connection as connection_module
from gateway.journal import connection_pool
from gateway.journal import notifications as notifications_module
from gateway.journal import session as session_module
from gateway.journal.administration import Administration
from gateway.journal.connection import acquired, connect, observe_reload, open_pool
from gateway.journal.db_errors import LoginRefused, Unstorable, VersionChanged, translate_db_errors
from gateway.journal.notifications import ACT, CHANNEL, notifications
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from gateway.journal.session import FEED_ROLE, Connection
from tests.conftest import Database
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

NOWHERE = "postgresql://nobody:nothing@/valgnatt?host=/nonexistent"


@pytest.fixture
def database(shared_database: Database) -> Database:
    """The shared database: every test resets the database settings that it changes."""
    return shared_database


# Commits are flushed.


@pytest.mark.parametrize(
    ("database_setting", "session_setting"),
    [
        ("off", "on"),
        ("local", "on"),
        ("remote_write", "on"),
        ("on", "on"),
        ("remote_apply", "remote_apply"),
    ],
)
async def test_a_writer_waits_for_the_flush_regardless_of_the_database_setting(
    database: Database, owner: Connection, database_setting: str, session_setting: str
) -> None:
    """`synchronous_commit` is at least `on`, both in the pool and in a single connection."""
    async with database_set(owner, "synchronous_commit", database_setting):
        async with open_pool(database.url) as pool:
            assert await pool.fetchval("SHOW synchronous_commit") == session_setting
        async with connected(database.url) as single:
            assert await single.fetchval("SHOW synchronous_commit") == session_setting


async def test_a_later_server_setting_does_not_disable_the_flush(database: Database) -> None:
    """`synchronous_commit` is set in the session, which overrides every other source."""
    async with open_pool(database.url) as pool:
        setting = await pool.fetchrow(
            "SELECT setting, source FROM pg_settings WHERE name = 'synchronous_commit'"
        )
    assert setting is not None
    assert tuple(setting) == ("on", "session")


# Session settings.


async def test_a_feed_session_has_only_the_privileges_of_the_feed_role(database: Database) -> None:
    """A feed session assumes the feed's role, even if it logs in as the owner."""
    for url in (database.url, database.feed_url):
        async with open_pool(url, feed=True) as pool:
            assert await pool.fetchval("SELECT current_user") == FEED_ROLE
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.fetch("SELECT * FROM valgnatt.report")
        async with connected(url, feed=True) as single:
            assert await single.fetchval("SELECT current_user") == FEED_ROLE


async def test_the_feed_login_cannot_append(database: Database) -> None:
    """A push process that uses the feed's login has no access to the journal."""
    async with open_pool(database.feed_url) as pool:
        with pytest.raises(JournalUnavailable):
            await append(PostgresJournal(pool), 1, 1, a_report())


@pytest.mark.parametrize("feed", [False, True])
async def test_every_session_has_time_limits(database: Database, feed: bool) -> None:
    """Statements, locks, idle transactions and dead peers have timeouts, and only one schema is searched."""
    async with open_pool(database.url, feed=feed) as pool:
        for name, shown in (
            ("statement_timeout", "5s"),
            ("lock_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "5s"),
            ("client_connection_check_interval", "2s"),
            ("search_path", "valgnatt"),
            ("TimeZone", "UTC"),
            ("default_transaction_isolation", "read committed"),
        ):
            assert await pool.fetchval("SELECT current_setting($1)", name) == shown


@pytest.mark.parametrize("feed", [False, True])
async def test_a_session_overrides_the_settings_of_the_database(
    database: Database, owner: Connection, feed: bool
) -> None:
    """A session sets every parameter that the guarantees depend on, including those of newer versions of Postgres."""
    hostile = {
        "client_min_messages": "error",
        "search_path": "public",
        "TimeZone": "Europe/Oslo",
        "default_transaction_isolation": "serializable",
        "statement_timeout": "0",
        "lock_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "idle_session_timeout": "1d",
        "client_connection_check_interval": "0",
        "plan_cache_mode": "force_custom_plan",
        "jit": "on",
    }
    if owner.get_server_version().major >= 17:
        hostile["transaction_timeout"] = "1d"
    async with AsyncExitStack() as stack:
        for name, value in hostile.items():
            await stack.enter_async_context(database_set(owner, name, value))
        session = await stack.enter_async_context(connected(database.url, feed=feed))
        rows = await session.fetch(
            "SELECT name, setting FROM pg_settings WHERE name = ANY ($1)", list(hostile)
        )
    assert {row["name"]: row["setting"] for row in rows} == {
        "client_min_messages": "warning",
        "search_path": "valgnatt",
        "TimeZone": "UTC",
        "default_transaction_isolation": "read committed",
        "statement_timeout": "5000",
        "lock_timeout": "5000",
        "idle_in_transaction_session_timeout": "5000",
        "idle_session_timeout": "0",
        "client_connection_check_interval": "2000",
        "plan_cache_mode": "auto",
        "jit": "off",
        **({"transaction_timeout": "0"} if "transaction_timeout" in hostile else {}),
    }


async def test_a_session_with_disabled_triggers_is_rejected(database: Database, owner: Connection) -> None:
    """Triggers protect accepted reports from changes; the error names the parameter."""
    async with database_set(owner, "session_replication_role", "replica"):
        with pytest.raises(JournalUnavailable, match="session_replication_role is 'replica', not 'origin'"):
            await connect(database.url)
        async with open_pool(database.url) as pool:
            with pytest.raises(JournalUnavailable, match="session_replication_role"):
                await PostgresJournal(pool).versions()


@pytest.mark.parametrize("feed", [False, True])
async def test_a_session_sets_startup_parameters_that_were_ignored(
    database: Database, monkeypatch: pytest.MonkeyPatch, feed: bool
) -> None:
    """Some poolers ignore startup parameters; they are in effect all the same."""
    ignored = ("search_path", "client_min_messages", "lock_timeout")
    async with (
        ignoring_startup(monkeypatch, *ignored),
        connected(database.url, feed=feed) as single,
    ):
        for name in ignored:
            found = await single.fetchval("SELECT setting FROM pg_settings WHERE name = $1", name)
            assert found == session_module.SESSION[name]


@pytest.mark.parametrize("feed", [False, True])
async def test_a_session_whose_parameters_have_no_effect_is_rejected(
    database: Database, monkeypatch: pytest.MonkeyPatch, feed: bool
) -> None:
    """Neither at startup nor afterwards; the error names each one that is not in effect."""
    monkeypatch.setattr(session_module, "settings_sql", lambda _: "SELECT")
    async with ignoring_startup(monkeypatch, "search_path", "client_min_messages"):
        with pytest.raises(
            JournalUnavailable,
            match=r"search_path is '\"\$user\", public', not 'valgnatt', client_min_messages is 'notice'",
        ):
            await connect(database.url, feed=feed)


@asynccontextmanager
async def ignoring_startup(monkeypatch: pytest.MonkeyPatch, *names: str) -> AsyncIterator[None]:
    """Make new sessions start without some of the requested parameters, as some poolers do."""
    opened = asyncpg.connect

    async def connect_without(*args: Any, server_settings: dict[str, str], **options: Any) -> Connection:
        kept = {name: value for name, value in server_settings.items() if name not in names}
        connection: Connection = await opened(*args, server_settings=kept, **options)
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(asyncpg, "connect", connect_without)
        yield


async def test_a_writer_session_without_server_messages_is_rejected(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without warnings a commit that skipped the standby would go unnoticed; a feed commits nothing and may connect."""
    monkeypatch.setattr(asyncpg.Connection, "_process_log_message", lambda *_: None)
    with pytest.raises(JournalUnavailable, match="messages of the server do not arrive"):
        await connect(database.url)
    async with connected(database.url, feed=True) as feed:
        assert await feed.fetchval("SELECT 1") == 1


async def test_the_statement_timeout_can_be_set_per_connection(database: Database) -> None:
    """`statement_s` sets the statement timeout of a connection that needs longer."""
    async with connected(database.url, statement_s=60.0) as slow:
        assert await slow.fetchval("SHOW statement_timeout") == "1min"


async def test_a_connection_whose_setup_fails_is_closed(database: Database, owner: Connection) -> None:
    """A connection that cannot assume the feed's role is closed, and the error states the cause."""
    await owner.execute("CREATE ROLE stranger LOGIN PASSWORD 'pw'")
    name = await owner.fetchval("SELECT current_database()")
    await owner.execute(f"GRANT CONNECT ON DATABASE {name} TO stranger")
    url = "postgresql://stranger:pw@" + database.url.partition("@")[2]
    try:
        with pytest.raises(JournalUnavailable, match="permission denied to set role"):
            await connect(url, feed=True)
        async with open_pool(url, feed=True) as pool:
            with pytest.raises(JournalUnavailable, match="permission denied to set role"):
                await PublicRecord(pool).heads()

        async def closed() -> bool:
            return not await owner.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'stranger'"
            )

        await until(closed)
    finally:
        await owner.execute(f"REVOKE CONNECT ON DATABASE {name} FROM stranger")
        await owner.execute("DROP ROLE stranger")


# Time limits.


class LockedElection:
    """An election whose head row is locked by another connection."""

    def __init__(self, key: int, owner: Connection) -> None:
        self.key = key
        self._owner = owner

    async def wait_blocked(self) -> None:
        """Wait until an append is blocked by the lock."""
        await until(lambda: waiting_for_locks(self._owner, 1))


@asynccontextmanager
async def head_locked(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> AsyncIterator[LockedElection]:
    """Load an election and lock its head row until the block ends."""
    key = (await journal.election(await acts.load_election(a_registry()))).key
    async with owner.transaction():
        await owner.execute("SELECT FROM head WHERE election = $1 FOR UPDATE", key)
        yield LockedElection(key, owner)


@pytest.mark.parametrize("bound", ["statement_timeout", "lock_timeout"])
async def test_an_append_that_exceeds_a_timeout_of_postgres_fails(
    database: Database,
    acts: Administration,
    journal: PostgresJournal,
    owner: Connection,
    monkeypatch: pytest.MonkeyPatch,
    bound: str,
) -> None:
    """The append fails and does not take effect later; the next append succeeds."""
    monkeypatch.setitem(session_module.SESSION, bound, "150")
    async with open_pool(database.url) as pool:
        limited = PostgresJournal(pool)
        async with head_locked(acts, journal, owner) as election:
            with pytest.raises(JournalUnavailable):
                await append(limited, election.key, 1, a_report())
        answer = await append(limited, election.key, 1, a_report(votes=11))
        assert sequences(answer) == [1]


async def test_an_append_without_an_answer_fails_and_a_retry_is_decided_after_it(
    database: Database,
    acts: Administration,
    journal: PostgresJournal,
    owner: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection is closed without a cancel, so the append may still commit; a retry creates no second entry."""
    monkeypatch.setattr(connection_module, "ANSWER_S", 0.3)
    async with open_pool(database.url) as pool:
        async with head_locked(acts, journal, owner) as election:
            with pytest.raises(JournalUnavailable):
                await append(PostgresJournal(pool), election.key, 1, a_report())
            assert pool.get_size() == 0
        again = await append(journal, election.key, 1, a_report())
        assert (sequences(again), known_sequences(again)) in (([1], [None]), ([None], [1]))


async def test_an_append_whose_connection_breaks_has_an_unknown_outcome(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """The append fails with JournalUnavailable; a retry uses a new connection and is decided."""
    async with head_locked(acts, journal, owner) as election:
        waiting = asyncio.create_task(append(journal, election.key, 1, a_report()))
        await election.wait_blocked()
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        with pytest.raises(JournalUnavailable):
            await waiting
    assert sequences(await append(journal, election.key, 1, a_report())) == [1]


async def test_a_statement_on_a_pool_that_is_terminated_is_an_outage(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between its round trips, where asyncpg raises AttributeError: a process that ends terminates its pools."""
    pooled = connection_module._Pooled
    prepare = pooled._get_statement  # type: ignore[attr-defined]
    async with open_pool(database.url) as pool:
        journal = PostgresJournal(pool)
        await journal.versions()

        async def terminated(connection: Connection, *options: Any, **named: Any) -> Any:
            statement = await prepare(connection, *options, **named)
            pool.terminate()
            return statement

        monkeypatch.setattr(pooled, "_get_statement", terminated)
        with pytest.raises(JournalUnavailable, match="closed during a statement"):
            await journal.record_contacts({1: datetime.now(UTC)})


async def test_a_cancelled_append_is_cancelled_in_postgres(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """The statement is cancelled on the server too, so it no longer waits for the lock."""
    async with head_locked(acts, journal, owner) as election:
        waiting = asyncio.create_task(append(journal, election.key, 1, a_report()))
        await election.wait_blocked()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        async def no_statement_waits() -> bool:
            return not await waiting_for_locks(owner, 1)

        await until(no_statement_waits)
    assert sequences(await append(journal, election.key, 1, a_report())) == [1]


async def test_a_stalled_event_loop_is_not_mistaken_for_an_outage(
    database: Database, acts: Administration, journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections open and appends succeed even if each turn of the event loop exceeds the time limits."""
    key = (await journal.election(await acts.load_election(a_registry()))).key
    stalled, turns = True, 0
    loop = asyncio.get_running_loop()

    def stall() -> None:
        nonlocal turns
        if stalled:
            turns += 1
            time.sleep(0.15)
            loop.call_soon(stall)

    monkeypatch.setattr(connection_module, "ANSWER_S", 0.1)
    monkeypatch.setattr(connection_module, "CONNECT_S", 0.1)
    async with open_pool(database.url) as pool:
        loop.call_soon(stall)
        try:
            for revision in (1, 2):
                answer = await append(PostgresJournal(pool), key, 1, a_report(revision=revision))
                assert sequences(answer) == [revision]
        finally:
            stalled = False
    assert turns > 2


async def test_a_pool_opens_while_postgres_is_away() -> None:
    """`open_pool` succeeds without a server; each later call raises JournalUnavailable."""
    async with open_pool(NOWHERE) as pool:
        with pytest.raises(JournalUnavailable):
            await PostgresJournal(pool).versions()
    with pytest.raises(JournalUnavailable):
        await connect(NOWHERE)


# Translation of errors.


@pytest.mark.parametrize(
    ("sqlstate", "expected"),
    [
        ("VG001", VersionChanged),
        ("VG002", ElectionUnknown),
        ("VG003", JournalUnavailable),
        ("VG004", StandbyMissing),
        ("22001", Unstorable),  # a value too long
        ("22021", Unstorable),  # an invalid character
        ("23514", Unstorable),  # a violated check
        ("23505", JournalUnavailable),  # a duplicate sequence: the head is behind its reports
        ("54000", JournalUnavailable),  # a program limit, such as a full notification queue
        ("54001", JournalUnavailable),  # stack depth exceeded
        ("54023", JournalUnavailable),  # too many arguments
        ("53100", JournalUnavailable),  # disk full
        ("53300", JournalUnavailable),  # too many connections
        ("55P03", JournalUnavailable),  # lock not available
        ("57014", JournalUnavailable),  # cancelled
        ("57P01", JournalUnavailable),  # shutdown
        ("25006", JournalUnavailable),  # read-only: no longer the primary
        ("40001", JournalUnavailable),  # serialization failure
        ("42501", JournalUnavailable),  # insufficient privilege
        ("XX000", JournalUnavailable),  # internal error
    ],
)
async def test_postgres_errors_are_translated_to_gateway_errors(
    owner: Connection, sqlstate: str, expected: type[GatewayError]
) -> None:
    """Data errors are not reported as outages, nor outages as data errors."""
    with pytest.raises(expected), translate_db_errors():
        await owner.execute(f"DO $$ BEGIN RAISE EXCEPTION 'so' USING ERRCODE = '{sqlstate}'; END $$")


@pytest.mark.parametrize(
    "raised",
    [
        ConnectionResetError(),
        TimeoutError(),
        asyncpg.InterfaceError("closed"),
        asyncpg.exceptions.TargetServerAttributeNotMatched("none is writable"),
    ],
)
def test_a_lost_connection_is_an_outage(raised: Exception) -> None:
    """A lost connection raises JournalUnavailable, whether the OS or asyncpg detects it."""
    with pytest.raises(JournalUnavailable), translate_db_errors():
        raise raised


def test_a_programming_error_is_not_translated() -> None:
    """Errors that do not come from Postgres or the network pass through unchanged."""
    with pytest.raises(ZeroDivisionError), translate_db_errors():
        raise ZeroDivisionError


# Notifications.


@pytest.mark.parametrize("feed", [False, True])
async def test_each_notification_and_each_connection_wakes_the_listener(
    database: Database, owner: Connection, feed: bool
) -> None:
    """After a lost connection the listener reconnects, and wakes in case it missed a notification."""
    woken = asyncio.Semaphore(0)
    url = database.feed_url if feed else database.url
    listening = asyncio.create_task(notifications(url, woken.release, feed=feed))
    async with asyncio.timeout(TIMEOUT_S):
        await woken.acquire()  # it has connected
        await owner.execute("SELECT pg_notify($1, '')", CHANNEL)
        await woken.acquire()
        assert woken.locked()
        assert await owner.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
        await woken.acquire()  # it has connected again
        await owner.execute("SELECT pg_notify($1, '')", CHANNEL)
        await woken.acquire()
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening


async def test_a_push_process_is_woken_by_acts_but_not_by_commits(
    database: Database, owner: Connection
) -> None:
    """Otherwise each of its own commits would make it query the versions of all elections."""
    woken: asyncio.Queue[None] = asyncio.Queue()
    other_woken = asyncio.Semaphore(0)
    listeners = [
        asyncio.create_task(notifications(database.url, lambda: woken.put_nowait(None), acts=True)),
        asyncio.create_task(notifications(database.url, other_woken.release)),
    ]
    async with asyncio.timeout(TIMEOUT_S):
        await woken.get()
        await other_woken.acquire()  # both have connected
        for payload in ("", ACT):
            await owner.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)
            await other_woken.acquire()
        await woken.get()
        await owner.execute("SELECT pg_notify($1, '')", CHANNEL)
        await other_woken.acquire()
    assert woken.empty()
    for listening in listeners:
        listening.cancel()
    await asyncio.wait(listeners)


async def test_a_flood_of_notifications_closes_the_connection_of_the_listener(
    database: Database, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any login may send notifications without limit; the listener disconnects, and reconnects after a pause."""
    monkeypatch.setattr(notifications_module, "NOTIFICATIONS_PER_S_MAX", 50)
    monkeypatch.setattr(notifications_module, "NO_LISTEN_S", 0.0)
    woken: asyncio.Queue[None] = asyncio.Queue()
    listening = asyncio.create_task(notifications(database.url, lambda: woken.put_nowait(None)))

    async def listener() -> int | None:
        pid: int | None = await owner.fetchval(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
        return pid

    async with asyncio.timeout(TIMEOUT_S):
        await woken.get()
        before = await listener()
        flooding = await asyncpg.connect(database.feed_url)
        await flooding.execute("".join(f"NOTIFY {CHANNEL}, '{number}';" for number in range(2000)))
        flooding.terminate()
        while await listener() in (None, before):  # noqa: ASYNC110 - the state of the database can only be polled
            await asyncio.sleep(0.005)
        while woken.qsize() == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert woken.qsize() <= 102  # 50 in one second, 50 in the next, and one or two connects
        count = woken.qsize()
        while woken.qsize() <= count:  # a notification is lost while the listener reconnects
            await owner.execute("SELECT pg_notify($1, '')", CHANNEL)
            await asyncio.sleep(0.05)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening


async def test_a_listener_retries_until_postgres_is_available() -> None:
    """The listener retries after a pause, and calls nothing until it is connected."""
    attempted = asyncio.Semaphore(0)

    async def fail(url: str, *, feed: bool = False) -> Connection:
        attempted.release()
        raise JournalUnavailable("away")

    listening = asyncio.create_task(
        notifications(NOWHERE, lambda: pytest.fail("woken without a connection"), opener=fail)
    )
    async with asyncio.timeout(TIMEOUT_S):
        await attempted.acquire()
    assert not listening.done()
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ("options=-c%20no_such_setting%3Don", "no_such_setting"),
        ("dbname=nowhere", "nowhere"),
        ("sslmode=verify-full", "root"),
        ("password=wrong", "password authentication failed"),
    ],
)
async def test_a_login_that_is_refused_for_good_is_not_an_outage(
    database: Database, parameters: str, reason: str
) -> None:
    """Waiting does not help, so it is not taken for a server that is away."""
    url = read_database_url(database.url)
    host = f"host={url.hosts[0].name}&port={url.hosts[0].port}"
    place = url.database if "dbname" not in parameters else ""
    given = f"postgresql:///{place}?user={url.user}&password={url.password}&{host}&{parameters}"
    for wrong in (given, given.replace("&host=", "&host=/nonexistent/,").replace("&port=", "&port=1,")):
        with pytest.raises(LoginRefused if wrong == given else JournalUnavailable, match=reason):
            await connect(wrong)
    with pytest.raises(JournalUnavailable) as away:
        await connect(NOWHERE)
    assert not away.value.permanent


async def test_the_time_without_a_reload_is_measured_by_a_clock_that_is_never_set(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the observation before this one, after which the statement began that relies on it."""
    now = 100.0
    connection = await connect(database.url)
    try:
        monkeypatch.setattr(connection_module.time, "monotonic", lambda: now)
        first, second = datetime(2025, 9, 8, 20, tzinfo=UTC), datetime(2025, 9, 8, 19, tzinfo=UTC)
        assert observe_reload(connection, first) == 0.0
        now = 101.5
        assert observe_reload(connection, first) == 0.0
        now = 103.0
        assert observe_reload(connection, first) == 1.5
        assert observe_reload(connection, first) == 3.0
        assert observe_reload(connection, second) == 0.0
        now = 104.0
        assert observe_reload(connection, second) == 0.0
        assert observe_reload(connection, second) == 1.0
    finally:
        monkeypatch.undo()
        connection.terminate()


# The connection that a pool keeps at hand.


async def test_a_connection_at_hand_goes_to_whoever_asks_first_and_never_while_somebody_waits(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a single connection: the second waits until the first releases it."""
    monkeypatch.setattr(connection_pool, "UNUSED_S", 3600.0)
    async with asyncio.timeout(TIMEOUT_S), open_pool(database.url, max_size=1) as pool:
        async with acquired(pool) as connection:
            first = connection.get_server_pid()
            waiting = asyncio.create_task(pool.fetchval("SELECT pg_backend_pid()"))
            await asyncio.sleep(0)
            assert not waiting.done()
        assert await waiting == first
        assert (pool.get_size(), pool.get_idle_size()) == (1, 1)
        async with acquired(pool) as connection:
            assert connection.get_server_pid() == first
            assert (pool.get_size(), pool.get_idle_size()) == (1, 0)


async def test_a_connection_at_hand_that_is_not_used_is_closed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a timer, so that no task of its own can fail unseen; the next statement opens another one."""
    monkeypatch.setattr(connection_pool, "UNUSED_S", 0.01)
    tasks = asyncio.all_tasks()
    async with asyncio.timeout(TIMEOUT_S), open_pool(database.url, max_size=1) as pool:
        first = await pool.fetchval("SELECT pg_backend_pid()")

        async def closed() -> bool:
            assert asyncio.all_tasks() == tasks
            return pool.get_size() == 0

        await until(closed)
        assert await pool.fetchval("SELECT pg_backend_pid()") != first


async def test_a_connection_in_constant_use_is_replaced_after_so_many_statements(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a session of the server does not last as long as the process."""
    monkeypatch.setattr(connection_pool, "STATEMENTS_MAX", 8)
    async with asyncio.timeout(TIMEOUT_S), open_pool(database.url, max_size=1) as pool:
        sessions = [await pool.fetchval("SELECT pg_backend_pid()") for _ in range(24)]
    assert len(set(sessions)) > 2
    assert len(set(sessions[:4])) == 1


@pytest.mark.parametrize("how", ["broken", "expired"])
async def test_a_connection_at_hand_that_is_not_to_be_used_is_replaced(
    database: Database, owner: Connection, how: str
) -> None:
    """If it is closed meanwhile, and if the pool is to connect to another host."""
    async with asyncio.timeout(TIMEOUT_S), open_pool(database.url, max_size=1) as pool:
        first = await pool.fetchval("SELECT pg_backend_pid()")
        if how == "broken":
            await owner.execute("SELECT pg_terminate_backend($1)", first)

            async def closed() -> bool:
                return pool.get_idle_size() == 0

            await until(closed)
        else:
            await pool.expire_connections()
        assert await pool.fetchval("SELECT pg_backend_pid()") != first


@pytest.mark.parametrize("how", ["expired", "unused"])
async def test_a_connection_at_hand_that_broke_leaves_its_place_to_another(
    database: Database, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """As when the server, or something before it, sends what is no message: asyncpg closes it and frees nothing."""
    monkeypatch.setattr(connection_pool, "UNUSED_S", 0.01)
    async with asyncio.timeout(TIMEOUT_S), open_pool(database.url, max_size=1) as pool:
        async with acquired(pool) as connection:
            broken = connection._con  # type: ignore[attr-defined]
        broken._protocol.abort()
        if how == "expired":
            await pool.expire_connections()
        else:

            async def timed_out() -> bool:
                return pool._timer is None  # type: ignore[attr-defined, no-any-return]

            await until(timed_out)
        assert await pool.fetchval("SELECT 1") == 1


async def test_unused_connections_that_expire_are_closed_at_once(database: Database) -> None:
    """No task waits for a server that may be dead."""
    tasks = asyncio.all_tasks()
    async with asyncio.timeout(TIMEOUT_S), open_pool(database.url, max_size=3) as pool:
        async with acquired(pool), acquired(pool), acquired(pool):
            pass
        assert pool.get_size() == 3
        await pool.expire_connections()
        assert pool.get_size() == 0
        await pool.execute("SELECT")
        assert asyncio.all_tasks() == tasks
        assert pool.get_idle_size() == 1


async def test_a_connection_that_expired_in_use_is_not_kept(database: Database) -> None:
    """It is closed when it is released."""
    async with open_pool(database.url, max_size=1) as pool:
        async with acquired(pool) as connection:
            first = connection.get_server_pid()
            await pool.expire_connections()
        assert await pool.fetchval("SELECT pg_backend_pid()") != first


async def test_a_connection_that_is_released_in_a_transaction_is_not_kept(database: Database) -> None:
    """asyncpg ends the transaction, and reports it as an error of the program."""
    reported = asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(lambda *_: reported.set())
    async with asyncio.timeout(TIMEOUT_S), open_pool(database.url, max_size=1) as pool:
        async with acquired(pool) as connection:
            await connection.execute("BEGIN")
        async with acquired(pool) as connection:
            assert not connection.is_in_transaction()
    assert reported.is_set()
