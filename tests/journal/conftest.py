"""Fixtures for a journal in Postgres, opened as each part of the gateway opens it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from gateway.journal.administration import Administration, administration
from gateway.journal.connection import open_pool
from gateway.journal.connection_pool import Pool
from gateway.journal.embedded import EmbeddedPostgres
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from gateway.journal.session import Connection
from gateway.journal.signing import SigningJournal
from tests.conftest import Database, privileges_of

AUTHOR = "olga"

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def shared_database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """One database shared by the tests of a module that isolate themselves by using separate elections."""
    name = f"shared_{next(_numbers)}"
    asyncio.run(
        _execute(postgres.url, f"CREATE DATABASE {name} TEMPLATE template_valgnatt STRATEGY file_copy")
    )
    asyncio.run(_execute(postgres.url, privileges_of(name)))
    urls = (postgres.url, postgres.feed_url, postgres.signer_url)
    yield Database(*(url.replace("/valgnatt?", f"/{name}?") for url in urls))
    asyncio.run(_execute(postgres.url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    """The connection pool of a push process."""
    async with open_pool(database.url) as pool:
        yield pool


@pytest.fixture
def journal(pool: Pool) -> PostgresJournal:
    """The journal of a push process."""
    return PostgresJournal(pool)


@pytest.fixture
async def record(database: Database) -> AsyncIterator[PublicRecord]:
    """The public record, read as a feed process reads it."""
    async with open_pool(database.feed_url, feed=True) as pool:
        yield PublicRecord(pool)


@pytest.fixture
async def signing(database: Database) -> AsyncIterator[SigningJournal]:
    """The journal of a signer."""
    async with open_pool(database.signer_url, signer=True) as pool:
        yield SigningJournal(pool)


@pytest.fixture
async def acts(database: Database) -> AsyncIterator[Administration]:
    """An administration session whose acts are recorded under AUTHOR."""
    async with administration(database.url, AUTHOR) as acts:
        yield acts


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Connection]:
    """A plain connection as the owner of the database, as psql would open it."""
    connection = await asyncpg.connect(database.url, server_settings={"search_path": "valgnatt"})
    yield connection
    connection.terminate()


@pytest.fixture
async def reader(database: Database) -> AsyncIterator[Connection]:
    """A plain connection with the feed's login, as psql would open it: without `SET ROLE`."""
    connection = await asyncpg.connect(database.feed_url, server_settings={"search_path": "valgnatt"})
    yield connection
    connection.terminate()
