"""How connections to Postgres behave: what they promise, how long they wait, and what their errors mean."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import pytest

from gateway.errors import ElectionUnknown, GatewayError, JournalUnavailable, StandbyMissing
from gateway.journal import connection as connection_module
from gateway.journal.administration import Administration
from gateway.journal.connection import (
    ACT,
    CHANNEL,
    FEED_ROLE,
    Connection,
    Unstorable,
    VersionChanged,
    connect,
    notifications,
    open_pool,
    translate_db_errors,
)
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from tests.conftest import Database
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

NOWHERE = "postgresql://nobody:nothing@/valgnatt?host=/nonexistent"


@pytest.fixture
def database(shared_database: Database) -> Database:
    """What a test sets for the whole database it takes back."""
    return shared_database


# A commit is flushed.


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("off", "on"),
        ("local", "on"),
        ("remote_write", "on"),
        ("on", "on"),
        ("remote_apply", "remote_apply"),
    ],
)
async def test_a_writer_waits_for_the_flush_whatever_the_database_is_set_to(
    database: Database, owner: Connection, given: str, kept: str
) -> None:
    """Its commits are `on` or stronger, in the pool and in a connection of its own."""
    async with database_set(owner, "synchronous_commit", given):
        async with open_pool(database.url) as pool:
            assert await pool.fetchval("SHOW synchronous_commit") == kept
        async with connected(database.url) as single:
            assert await single.fetchval("SHOW synchronous_commit") == kept


async def test_a_later_setting_of_the_server_does_not_take_the_flush_back(database: Database) -> None:
    """A connection holds to it as a setting of its own session, which no other goes above."""
    async with open_pool(database.url) as pool:
        setting = await pool.fetchrow(
            "SELECT setting, source FROM pg_settings WHERE name = 'synchronous_commit'"
        )
    assert setting is not None
    assert tuple(setting) == ("on", "session")


# What a session is.


async def test_a_feed_has_given_up_all_rights_but_its_own(database: Database) -> None:
    """Whoever logged in, also the owner: the session is that of the feed's role."""
    for url in (database.url, database.feed_url):
        async with open_pool(url, feed=True) as pool:
            assert await pool.fetchval("SELECT current_user") == FEED_ROLE
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.fetch("SELECT * FROM valgnatt.report")
        async with connected(url, feed=True) as single:
            assert await single.fetchval("SELECT current_user") == FEED_ROLE


async def test_a_feed_may_not_write_as_a_writer(database: Database) -> None:
    """A writer with the feed's login reaches nothing."""
    async with open_pool(database.feed_url) as pool:
        with pytest.raises(JournalUnavailable):
            await append(PostgresJournal(pool), 1, 1, a_report())


@pytest.mark.parametrize("feed", [False, True])
async def test_every_session_is_bounded(database: Database, feed: bool) -> None:
    """No statement, lock, idle transaction or dead peer holds anything for long, and no other schema is looked in."""
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
async def test_a_session_overrides_what_is_set_for_the_database(
    database: Database, owner: Connection, feed: bool
) -> None:
    """Every parameter that a promise rests on, also those of newer versions of Postgres."""
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


async def test_a_session_that_switches_triggers_off_is_refused(database: Database, owner: Connection) -> None:
    """The one that keeps accepted reports as they are is among them; the error names the parameter."""
    async with database_set(owner, "session_replication_role", "replica"):
        with pytest.raises(JournalUnavailable, match="session_replication_role is 'replica', not 'origin'"):
            await connect(database.url)
        async with open_pool(database.url) as pool:
            with pytest.raises(JournalUnavailable, match="session_replication_role"):
                await PostgresJournal(pool).versions()


@pytest.mark.parametrize("feed", [False, True])
async def test_a_session_whose_startup_parameters_were_ignored_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch, feed: bool
) -> None:
    """A pooler may do so; the error names each parameter that is not in force."""
    async with ignoring_startup(monkeypatch, "search_path", "client_min_messages"):
        with pytest.raises(
            JournalUnavailable,
            match=r"search_path is '\"\$user\", public', not 'valgnatt', client_min_messages is 'notice'",
        ):
            await connect(database.url, feed=feed)


@asynccontextmanager
async def ignoring_startup(monkeypatch: pytest.MonkeyPatch, *names: str) -> AsyncIterator[None]:
    """Let sessions begin without some of the parameters that were asked for, as some poolers do."""
    opened = asyncpg.connect

    async def connect_without(*args: Any, server_settings: dict[str, str], **options: Any) -> Connection:
        kept = {name: value for name, value in server_settings.items() if name not in names}
        connection: Connection = await opened(*args, server_settings=kept, **options)
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(asyncpg, "connect", connect_without)
        yield


