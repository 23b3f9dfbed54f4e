"""Nights on a cluster that Patroni manages: a gateway that requires a standby, under continuous load; see `night`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.journal.connection import ANSWER_S, CONNECT_S
from tests.counts import count
from tests.faults.night import Night, a_night
from tests.patroni.cluster import Cluster, a_cluster
from tests.running import Gateway, running

LOAD: dict[str, Any] = {
    "senders": count(3, full=12),
    "rate": count(9, full=60),
    # While commits wait for a standby, a request waits for a connection, and then for the answer of Postgres.
    "answer_max_s": CONNECT_S + ANSWER_S + 2.0,
}


@asynccontextmanager
async def a_night_on_patroni(
    directory: Path, *, config: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[Cluster, Gateway, Night]]:
    """Run a cluster, a gateway on all its members with `require_standby`, and a night; see `a_cluster`.

    The feed reads from the leader, as long as it is one.
    """
    async with a_cluster(directory, **options) as cluster:
        database = cluster.database_from(await cluster.wait_led())
        async with (
            running(database, **{"require_standby": True, **(config or {})}) as gateway,
            a_night(gateway, **LOAD) as night,
        ):
            yield cluster, gateway, night
            await night.settle()
            assert gateway.logged_errors() == []
