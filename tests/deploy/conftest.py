"""A gateway that trusts the proxies of this machine, for the tests that stand before it."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import GeneratedElection
from tests.deploy.proxies import KINDS, Proxied, a_proxy
from tests.running import Gateway, Sender, served
from tests.web.conftest import make_database
from tests.web.doors import COUNTRY, a_registry, shown, until

READERS_PER_ADDRESS = 10


@pytest.fixture(scope="session")
def gateway(postgres: EmbeddedPostgres) -> Iterator[Gateway]:
    """One worker a door, a quick heart, and few readers of one address."""
    knobs = {
        "heartbeat_s": 1,
        "trusted_proxies": "127.0.0.1/32",
        "readers_per_address": READERS_PER_ADDRESS,
    }
    with served(make_database(postgres), **knobs) as gateway:
        yield gateway


@pytest.fixture(params=KINDS)
async def proxy(request: pytest.FixtureRequest, gateway: Gateway) -> AsyncIterator[Proxied]:
    """Each proxy there is, before that gateway."""

    async def nobody_left() -> bool:
        return (await gateway.metrics()).get('valgnatt_readers{process="feed-0"}') == 0

    await until(nobody_left)
    async with a_proxy(request.param, gateway) as proxied:
        yield proxied


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that shows bodies as they came over the wire."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), auto_decompress=False
    ) as session:
        yield session


@pytest.fixture
async def election(gateway: Gateway, small: GeneratedElection) -> str:
    """An election of the test's own, open."""
    loaded = await gateway.load(a_registry(small))
    await shown(gateway, loaded)
    return loaded


@pytest.fixture
async def sender(gateway: Gateway, proxy: Proxied, election: str) -> Sender:
    """Whoever may report for the whole country, through the proxy."""
    return proxy.sender(await gateway.issue(election, [COUNTRY]))


@pytest.fixture(autouse=True)
def healthy(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test of a proxy, the gateway behind it has logged no error."""
    yield
    if "proxy" in request.fixturenames:
        assert not request.getfixturevalue("gateway").complaints()