async def test_a_session_in_which_messages_do_not_arrive_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever swallows them: a commit that skipped the standby would go unnoticed. A feed commits nothing."""
    monkeypatch.setattr(asyncpg.Connection, "_process_log_message", lambda *_: None)
    with pytest.raises(JournalUnavailable, match="messages of the server do not arrive"):
        await connect(database.url)
    async with connected(database.url, feed=True) as feed:
        assert await feed.fetchval("SELECT 1") == 1


async def test_patience_bounds_the_statements_of_one_connection(database: Database) -> None:
    """Where a purpose takes longer, it says so."""
    async with connected(database.url, statement_s=60.0) as patient:
        assert await patient.fetchval("SHOW statement_timeout") == "1min"


async def test_a_connection_that_cannot_be_prepared_is_not_left_open(
    database: Database, owner: Connection
) -> None:
    """One whose login may not take on the feed's role is given up, and says why."""
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

        async def gone() -> bool:
            return not await owner.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'stranger'"
            )

        await until(gone)
    finally:
        await owner.execute(f"REVOKE CONNECT ON DATABASE {name} FROM stranger")
        await owner.execute("DROP ROLE stranger")


# Waiting has an end.


class Blocked:
    """An election whose head another connection holds."""

    def __init__(self, key: int, owner: Connection) -> None:
        self.key = key
        self._owner = owner

    async def waits(self) -> None:
        """Wait until an append waits for the head."""
        await until(lambda: waiting_for_locks(self._owner, 1))


