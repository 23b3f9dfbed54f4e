"""What tests share: one private Postgres, a database each, and elections to try things on."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import uvloop

from gateway.journal.embedded import EmbeddedPostgres
from gateway.journal.migrate import migrate
from gateway.rehearsal.generator import GeneratedElection, generate

RECORDED = Path(__file__).resolve().parents[2] / "shared" / "elections" / "no-storting-2025"
"""The recorded election, where it stands beside the checkout."""

_numbers = itertools.count(1)


def pytest_asyncio_loop_factories() -> dict[str, object]:
    """Run every test on the loop that the gateway runs on."""
    return {"uvloop": uvloop.new_event_loop}


class Database:
    """A migrated database of a test's own."""

    def __init__(self, url: str, feed_url: str) -> None:
        self.url = url
        self.feed_url = feed_url


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One server for all tests of logic; without fsync, as none of them cuts the power."""
    directory = tmp_path_factory.mktemp("postgres")
    os.chmod(directory, 0o755)
    with EmbeddedPostgres(directory / "data", durable=False, settings={"max_connections": "200"}) as server:
        asyncio.run(_make_template(server))
        yield server


async def _make_template(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(server.url)
    await connection.execute("CREATE DATABASE template_valgnatt")
    await connection.close()
    await migrate(_named(server.url, "template_valgnatt"), dedicated=True)


def privileges_of(name: str) -> str:
    """Return what gives a copy of the template the privileges of a database, which are not copied."""
    return f"REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE {name} TO valgnatt_feed"


def _named(url: str, name: str) -> str:
    return url.replace("/valgnatt?", f"/{name}?")


@pytest.fixture
async def database(postgres: EmbeddedPostgres) -> AsyncIterator[Database]:
    """A migrated, empty database, dropped afterwards."""
    name = f"test_{next(_numbers)}"
    connection = await asyncpg.connect(postgres.url)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE template_valgnatt")
    await connection.execute(privileges_of(name))
    try:
        yield Database(_named(postgres.url, name), _named(postgres.feed_url, name))
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


@pytest.fixture(scope="session")
def small() -> GeneratedElection:
    """A made-up election of some dozens of units, whole; its embargo has passed."""
    return generate(seed=7, scale=0.02)


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The directory of the recorded election."""
    if not RECORDED.is_dir():
        pytest.skip("the recorded election is not available (../shared/elections)")
    return RECORDED
