"""Migrations: each is applied once and in order, even by concurrent processes; a mismatch is refused."""

import asyncio
import hashlib
import itertools
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial

import asyncpg
import pytest
from structlog.testing import capture_logs

from gateway.election.registry_reading import read_registry
from gateway.errors import JournalUnavailable, Refused
from gateway.journal import lock_waits as lock_waits_module
from gateway.journal import migrate as migrate_module
from gateway.journal.administration import administration
from gateway.journal.connection import connect, open_pool
from gateway.journal.database_monitor import DatabaseMonitor
from gateway.journal.embedded import EmbeddedPostgres
from gateway.journal.lock_waits import lock_waits_reported
from gateway.journal.log import LogRecord
from gateway.journal.migrate import _require_supported, migrate, migrations
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from gateway.journal.refusals import NO_TOKEN, Refusals
from gateway.journal.session import FEED_ROLE, SESSION, SIGNER_ROLE
from gateway.journal.signing import SigningJournal
from gateway.telemetry.metrics import PushMetrics
from gateway.transparency.entries import parse_opening, registry_hash
from tests.conftest import Database
from tests.journal.makers import (
    FAR,
    PASSED,
    TIMEOUT_S,
    a_registry,
    a_report,
    append,
    chain_of,
    connected,
    known_sequences,
    sequences,
    until,
)

NAMES = [name for _, name, _ in migrations()]
APPLIED = {
    "0001_journal.sql": "484223a825081349",
    "0002_embargo.sql": "ae9dbc84b7547f5f",
    "0003_revision_ceiling.sql": "22c505567956f2d4",
    "0004_refusal.sql": "5a7ac15d630cf29c",
    "0005_waiting.sql": "dc8872b5efa0fba1",
    "0006_holds.sql": "2f1a1274c40d8ef1",
    "0007_public_holds.sql": "7532775331e8255a",
    "0008_previous.sql": "de02eaae44c157fd",
    "0009_log.sql": "881d6ee0dea8701a",
    "0010_append.sql": "27ab427ce77ad810",
}
"""The start of the digest of each migration that may have been applied to a database."""
READER = "valgnatt_login"
CONCURRENT = 5
"""Number of concurrent migrations."""

_numbers = itertools.count(1)


class EmptyServer:
    """A server that the gateway has never used: without the feed's role."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._url = server.url

    def url(self, database: str, user: str | None = None) -> str:
        """Return the URL of a database for the administrator, or for a user, whose password equals its name."""
        url = self._url.replace("/valgnatt?", f"/{database}?")
        return url if user is None else f"postgresql://{user}:{user}@" + url.partition("@")[2]

    async def execute(self, *statements: str) -> None:
        """Run statements as the administrator."""
        async with connected(self._url) as connection:
            for statement in statements:
                await connection.execute(statement)

    async def create_owned(self, rights: str = "") -> str:
        """Create a user and a database that it owns; return their common name."""
        name = f"owner_{next(_numbers)}"
        await self.execute(
            f"CREATE ROLE {name} LOGIN PASSWORD '{name}' {rights}", f"CREATE DATABASE {name} OWNER {name}"
        )
        return name

    async def drop(self) -> None:
        """Drop the databases and roles that tests created."""
        async with connected(self._url) as connection:
            for row in await connection.fetch("SELECT datname FROM pg_database WHERE datname LIKE 'owner_%'"):
                await connection.execute(f"DROP DATABASE {row[0]} WITH (FORCE)")
            for row in await connection.fetch(
                "SELECT rolname FROM pg_roles WHERE rolname ~ '^(owner|valgnatt)_' ORDER BY 1 DESC"
            ):
                await connection.execute(f"DROP OWNED BY {row[0]}")
                await connection.execute(f"DROP ROLE {row[0]}")


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server that no other test uses, because roles are shared by all its databases."""
    directory = tmp_path_factory.mktemp("private")
    os.chmod(directory, 0o755)
    with EmbeddedPostgres(directory / "data", durable=False) as server:
        yield server


@pytest.fixture
async def bare(private: EmbeddedPostgres) -> EmptyServer:
    """The private server without databases or roles of earlier tests."""
    bare = EmptyServer(private)
    await bare.drop()
    return bare


async def applied(url: str) -> list[str]:
    """Return the names of the migrations applied to a database."""
    async with connected(url) as connection:
        rows = await connection.fetch("SELECT name FROM migration ORDER BY number")
    return [row[0] for row in rows]