@asynccontextmanager
async def blocked(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> AsyncIterator[Blocked]:
    """Hold the head of a new election."""
    key = (await journal.election(await acts.load_election(a_registry()))).key
    async with owner.transaction():
        await owner.execute("SELECT FROM head WHERE election = $1 FOR UPDATE", key)
        yield Blocked(key, owner)


@pytest.mark.parametrize("bound", ["statement_timeout", "lock_timeout"])
async def test_an_append_that_waits_too_long_is_given_up(
    database: Database,
    acts: Administration,
    journal: PostgresJournal,
    owner: Connection,
    monkeypatch: pytest.MonkeyPatch,
    bound: str,
) -> None:
    """Its outcome is unknown; nothing of it is taken later, and the next append is answered."""
    monkeypatch.setitem(connection_module._SESSION, bound, "150")
    async with open_pool(database.url) as pool:
        impatient = PostgresJournal(pool)
        async with blocked(acts, journal, owner) as held:
            with pytest.raises(JournalUnavailable):
                await append(impatient, held.key, 1, a_report())
        answer = await append(impatient, held.key, 1, a_report(votes=11))
        assert sequences(answer) == [1]


async def test_an_append_that_is_not_answered_is_given_up_and_what_follows_is_decided_after_it(
    database: Database,
    acts: Administration,
    journal: PostgresJournal,
    owner: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its connection is closed without a cancel, so it may be taken yet: sent again it gets one place and no other."""
    monkeypatch.setattr(connection_module, "ANSWER_S", 0.3)
    async with open_pool(database.url) as pool:
        async with blocked(acts, journal, owner) as held:
            with pytest.raises(JournalUnavailable):
                await append(PostgresJournal(pool), held.key, 1, a_report())
            assert pool.get_size() == 0
        again = await append(journal, held.key, 1, a_report())
        assert (sequences(again), known_sequences(again)) in (([1], [None]), ([None], [1]))


async def test_an_append_whose_connection_breaks_has_an_unknown_outcome(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """Sent again it is decided, over a new connection."""
    async with blocked(acts, journal, owner) as held:
        waiting = asyncio.create_task(append(journal, held.key, 1, a_report()))
        await held.waits()
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        with pytest.raises(JournalUnavailable):
            await waiting
    assert sequences(await append(journal, held.key, 1, a_report())) == [1]


async def test_a_cancelled_append_frees_its_place(
    acts: Administration, journal: PostgresJournal, owner: Connection
) -> None:
    """The statement is cancelled on the server too, so it holds nobody up."""
    async with blocked(acts, journal, owner) as held:
        waiting = asyncio.create_task(append(journal, held.key, 1, a_report()))
        await held.waits()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        async def nobody_waits() -> bool:
            return not await waiting_for_locks(owner, 1)

        await until(nobody_waits)
    assert sequences(await append(journal, held.key, 1, a_report())) == [1]


async def test_a_stalled_loop_is_not_taken_for_an_outage(
    database: Database, acts: Administration, journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While each turn of the loop takes longer than any wait may, connections open and appends are answered."""
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
    """Each call then says that Postgres does not answer."""
    async with open_pool(NOWHERE) as pool:
        with pytest.raises(JournalUnavailable):
            await PostgresJournal(pool).versions()
    with pytest.raises(JournalUnavailable):
        await connect(NOWHERE)


# What errors mean.


@pytest.mark.parametrize(
    ("raised", "meant"),
    [
        ("VG001", VersionChanged),
        ("VG002", ElectionUnknown),
        ("VG003", JournalUnavailable),
        ("VG004", StandbyMissing),
        ("22001", Unstorable),  # a value too long
        ("22021", Unstorable),  # a character that is none
        ("23514", Unstorable),  # a check
        ("23505", JournalUnavailable),  # a place given twice: the head is behind its reports
        ("54000", JournalUnavailable),  # a limit of the program, as a full queue of notifications
        ("54001", JournalUnavailable),  # the stack
        ("54023", JournalUnavailable),  # too many arguments
        ("53100", JournalUnavailable),  # disk full
        ("53300", JournalUnavailable),  # too many connections
        ("55P03", JournalUnavailable),  # lock not available
        ("57014", JournalUnavailable),  # cancelled
        ("57P01", JournalUnavailable),  # shutdown
        ("25006", JournalUnavailable),  # read only: no longer the primary
        ("40001", JournalUnavailable),  # could not serialize
        ("42501", JournalUnavailable),  # not allowed
        ("XX000", JournalUnavailable),  # internal
    ],
)
async def test_an_error_of_postgres_becomes_one_of_the_gateway(
    owner: Connection, raised: str, meant: type[GatewayError]
) -> None:
    """What blames the data is no outage, and what is an outage blames no data."""
    with pytest.raises(meant), translate_db_errors():
        await owner.execute(f"DO $$ BEGIN RAISE EXCEPTION 'so' USING ERRCODE = '{raised}'; END $$")


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
    """Whichever layer notices it."""
    with pytest.raises(JournalUnavailable), translate_db_errors():
        raise raised


def test_a_mistake_of_the_program_is_no_outage() -> None:
    """It passes as it is."""
    with pytest.raises(ZeroDivisionError), translate_db_errors():
        raise ZeroDivisionError


# Notifications.


@pytest.mark.parametrize("feed", [False, True])
async def test_a_notification_wakes_and_so_does_each_connect(
    database: Database, owner: Connection, feed: bool
) -> None:
    """After a lost connection the listener comes back, and wakes for what it may have missed."""
    woken = asyncio.Semaphore(0)
    url = database.feed_url if feed else database.url
    listening = asyncio.create_task(notifications(url, woken.release, feed=feed))
    async with asyncio.timeout(PATIENCE_S):
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


async def test_a_push_process_is_woken_by_acts_and_not_by_each_commit(
    database: Database, owner: Connection
) -> None:
    """It would ask for the versions of all elections after each of its own commits."""
    woken: asyncio.Queue[None] = asyncio.Queue()
    heard = asyncio.Semaphore(0)
    listeners = [
        asyncio.create_task(notifications(database.url, lambda: woken.put_nowait(None), acts=True)),
        asyncio.create_task(notifications(database.url, heard.release)),
    ]
    async with asyncio.timeout(PATIENCE_S):
        await woken.get()
        await heard.acquire()  # both have connected
        for payload in ("", ACT):
            await owner.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)
            await heard.acquire()
        await woken.get()
        await owner.execute("SELECT pg_notify($1, '')", CHANNEL)
        await heard.acquire()
    assert woken.empty()
    for listening in listeners:
        listening.cancel()
    await asyncio.wait(listeners)


async def test_a_flood_of_notifications_is_not_read_to_its_end(
    database: Database, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any login may send as many as it likes; the listener gives up its connection, and comes back after a while."""
    monkeypatch.setattr(connection_module, "NOTIFICATIONS_PER_S_MAX", 50)
    monkeypatch.setattr(connection_module, "NO_LISTEN_S", 0.0)
    woken: asyncio.Queue[None] = asyncio.Queue()
    listening = asyncio.create_task(notifications(database.url, lambda: woken.put_nowait(None)))

    async def listener() -> int | None:
        pid: int | None = await owner.fetchval(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
        return pid

    async with asyncio.timeout(PATIENCE_S):
        await woken.get()
        before = await listener()
        flooding = await asyncpg.connect(database.feed_url)
        await flooding.execute("".join(f"NOTIFY {CHANNEL}, '{number}';" for number in range(2000)))
        flooding.terminate()
        while await listener() in (None, before):  # noqa: ASYNC110 - a fact of the database is asked for
            await asyncio.sleep(0.005)
        while woken.qsize() == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert woken.qsize() <= 102  # 50 in one second, 50 in the next, and one or two connects
        await owner.execute("SELECT pg_notify($1, '')", CHANNEL)
        heard = woken.qsize()
        while woken.qsize() <= heard:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening


async def test_a_listener_without_postgres_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It tries again at leisure, and wakes nobody until it is connected."""
    tried = asyncio.Semaphore(0)

    async def refused(url: str, *, feed: bool = False) -> Connection:
        tried.release()
        raise JournalUnavailable("away")

    monkeypatch.setattr(connection_module, "connect", refused)
    listening = asyncio.create_task(notifications(NOWHERE, lambda: pytest.fail("nothing was heard")))
    async with asyncio.timeout(PATIENCE_S):
        await tried.acquire()
    assert not listening.done()
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
