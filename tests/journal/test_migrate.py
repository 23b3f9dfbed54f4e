"""Migrations: applied once, in order, whoever asks and however many at once; refused where they do not fit."""

import asyncio
import itertools
import os
from collections.abc import Iterator
from datetime import UTC, datetime

import asyncpg
import pytest

from gateway.election.registry import read_registry
from gateway.errors import JournalUnavailable, Refused
from gateway.journal import migrate as migrate_module
from gateway.journal.administration import administration
from gateway.journal.connection import FEED_ROLE, open_pool
from gateway.journal.embedded import EmbeddedPostgres
from gateway.journal.migrate import _require_supported, migrate, migrations
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from tests.conftest import Database
from tests.journal.makers import (
    FAR,
    PASSED,
    PATIENCE_S,
    a_registry,
    a_report,
    append,
    chain_of,
    connected,
    known_sequences,
    sequences,
)

NAMES = [name for _, name, _ in migrations()]
READER = "valgnatt_login"
TOGETHER = 5
"""How many migrate at once."""

_numbers = itertools.count(1)


class Bare:
    """A server as any is before the gateway comes to it: without the feed's role."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._url = server.url

    def url(self, database: str, user: str | None = None) -> str:
        """The address of a database, for the administrator or for a user, whose password is its name."""
        url = self._url.replace("/valgnatt?", f"/{database}?")
        return url if user is None else f"postgresql://{user}:{user}@" + url.partition("@")[2]

    async def execute(self, *statements: str) -> None:
        """Do what an administrator would."""
        async with connected(self._url) as connection:
            for statement in statements:
                await connection.execute(statement)

    async def make_owned(self, rights: str = "") -> str:
        """Make a user with a database that it owns; the name is that of both."""
        name = f"owner_{next(_numbers)}"
        await self.execute(
            f"CREATE ROLE {name} LOGIN PASSWORD '{name}' {rights}", f"CREATE DATABASE {name} OWNER {name}"
        )
        return name

    async def drop(self) -> None:
        """Take back what tests made."""
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
    """A server that other tests do not use: roles belong to all databases of one."""
    directory = tmp_path_factory.mktemp("private")
    os.chmod(directory, 0o755)
    with EmbeddedPostgres(directory / "data", durable=False) as server:
        yield server


@pytest.fixture
async def bare(private: EmbeddedPostgres) -> Bare:
    """That server, without anything of ours."""
    bare = Bare(private)
    await bare.drop()
    return bare


async def applied(url: str) -> list[str]:
    """Names of the migrations in a database."""
    async with connected(url) as connection:
        rows = await connection.fetch("SELECT name FROM migration ORDER BY number")
    return [row[0] for row in rows]


def test_migrations_are_numbered_without_a_gap() -> None:
    """And named by their number."""
    found = migrations()
    assert [number for number, _, _ in found] == list(range(1, len(found) + 1))
    assert all(name.startswith(f"{number:04}_") for number, name, _ in found)


async def test_a_migrated_database_is_left_alone(database: Database) -> None:
    """To migrate again changes nothing."""
    assert await migrate(database.url) == []
    assert await migrate(database.url) == []
    assert await applied(database.url) == NAMES


async def test_units_above_the_ceiling_of_before_go_on_with_one_of_their_own(database: Database) -> None:
    """What was accepted under an earlier version stays below its unit's ceiling, so it is answered as a duplicate."""
    number, name = next((number, name) for number, name, _ in migrations() if "revision_ceiling" in name)
    async with administration(database.url, "test") as acts:
        election = await acts.load_election(a_registry())
    async with connected(database.url) as owner:
        await owner.execute(
            "DROP TRIGGER report_revision ON report; DROP FUNCTION refuse_revision; DROP TABLE revision_ceiling"
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


async def test_a_migration_with_another_content_is_refused(database: Database) -> None:
    """A file that was changed after it was applied would leave databases that differ."""
    async with connected(database.url) as connection:
        await connection.execute("UPDATE migration SET digest = 'another' WHERE number = 1")
    with pytest.raises(Refused, match=NAMES[0]):
        await migrate(database.url)


async def test_a_newer_database_is_refused(database: Database) -> None:
    """An older program does not touch what it does not know."""
    async with connected(database.url) as connection:
        await connection.execute(
            "INSERT INTO migration (number, name, digest) VALUES (9999, '9999_x.sql', '')"
        )
    with pytest.raises(Refused, match="newer"):
        await migrate(database.url)


def test_an_old_server_is_refused() -> None:
    """By its version, with the one that is needed."""

    class Old:
        def get_server_version(self) -> asyncpg.types.ServerVersion:
            return asyncpg.types.ServerVersion(14, 9, 0, "final", 0)

    with pytest.raises(Refused, match="Postgres 14 is too old; version 15"):
        _require_supported(Old())  # type: ignore[arg-type]


async def test_migrations_at_once_are_applied_once(bare: Bare) -> None:
    """One does the work, and the others wait for it and find nothing to do."""
    url = bare.url(await bare.make_owned())
    done = await asyncio.gather(*[migrate(url) for _ in range(TOGETHER)])
    assert sorted(done) == [[]] * (TOGETHER - 1) + [NAMES]
    assert await applied(url) == NAMES


async def test_databases_of_one_server_are_migrated_at_once(bare: Bare) -> None:
    """Each makes the feed's role if it is missing, and none minds that another was quicker."""
    urls = [bare.url(await bare.make_owned()) for _ in range(TOGETHER)]
    assert await asyncio.gather(*[migrate(url) for url in urls]) == [NAMES] * TOGETHER


async def test_a_user_who_may_not_make_roles_is_told_what_to_do(bare: Bare) -> None:
    """What the hint says is enough, for pushing and for reading with the same login; nothing is half done."""
    name = await bare.make_owned()
    url = bare.url(name, name)
    with pytest.raises(Refused) as refused:
        await migrate(url)
    assert str(refused.value).count(f"CREATE ROLE {FEED_ROLE} NOLOGIN; GRANT {FEED_ROLE} TO") == 1
    assert "\n" not in str(refused.value)
    assert await applied(url) == []
    await bare.execute(f"CREATE ROLE {FEED_ROLE} NOLOGIN", f"GRANT {FEED_ROLE} TO {name}")
    assert await migrate(url) == NAMES
    await _use(url)


async def test_a_user_who_may_make_roles_needs_no_administrator(bare: Bare) -> None:
    """It makes the feed's role and may take it on."""
    name = await bare.make_owned("CREATEROLE")
    url = bare.url(name, name)
    assert await migrate(url) == NAMES
    await _use(url)


async def _use(url: str) -> None:
    """Load an election and read it as a feed, with one login."""
    async with administration(url, "olga") as acts:
        election = await acts.load_election(a_registry())
    async with open_pool(url, feed=True) as pool:
        assert [head.id for head in await PublicRecord(pool).heads()] == [election]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.fetch("SELECT * FROM valgnatt.head")


async def test_a_user_who_may_make_nothing_is_refused(bare: Bare) -> None:
    """With the right that is missing, and not as if the database were away."""
    name, other = await bare.make_owned(), await bare.make_owned()
    await bare.execute(f"GRANT CONNECT ON DATABASE {name} TO {other}")
    with pytest.raises(Refused, match="permission denied for database"):
        await migrate(bare.url(name, other))


async def test_a_migrated_database_needs_no_right_to_change_it(bare: Bare) -> None:
    """A login that may only use it can start a gateway that is as old as the database."""
    name, other = await bare.make_owned(), await bare.make_owned()
    await migrate(bare.url(name))
    async with connected(bare.url(name)) as connection:
        await connection.execute(f"GRANT USAGE ON SCHEMA valgnatt TO {other}")
        await connection.execute(f"GRANT SELECT ON valgnatt.migration TO {other}")
    assert await migrate(bare.url(name, other)) == []


# A server of our own.


async def test_on_a_server_of_our_own_a_feed_login_enters_no_other_database(bare: Bare) -> None:
    """From any of them it could read how many rows this one has inserted; one made later is closed by the next run."""
    name, other = await bare.make_owned(), await bare.make_owned()
    url = bare.url(name)
    await migrate(url)
    await bare.execute(f"CREATE ROLE {READER} LOGIN PASSWORD '{READER}' IN ROLE {FEED_ROLE}")

    async def enters(database: str) -> bool:
        try:
            async with connected(bare.url(database, READER), feed=True):
                return True
        except JournalUnavailable as error:
            return "permission denied for database" not in str(error)

    assert await enters(other)
    await migrate(url, dedicated=True)
    assert [await enters(name), await enters(other)] == [True, False]
    later = await bare.make_owned()
    assert await enters(later)
    await migrate(url, dedicated=True)
    assert not await enters(later)


async def test_on_a_server_of_our_own_a_feed_login_cannot_fill_the_disk(bare: Bare) -> None:
    """What one session may write to temporary files is bounded, by a setting that it cannot change."""
    name = await bare.make_owned()
    await migrate(bare.url(name))
    await bare.execute(f"CREATE ROLE {READER} LOGIN PASSWORD '{READER}' IN ROLE {FEED_ROLE}")
    await migrate(bare.url(name), dedicated=True)
    async with connected(bare.url(name, READER), feed=True) as feed:
        with pytest.raises(asyncpg.ConfigurationLimitExceededError, match="temp_file_limit"):
            await feed.execute(
                "DECLARE filled CURSOR WITH HOLD FOR WITH RECURSIVE t AS"
                f" (SELECT '{'x' * 5000}' AS x UNION ALL SELECT x FROM t) SELECT x FROM t"
            )


async def test_on_a_server_of_our_own_an_owner_who_is_no_superuser_goes_on(bare: Bare) -> None:
    """It is granted what everybody else loses, so it loads, appends, reads and migrates as before."""
    name = await bare.make_owned("CREATEROLE")
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


# What other sessions can do to a migration.


async def test_a_feed_login_cannot_stop_a_migration(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can lock nothing that a migration waits for: no advisory lock counts, and its table is out of reach."""
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
    """So processes start while somebody migrates, or has a lock on the table of migrations for another reason."""
    async with connected(database.url) as owner, owner.transaction():
        await owner.execute("LOCK TABLE valgnatt.migration IN EXCLUSIVE MODE")
        async with asyncio.timeout(PATIENCE_S):
            assert await migrate(database.url) == []


async def test_a_migration_that_a_session_is_in_the_way_of_is_refused_and_changes_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a bounded wait, in which appends may queue up behind it."""
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


# From one version of the schema to the next.


async def test_what_was_accepted_under_the_first_schema_is_kept(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports, heads, embargoes and contacts, of an election that is released and of one that is not."""
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