def test_migrations_are_numbered_without_a_gap() -> None:
    """Numbers start at 1 without gaps, and each file name begins with its number."""
    found = migrations()
    assert [number for number, _, _ in found] == list(range(1, len(found) + 1))
    assert all(name.startswith(f"{number:04}_") for number, name, _ in found)


def test_migrations_that_were_applied_somewhere_are_as_they_were() -> None:
    """A gateway refuses a database with another content of one: what has to change is changed by a new migration."""
    found = {name: hashlib.sha256(sql.encode()).hexdigest()[:16] for _, name, sql in migrations()}
    assert {name: found.get(name) for name in APPLIED} == APPLIED


async def test_migrating_again_changes_nothing(database: Database) -> None:
    """An up-to-date database needs no migration."""
    assert await migrate(database.url) == []
    assert await migrate(database.url) == []
    assert await applied(database.url) == NAMES


async def test_units_above_the_default_revision_ceiling_get_their_own(database: Database) -> None:
    """Reports accepted by an earlier version remain below the ceiling, so they are still recognized as duplicates."""
    number, name = next((number, name) for number, name, _ in migrations() if "revision_ceiling" in name)
    async with administration(database.url, "test") as acts:
        election = await acts.load_election(a_registry())
    async with connected(database.url) as owner:
        await owner.execute(
            "DROP TRIGGER report_revision ON report; DROP TRIGGER hold_revision ON hold;"
            " DROP FUNCTION refuse_revision; DROP TABLE revision_ceiling"
        )
        await owner.execute("DELETE FROM migration WHERE number = $1", number)
        await owner.execute(
            "INSERT INTO report (election, sequence, unit, revision, received_at, accepted_at, digest, chain, body)"
            " SELECT e.key, row_number() OVER (), unit, revision, now(), now(), '', '', '' FROM election e, (VALUES"
            " ('low', 2000000000), ('high', 2000000001), ('high', 2100000000), ('last', 2147483647))"
            " AS v (unit, revision) WHERE e.id = $1",
            election,
        )
        assert await migrate(database.url) == [name]
        rows = await owner.fetch("SELECT unit, ceiling FROM revision_ceiling ORDER BY unit")
    assert [tuple(row) for row in rows] == [("high", 2_101_000_000), ("last", 2_147_483_647)]


async def test_a_migration_whose_content_changed_is_refused(database: Database) -> None:
    """A file changed after it was applied would lead to different schemas."""
    async with connected(database.url) as connection:
        await connection.execute("UPDATE migration SET digest = 'another' WHERE number = 1")
    with pytest.raises(Refused, match=NAMES[0]):
        await migrate(database.url)


async def test_a_newer_database_is_refused(database: Database) -> None:
    """An older program does not change a newer schema."""
    async with connected(database.url) as connection:
        await connection.execute(
            "INSERT INTO migration (number, name, digest) VALUES (9999, '9999_x.sql', '')"
        )
    with pytest.raises(Refused, match="newer"):
        await migrate(database.url)


def test_an_unsupported_server_version_is_refused() -> None:
    """The error names the version of the server and the required one."""

    class Old:
        def get_server_version(self) -> asyncpg.types.ServerVersion:
            return asyncpg.types.ServerVersion(14, 9, 0, "final", 0)

    with pytest.raises(Refused, match="Postgres 14 is too old; version 15"):
        _require_supported(Old())  # type: ignore[arg-type]


async def test_concurrent_migrations_are_applied_once(bare: EmptyServer) -> None:
    """One process applies all migrations; the others wait and find nothing to do."""
    url = bare.url(await bare.create_owned())
    done = await asyncio.gather(*[migrate(url) for _ in range(CONCURRENT)])
    assert sorted(done) == [[]] * (CONCURRENT - 1) + [NAMES]
    assert await applied(url) == NAMES


async def test_databases_of_one_server_can_be_migrated_concurrently(bare: EmptyServer) -> None:
    """Each creates the feed's role if it is missing, and none fails if another created it first."""
    urls = [bare.url(await bare.create_owned()) for _ in range(CONCURRENT)]
    assert await asyncio.gather(*[migrate(url) for url in urls]) == [NAMES] * CONCURRENT


