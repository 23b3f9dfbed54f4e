"""A gateway that trusts the proxies of this machine, for tests of proxies."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import GeneratedElection
from tests.counts import variants
from tests.deploy.proxies import KINDS, Proxied, a_proxy
from tests.running import Gateway, Sender, served
from tests.web.conftest import make_database
from tests.web.doors import COUNTRY, a_registry, shown, until

READERS_PER_ADDRESS = 10


@pytest.fixture(scope="session")
def gateway(postgres: EmbeddedPostgres) -> Iterator[Gateway]:
    """One worker per door, frequent heartbeats, and few readers per address."""
    options = {
        "heartbeat_s": 1,
        "trusted_proxies": "127.0.0.1/32",
        "readers_per_address": READERS_PER_ADDRESS,
    }
    with served(make_database(postgres), **options) as gateway:
        yield gateway


@pytest.fixture(params=variants(KINDS, "nginx"))
async def proxy(request: pytest.FixtureRequest, gateway: Gateway) -> AsyncIterator[Proxied]:
    """Each installed proxy, in front of that gateway."""

    async def nobody_left() -> bool:
        return (await gateway.metrics()).get('valgnatt_readers{process="feed-0"}') == 0

    await until(nobody_left)
    async with a_proxy(request.param, gateway) as proxied:
        yield proxied


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client without a limit of connections, which does not unpack bodies."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), auto_decompress=False
    ) as session:
        yield session


@pytest.fixture
async def election(gateway: Gateway, small: GeneratedElection) -> str:
    """A released election for the test."""
    loaded = await gateway.load(a_registry(small))
    await shown(gateway, loaded)
    return loaded


@pytest.fixture
async def sender(gateway: Gateway, proxy: Proxied, election: str) -> Sender:
    """A sender for the whole country, through the proxy."""
    return proxy.sender(await gateway.issue(election, [COUNTRY]))


@pytest.fixture(autouse=True)
def healthy(request: pytest.FixtureRequest) -> Iterator[None]:
    """Assert after every test that the gateway behind the proxy has logged no error."""
    yield
    if "proxy" in request.fixturenames:
        assert not request.getfixturevalue("gateway").logged_errors()
