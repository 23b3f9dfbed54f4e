"""PgBouncer between the gateway and Postgres: in session mode everything works, in the other modes nothing starts."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from gateway.journal.administration import administration
from gateway.journal.announcer import Announcer
from gateway.journal.confirmations import PostgresConfirmations
from gateway.journal.connection import connect, open_pool
from gateway.journal.migrate import migrate
from gateway.journal.notifications import notifications
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from gateway.journal.session import SESSION, Connection, SessionUnfit
from tests.conftest import Database
from tests.journal.makers import (
    UNITS,
    a_registry,
    a_report,
    append,
    connected,
    sequences,
    until,
    waiting_for_locks,
)
from tests.journal.pooler import Pooler, pooler

IGNORED = ",".join(SESSION)
"""Every parameter that a session starts with, as an operator writes them into ignore_startup_parameters."""


@pytest.fixture
def database(shared_database: Database) -> Database:
    """The shared database."""
    return shared_database


@pytest.fixture(params=["refused", "ignored"])
def session_mode(request: pytest.FixtureRequest, tmp_path: Path, database: Database) -> Iterator[Pooler]:
    """A pooler in session mode, which refuses or ignores startup parameters."""
    ignored = IGNORED if request.param == "ignored" else ""
    with pooler(tmp_path, [database.url, database.feed_url], "session", ignored=ignored) as running:
        yield running


async def test_through_a_pooler_in_session_mode_every_report_is_accepted_and_announced(
    session_mode: Pooler, database: Database
) -> None:
    """Owner and feed have their settings, their roles and their notifications."""
    url, feed_url = session_mode.url(database.url), session_mode.url(database.feed_url)
    assert await migrate(url) == []
    woken = asyncio.Event()
    listening = asyncio.create_task(notifications(feed_url, woken.set, feed=True))
    async with (
        administration(url, "olga") as acts,
        open_pool(url) as pool,
        open_pool(feed_url, feed=True) as feed,
    ):
        identifier = await acts.load_election(a_registry())
        announcer = Announcer(PostgresConfirmations(pool))
        journal = PostgresJournal(pool, announcer)
        announcing = asyncio.create_task(announcer.run(lambda _: None))
        key = (await journal.election(identifier)).key
        await asyncio.wait_for(woken.wait(), 20)  # it listens
        woken.clear()
        reports = [a_report(unit, revision=revision) for revision in range(1, 18) for unit in UNITS][:200]
        decided = [await append(journal, key, 1, *reports[at : at + 25]) for at in range(0, 200, 25)]
        assert [number for each in decided for number in sequences(each)] == list(range(1, 201))
        (head,) = [each for each in await PublicRecord(feed).heads() if each.id == identifier]
        assert head.sequence == 200
        await asyncio.wait_for(woken.wait(), 20)
        announcing.cancel()
    listening.cancel()


@pytest.fixture(params=["transaction", "statement"])
def shared_mode(request: pytest.FixtureRequest, tmp_path: Path, database: Database) -> Iterator[Pooler]:
    """A pooler that shares sessions."""
    with pooler(tmp_path, [database.url, database.feed_url], request.param, ignored=IGNORED) as running:
        yield running


async def test_a_pooler_that_shares_sessions_is_refused_and_nothing_stays_behind(
    shared_mode: Pooler, database: Database, owner: Connection
) -> None:
    """For the owner and the feeds, by every kind of connection; the message says what to set."""
    for url, feed in ((database.url, False), (database.feed_url, True)):
        with pytest.raises(SessionUnfit, match="pool_mode = session"):
            await connect(shared_mode.url(url), feed=feed)
    with pytest.raises(SessionUnfit, match="pool_mode = session"):
        await migrate(shared_mode.url(database.url))
    async with open_pool(shared_mode.url(database.url)) as pool:
        with pytest.raises(SessionUnfit):
            await PostgresJournal(pool).versions()
    left = await asyncpg.connect(shared_mode.url(database.url), statement_cache_size=0)
    try:
        await left.execute("RESET application_name")
        for unchanged in (
            "SELECT WHERE current_user = session_user",
            "SELECT WHERE current_setting('lock_timeout') = '0'",
        ):
            assert await left.execute(unchanged) == "SELECT 1"
        assert await left.execute("SELECT FROM pg_prepared_statements") == "SELECT 0"
    finally:
        left.terminate()
    assert await owner.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


async def test_signers_are_kept_apart_behind_a_pooler_that_shares_sessions(
    tmp_path: Path, database: Database, owner: Connection
) -> None:
    """Lock and fence belong to transactions, whichever session they get; nothing of them stays in it."""
    async with administration(database.url, "olga") as acts, open_pool(database.url) as pool:
        election = await acts.load_election(a_registry())
        key = (await PostgresJournal(pool).election(election)).key
        await acts.open_election(election)
    begin = "SELECT fence FROM valgnatt_signing.begin_round($1, $2, false)"
    declare = "SELECT valgnatt_signing.declare_log($1, 1, $2, 'o', '{o+12345678+AQID}', '{}')"
    options = {"default_pool_size": 2, "server_round_robin": 1}
    with pooler(tmp_path, [database.signer_url], "transaction", ignored=IGNORED, **options) as running:
        url = running.url(database.signer_url)
        with pytest.raises(SessionUnfit, match="pool_mode = session"):
            await connect(url, signer=True)
        first, second = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(2)]
        try:
            async with first.transaction():
                mine = await first.fetchval(begin, key, "a")
                waiting = asyncio.create_task(second.fetchval(begin, key, "b"))
                await until(lambda: waiting_for_locks(owner, 1))
            theirs = await waiting
            assert theirs == mine + 1
            with pytest.raises(asyncpg.PostgresError) as refused:
                await first.fetchval(declare, key, mine)
            assert refused.value.sqlstate == "VG006"
            assert await second.fetchval(declare, key, theirs)
        finally:
            first.terminate()
            second.terminate()
    assert await owner.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


@asynccontextmanager
async def sessions_taken(url: str, count: int) -> AsyncIterator[None]:
    """Keep `count` sessions of a pooler within a transaction."""
    taken = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(count)]
    try:
        for each in taken:
            await each.execute("BEGIN; SELECT 1")
        yield
    finally:
        for each in taken:
            each.terminate()


@pytest.mark.parametrize("round_robin", [0, 1])
@pytest.mark.parametrize(("size", "taken", "used"), [(1, 0, 0), (2, 0, 2), (2, 1, 1), (3, 0, 3), (8, 3, 6)])
async def test_sharing_is_detected_however_many_sessions_a_pooler_has(
    tmp_path: Path, database: Database, size: int, taken: int, used: int, round_robin: int
) -> None:
    """With one session for all, with several in turn, and while other clients have some of them."""
    options = {"default_pool_size": size, "server_round_robin": round_robin}
    with pooler(tmp_path, [database.url], "transaction", ignored=IGNORED, **options) as running:
        url = running.url(database.url)
        async with sessions_taken(url, used):
            pass  # now the pooler has so many idle sessions
        async with sessions_taken(url, taken):
            for _ in range(3):
                with pytest.raises(SessionUnfit):
                    await connect(url)


async def test_a_direct_connection_needs_no_second_one(database: Database, owner: Connection) -> None:
    """The server process itself answers at the other end."""
    async with connected(database.url):
        sessions = await owner.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert sessions == 1