async def test_a_user_without_createrole_gets_instructions(bare: EmptyServer) -> None:
    """The statements in the error suffice for push and feed with one login; nothing is applied partially."""
    name = await bare.create_owned()
    url = bare.url(name, name)
    with pytest.raises(Refused) as refused:
        await migrate(url)
    assert str(refused.value).count(f"CREATE ROLE {FEED_ROLE} NOLOGIN; GRANT {FEED_ROLE} TO") == 1
    assert "\n" not in str(refused.value)
    assert await applied(url) == []
    await bare.execute(f"CREATE ROLE {FEED_ROLE} NOLOGIN", f"GRANT {FEED_ROLE} TO {name}")
    assert await migrate(url) == NAMES
    await _use(url)


async def test_a_user_with_createrole_needs_no_administrator(bare: EmptyServer) -> None:
    """The migration creates the feed's role and grants it to the user."""
    name = await bare.create_owned("CREATEROLE")
    url = bare.url(name, name)
    assert await migrate(url) == NAMES
    await _use(url)


async def test_a_signers_role_that_is_created_later_gets_its_functions_with_the_next_migration(
    bare: EmptyServer,
) -> None:
    """A user without CREATEROLE needs no such role to migrate; elections then have no logs."""
    name = await bare.create_owned()
    url = bare.url(name, name)
    await bare.execute(f"CREATE ROLE {FEED_ROLE} NOLOGIN", f"GRANT {FEED_ROLE} TO {name}")
    assert await migrate(url) == NAMES
    await bare.execute(f"CREATE ROLE {SIGNER_ROLE} NOLOGIN", f"GRANT {SIGNER_ROLE} TO {name}")
    async with open_pool(url, signer=True) as pool:
        with pytest.raises(JournalUnavailable):
            await SigningJournal(pool).record.heads()
    assert await migrate(url) == []
    async with open_pool(url, signer=True) as pool:
        assert await SigningJournal(pool).record.heads() == []


async def _use(url: str) -> None:
    """Load an election and read it as a feed, with one login."""
    async with administration(url, "olga") as acts:
        election = await acts.load_election(a_registry())
    async with open_pool(url, feed=True) as pool:
        assert [head.id for head in await PublicRecord(pool).heads()] == [election]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.fetch("SELECT * FROM valgnatt.head")


async def test_a_user_without_privileges_is_refused(bare: EmptyServer) -> None:
    """The error names the missing privilege and is not reported as an outage."""
    name, other = await bare.create_owned(), await bare.create_owned()
    await bare.execute(f"GRANT CONNECT ON DATABASE {name} TO {other}")
    with pytest.raises(Refused, match="permission denied for database"):
        await migrate(bare.url(name, other))


async def test_an_up_to_date_database_can_be_used_without_ddl_privileges(bare: EmptyServer) -> None:
    """A login that may not change the schema can start a gateway of the same version."""
    name, other = await bare.create_owned(), await bare.create_owned()
    await migrate(bare.url(name))
    async with connected(bare.url(name)) as connection:
        await connection.execute(f"GRANT USAGE ON SCHEMA valgnatt TO {other}")
        await connection.execute(f"GRANT SELECT ON valgnatt.migration TO {other}")
    assert await migrate(bare.url(name, other)) == []


# Dedicated servers.


async def test_on_a_dedicated_server_a_feed_login_cannot_connect_to_other_databases(
    bare: EmptyServer,
) -> None:
    """Statistics there reveal how many rows were inserted; a database created later is closed by the next migration."""
    name, other = await bare.create_owned(), await bare.create_owned()
    url = bare.url(name)
    await migrate(url)
    await bare.execute(f"CREATE ROLE {READER} LOGIN PASSWORD '{READER}' IN ROLE {FEED_ROLE}")

    async def can_connect(database: str) -> bool:
        try:
            async with connected(bare.url(database, READER), feed=True):
                return True
        except JournalUnavailable as error:
            return "permission denied for database" not in str(error)

    assert await can_connect(other)
    await migrate(url, dedicated=True)
    assert [await can_connect(name), await can_connect(other)] == [True, False]
    later = await bare.create_owned()
    assert await can_connect(later)
    await migrate(url, dedicated=True)
    assert not await can_connect(later)


