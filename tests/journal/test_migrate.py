"""Migrations: applied once, in order, whoever asks and however many at once; refused where they do not fit."""

import asyncio
import itertools
import os
from collections.abc import Iterator

import asyncpg
import pytest

from gateway.errors import Refused
from gateway.journal.administration import administration
from gateway.journal.connection import FEED_ROLE, open_pool
from gateway.journal.embedded import EmbeddedPostgres
from gateway.journal.migrate import _require_supported, migrate, migrations
from gateway.journal.record import PublicRecord
from tests.conftest import Database
from tests.journal.makers import a_registry, connected

NAMES = [name for _, name, _ in migrations()]
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

    with pytest.raises(Refused, match="Postgres 14 is too old; 15"):
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
