"""A gateway for each module of the clients' commands; each test has its own election."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import GeneratedElection
from tests.client.desk import Desk
from tests.running import Gateway, Sender, served
from tests.web.conftest import make_database
from tests.web.doors import COUNTRY, a_registry


@pytest.fixture(scope="module")
def gateway(postgres: EmbeddedPostgres) -> Iterator[Gateway]:
    """One worker per door, with default options."""
    with served(make_database(postgres)) as gateway:
        yield gateway


@pytest.fixture
async def sender(gateway: Gateway, small: GeneratedElection) -> Sender:
    """A sender for the whole country, in an election for the test alone."""
    return await gateway.issue(await gateway.load(a_registry(small)), [COUNTRY])


@pytest.fixture
def desk(tmp_path: Path, gateway: Gateway, sender: Sender) -> Desk:
    """A municipality's desk that sends to this gateway."""
    return Desk(tmp_path, gateway, sender)