async def test_on_a_dedicated_server_a_feed_login_cannot_fill_the_disk(bare: EmptyServer) -> None:
    """`temp_file_limit` bounds the temporary files of a session, which cannot change it."""
    name = await bare.create_owned()
    await migrate(bare.url(name))
    await bare.execute(f"CREATE ROLE {READER} LOGIN PASSWORD '{READER}' IN ROLE {FEED_ROLE}")
    await migrate(bare.url(name), dedicated=True)
    async with connected(bare.url(name, READER), feed=True) as feed:
        with pytest.raises(asyncpg.ConfigurationLimitExceededError, match="temp_file_limit"):
            await feed.execute(
                "DECLARE filled CURSOR WITH HOLD FOR WITH RECURSIVE t AS"
                f" (SELECT '{'x' * 5000}' AS x UNION ALL SELECT x FROM t) SELECT x FROM t"
            )


async def test_on_a_dedicated_server_an_owner_without_superuser_keeps_its_privileges(
    bare: EmptyServer,
) -> None:
    """The owner is granted the privileges revoked from PUBLIC, so it loads, appends, reads and migrates as before."""
    name = await bare.create_owned("CREATEROLE")
    url = bare.url(name, name)
    await migrate(url)
    await migrate(bare.url(name), dedicated=True)
    await _use(url)
    async with administration(url, "olga") as acts, open_pool(url) as pool:
        identifier = await acts.load_election(a_registry(publish_from=PASSED.isoformat()))
        journal = PostgresJournal(pool)
        row = await journal.election(identifier)
        appended = await append(journal, row.key, row.version, a_report("a-1"))
        assert sequences(appended) == [1]
        assert await pool.fetchval("SELECT count(*) FROM pg_stat_activity") > 0
    assert await migrate(url) == []


# Interference by other sessions.


