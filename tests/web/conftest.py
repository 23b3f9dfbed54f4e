"""Gateways that the tests of the doors share; each test has its own election."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import GeneratedElection
from tests.conftest import Database
from tests.running import Gateway, Sender, running_gateways, served
from tests.web.browsing import browsing
from tests.web.doors import COUNTRY, a_client, a_registry

_numbers = itertools.count(1)

IN_OTHER_SHAPE = "in-other-shape"
"""The election that shared gateways show below `/api`; at most one module loads it."""
ELECTIONS_MAX = 10
"""Elections in a shared gateway after which the next module gets a new one: feeds ask for each of them every second."""


def make_database(postgres: EmbeddedPostgres) -> Database:
    """Create an empty migrated database, which lasts as long as the server."""
    name = f"doors_{next(_numbers)}"

    async def make() -> None:
        connection = await asyncpg.connect(postgres.url)
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE template_valgnatt STRATEGY file_copy")
        await connection.close()

    asyncio.run(make())
    urls = (postgres.url, postgres.feed_url, postgres.signer_url)
    return Database(*(url.replace("/valgnatt?", f"/{name}?") for url in urls))


class Shared:
    """A gateway that modules share, started when it is first used and replaced when it has many elections."""

    def __init__(self, postgres: EmbeddedPostgres, **options: Any) -> None:
        self._postgres = postgres
        self._options = options
        self._opened = ExitStack()
        self._gateway: Gateway | None = None

    @contextmanager
    def lent(self) -> Iterator[Gateway]:
        """Provide the gateway to a module."""
        if self._gateway is None:
            serving = served(make_database(self._postgres), **self._options)
            self._gateway = self._opened.enter_context(serving)
        yield self._gateway
        if self._gateway.elections > ELECTIONS_MAX:
            self.end()

    def end(self) -> None:
        """End the gateway, if it runs; the next module gets a new one."""
        self._gateway = None
        self._opened.close()


_shared: list[Shared] = []


@contextmanager
def sharing(postgres: EmbeddedPostgres, **options: Any) -> Iterator[Shared]:
    """Provide a gateway with these options for as long as tests of this directory run."""
    shared = Shared(postgres, **options)
    _shared.append(shared)
    try:
        yield shared
    finally:
        _shared.remove(shared)
        shared.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Iterator[None]:
    """End the shared gateways when the next test is in another directory."""
    yield
    if nextitem is not None and Path(__file__).parent not in nextitem.path.parents:
        for shared in _shared:
            shared.end()


@pytest.fixture(scope="session")
def shared_gateway(postgres: EmbeddedPostgres) -> Iterator[Shared]:
    """Two push and two feed workers, with default options, and IN_OTHER_SHAPE in the shape of another service."""
    with sharing(postgres, push_workers=2, feed_workers=2, valgresultat=IN_OTHER_SHAPE) as shared:
        yield shared


@pytest.fixture(scope="session")
def shared_tight(postgres: EmbeddedPostgres) -> Iterator[Shared]:
    """One worker per door, with low limits and frequent heartbeats."""
    options = {"pending_max": 8, "credit_max": 4, "batch_max": 1, "readers_max": 2, "heartbeat_s": 1}
    with sharing(postgres, **options) as shared:
        yield shared


@pytest.fixture(scope="module")
def gateway(shared_gateway: Shared) -> Iterator[Gateway]:
    """Two push and two feed workers, with default options."""
    with shared_gateway.lent() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def tight(shared_tight: Shared) -> Iterator[Gateway]:
    """One worker per door, with low limits and frequent heartbeats."""
    with shared_tight.lent() as gateway:
        yield gateway


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that does not decompress bodies."""
    async with a_client() as session:
        yield session


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A browser for all tests of a process, since its start is slow; each visitor has a profile of its own."""
    async with browsing() as browser:
        yield browser


@pytest.fixture
async def sender(gateway: Gateway, small: GeneratedElection) -> Sender:
    """A sender for the whole country, of an open election for the test alone."""
    return await gateway.open_election(a_registry(small), [COUNTRY])


@pytest.fixture
def election(sender: Sender) -> str:
    """The election of the sender."""
    return sender.election


@pytest.fixture(autouse=True)
def healthy() -> Iterator[None]:
    """Check after every test that the shared gateways have logged no error."""
    yield
    for gateway in running_gateways():
        assert not gateway.logged_errors()


@pytest.fixture(autouse=True)
def empty_logs() -> None:
    """Start with empty logs, so that a failed test shows only its own."""
    for gateway in running_gateways():
        gateway.log.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.failed:
        for gateway in running_gateways():
            report.sections.append(("the gateway's log", "\n".join(gateway.log)))
    return report
