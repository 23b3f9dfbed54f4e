"""One machine of the gateway: its database, migrated, and its processes, until told to stop."""

import asyncio
from collections.abc import Callable

import msgspec

from gateway.config import Config
from gateway.journal.embedded import EmbeddedPostgres
from gateway.journal.migrate import migrate
from gateway.supervisor import Ports, supervise
from gateway.web.tls import check_certificates


async def serve(
    config: Config,
    on_started: Callable[[Ports], None] | None = None,
    stop: asyncio.Event | None = None,
    *,
    durable: bool = True,
) -> int:
    """Run push and feed processes, on the database named or an embedded one; return the exit status.

    `durable=False` is for tests of logic: an embedded database then does without fsync.
    Raises GatewayError where something needed cannot be had.
    """
    check_certificates(config)
    if config.database_url is not None:
        await migrate(config.database_url)
        return await supervise(config, on_started=on_started, stop=stop)
    with EmbeddedPostgres(config.data_dir, durable=durable) as postgres:
        await migrate(postgres.url)
        config = msgspec.structs.replace(
            config, database_url=postgres.url, feed_database_url=config.feed_database_url or postgres.feed_url
        )
        return await supervise(config, database=postgres, on_started=on_started, stop=stop)