async def test_a_feed_login_cannot_block_a_migration(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration waits for no advisory lock, and a feed's login cannot lock the table of migrations."""
    known = migrations()
    more = (known[-1][0] + 1, "9999_more.sql", "CREATE TABLE valgnatt.more ()")
    monkeypatch.setattr(migrate_module, "migrations", lambda: [*known, more])
    async with connected(database.url) as owner:
        await owner.execute("GRANT EXECUTE ON FUNCTION pg_catalog.pg_advisory_lock(bigint) TO valgnatt_feed")
        async with connected(database.feed_url, feed=True) as feed, feed.transaction():
            await feed.execute("SELECT pg_advisory_lock($1)", 0x56414C47)
            await feed.fetch("SELECT * FROM valgnatt_public.elections()")
            for mode in ("ACCESS SHARE", "SHARE", "EXCLUSIVE"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    async with feed.transaction():
                        await feed.execute(f"LOCK TABLE valgnatt.migration IN {mode} MODE")
            assert await migrate(database.url) == [more[1]]


async def test_an_up_to_date_database_is_not_locked(database: Database) -> None:
    """Processes can start while another session locks the table of migrations."""
    async with connected(database.url) as owner, owner.transaction():
        await owner.execute("LOCK TABLE valgnatt.migration IN EXCLUSIVE MODE")
        async with asyncio.timeout(TIMEOUT_S):
            assert await migrate(database.url) == []


async def test_a_migration_blocked_by_another_session_fails_and_changes_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The migration gives up after BLOCKED_S, because appends queue behind it."""
    known = migrations()
    more = (known[-1][0] + 1, "9999_more.sql", "ALTER TABLE valgnatt.election ADD COLUMN more integer")
    monkeypatch.setattr(migrate_module, "migrations", lambda: [*known, more])
    monkeypatch.setattr(migrate_module, "BLOCKED_S", 0.2)
    async with connected(database.feed_url, feed=True) as feed, feed.transaction():
        await feed.fetch("SELECT * FROM valgnatt_public.elections()")
        with pytest.raises(Refused, match="locked by another session"):
            await migrate(database.url)
        assert await applied(database.url) == NAMES
    assert await migrate(database.url) == [more[1]]


# Upgrades of the schema.


async def test_data_of_the_first_schema_survives_all_migrations(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports, heads, embargoes and contacts of a released and an embargoed election are kept."""
    name = f"first_{next(_numbers)}"
    url = postgres.url.replace("/valgnatt?", f"/{name}?")
    async with connected(postgres.url) as server:
        await server.execute(f"CREATE DATABASE {name}")
    with monkeypatch.context() as patched:
        patched.setattr(migrate_module, "migrations", lambda: migrations()[:1])
        assert await migrate(url) == NAMES[:1]
    made = {}
    async with connected(url) as owner:
        for publish_from in (PASSED, datetime.now(UTC) + FAR):
            registry = read_registry(a_registry(publish_from=publish_from.isoformat()))
            key = await owner.fetchval(
                "INSERT INTO election (id, registry) VALUES ($1, $2) RETURNING key",
                registry.id,
                registry.canonical(),
            )
            await owner.execute(
                "INSERT INTO head (election, publish_from) VALUES ($1, $2)", key, publish_from
            )
            token = await owner.fetchval(
                "INSERT INTO token (election, digest, areas) VALUES ($1, $2, '{a}') RETURNING key",
                key,
                bytes([key]) * 32,
            )
            await owner.execute("INSERT INTO contact VALUES ($1, now())", token)
            reports = [a_report("a-1", 1), a_report("b-1", 4), a_report("a-1", 2)]
            await owner.execute(
                "SELECT * FROM append_v1($1, 1, $2, $3, $4, $5, $6)",
                key,
                [each.report.unit for each in reports],
                [each.report.revision for each in reports],
                [each.digest for each in reports],
                [each.body for each in reports],
                [datetime.now(UTC)] * len(reports),
            )
            made[key] = (
                registry.id,
                reports,
                await owner.fetchrow("SELECT * FROM head WHERE election = $1", key),
            )

    assert await migrate(url) == NAMES[1:]
    async with open_pool(url) as pool, open_pool(url, feed=True) as reading:
        journal, record = PostgresJournal(pool), PublicRecord(reading)
        heads = {head.key: head for head in await record.heads()}
        for key, (identifier, reports, before) in made.items():
            row = await journal.election(identifier)
            assert (row.publish_from, row.released) == (
                before["publish_from"],
                before["released_at"] is not None,
            )
            assert set(await journal.contacts(key)) == {"a"}
            refusals = Refusals()
            refusals.note(key, NO_TOKEN, "token_invalid")
            await refusals.write(pool)
            assert await pool.fetchval("SELECT count FROM refusal WHERE election = $1", key) == 1
            again = await append(journal, key, 1, *reports, a_report("a-2", 1))
            assert known_sequences(again)[:3] == [1, 2, 3]
            assert sequences(again) == [None, None, None, 4]
            stored = await pool.fetch(
                "SELECT digest, chain FROM report WHERE election = $1 ORDER BY sequence", key
            )
            assert [each["chain"] for each in stored] == chain_of([each["digest"] for each in stored])
            assert stored[2]["chain"] == before["chain"]
            released = before["released_at"] is not None
            assert heads[key].released_at == before["released_at"]
            assert (heads[key].sequence, heads[key].chain == before["chain"]) == (
                (3, True) if released else (0, False)
            )
            assert len(await record.publications(key, 0, 9)) == (4 if released else 0)
        (opened,) = await LogRecord(reading).heads()  # the one that was released
        identifier, _, before = made[opened.key]
        opening = parse_opening(opened.opening)
        assert (opening.election, opening.previous) == (identifier, None)
        assert datetime.fromisoformat(opening.opened_at) == before["released_at"]
        assert opening.registry == registry_hash(await record.registry(opened.key))


def _async(condition: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    async def holds() -> object:
        return condition()

    return holds


async def test_a_migration_that_waits_for_a_lock_reports_which_one_and_who_has_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soon, and again in the error with which it gives up."""
    known = migrations()
    more = (known[-1][0] + 1, "9999_more.sql", "SELECT 1")
    monkeypatch.setattr(migrate_module, "migrations", lambda: [*known, more])
    monkeypatch.setattr(lock_waits_module, "WATCH_S", 0.05)
    reports: list[str] = []
    async with connected(database.url) as other:
        pid = await other.fetchval("SELECT pg_backend_pid()")
        await other.execute("SET idle_in_transaction_session_timeout = 0")
        async with other.transaction():
            await other.execute("LOCK TABLE valgnatt.migration IN EXCLUSIVE MODE")
            waiting = asyncio.create_task(migrate(database.url, on_wait=reports.append))
            await until(_async(lambda: reports))
        assert await waiting == [more[1]]
        assert re.fullmatch(
            r"waiting for the lock ExclusiveLock on migration for [0-9.]+ m?s, held by"
            rf" process {pid} \(user valgnatt, application valgnatt, idle in transaction, since 20\S+\)",
            reports[0],
        )
        monkeypatch.setattr(migrate_module, "LOCK_S", 1.0)
        monkeypatch.setattr(
            migrate_module, "migrations", lambda: [*known, more, (more[0] + 1, "9999_most.sql", "SELECT 1")]
        )
        async with other.transaction():
            await other.execute("LOCK TABLE valgnatt.migration IN EXCLUSIVE MODE")
            with pytest.raises(Refused, match=rf"gave up waiting for .* held by process {pid} "):
                await migrate(database.url)


async def test_a_login_without_privileges_sees_at_least_the_process_that_has_a_lock(
    bare: EmptyServer,
) -> None:
    """The user and the state of a superuser's session are hidden from others."""
    name = await bare.create_owned("CREATEROLE")
    await migrate(bare.url(name, name))
    async with connected(bare.url(name)) as superuser, connected(bare.url(name, name)) as owner:
        async with (
            lock_waits_reported(owner, partial(connect, bare.url(name, name)), lambda _: None) as wait,
            superuser.transaction(),
        ):
            await superuser.execute("LOCK TABLE valgnatt.migration IN ACCESS EXCLUSIVE MODE")
            blocked = asyncio.create_task(owner.fetchval("SELECT count(*) FROM valgnatt.migration"))
            await until(_async(lambda: wait.text))
        assert await blocked == len(NAMES)
    assert "the lock AccessShareLock on migration, held by process " in wait.text


async def test_an_act_that_waits_for_a_lock_names_who_has_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is the lock of a row, and in the error after a timeout."""
    monkeypatch.setattr(lock_waits_module, "WATCH_S", 0.05)
    monkeypatch.setitem(SESSION, "lock_timeout", "1500")
    reports: list[str] = []
    async with administration(database.url, "olga") as acts, connected(database.url) as other:
        identifier = await acts.load_election(a_registry())
        held = r"gave up waiting for a row .* held by process \d+ \(user valgnatt.*; nothing was changed\. Run .*"
        async with other.transaction():
            await other.execute("SELECT FROM head FOR UPDATE")
            with pytest.raises(JournalUnavailable, match=held) as failed:
                async with administration(database.url, "olga", on_wait=reports.append) as waiting:
                    await waiting.close_election(identifier)
        await acts.close_election(identifier)
    assert "waiting for a row that another transaction has changed for " in reports[0]
    assert "LockNotAvailable" not in str(failed.value)


async def test_a_load_that_waits_for_a_table_names_who_has_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or how to find that out, where no look was taken before it gave up; it can be repeated afterwards."""
    monkeypatch.setitem(SESSION, "lock_timeout", "400")
    held = r"gave up waiting for the lock RowExclusiveLock on .*election, held by process \d+ \(user valgnatt"
    unseen = "gave up waiting for a lock of another session .see pg_locks and pg_stat_activity."
    async with connected(database.url) as other:
        for watch_s, expected in ((0.05, held), (60.0, unseen)):
            monkeypatch.setattr(lock_waits_module, "WATCH_S", watch_s)
            async with other.transaction():
                await other.execute("LOCK TABLE election IN ACCESS EXCLUSIVE MODE")
                with pytest.raises(JournalUnavailable, match=expected) as failed:
                    async with administration(database.url, "olga", on_wait=lambda _: None) as acts:
                        await acts.load_election(a_registry())
                assert "nothing was changed. Run the command again" in str(failed.value)
                assert "LockNotAvailable" not in str(failed.value)
    async with administration(database.url, "olga") as acts:
        await acts.load_election(a_registry())


async def test_sessions_that_have_long_waited_for_a_lock_are_logged(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the monitor of a push process, with the session that has the lock."""
    monkeypatch.setattr(lock_waits_module, "WATCH_S", 0.0)
    async with (
        open_pool(database.url, max_size=1) as monitoring,
        connected(database.url) as other,
        connected(database.url) as waiting,
    ):
        monitor = DatabaseMonitor(monitoring, PushMetrics().database, embargoed=True)
        pid = await other.fetchval("SELECT pg_backend_pid()")
        with capture_logs() as logged:
            async with other.transaction():
                await other.execute("LOCK TABLE valgnatt.token")
                blocked = asyncio.create_task(waiting.fetchval("SELECT count(*) FROM valgnatt.token"))

                async def seen() -> object:
                    await monitor._collect()
                    return logged

                await until(seen)
            await blocked
    assert logged[0]["event"] == "sessions wait for a lock"
    assert "the lock AccessShareLock on token for " in logged[0]["wait"]
    assert (
        f"held by process {pid} (user valgnatt, application valgnatt, idle in transaction"
        in logged[0]["wait"]
    )
