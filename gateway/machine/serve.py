"""One machine of the gateway: its database, migrated, and its processes, until told to stop."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import msgspec
import structlog

from gateway.config import Config, ConfigError
from gateway.errors import GatewayError
from gateway.journal.administration import administration
from gateway.journal.embedded import EmbeddedPostgres
from gateway.journal.feed_login import excess_privileges, read_feed_login, restore_feed_login
from gateway.journal.migrate import migrate
from gateway.machine.supervisor import Ports, supervise
from gateway.web.map_file import NO_MAP, Map, read_map
from gateway.web.tls import check_certificates

log = structlog.get_logger()

LOOK_AGAIN_S = 5.0
"""Seconds between two attempts to learn what the feeds' database user may do."""
TOLD_MAX = 50
"""Areas in a line of the log."""


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
    drawn = read_map(config.map) if config.map is not None else NO_MAP
    beside = _feed_login_check(config)
    if config.role == "feed" and config.database_url is None and config.feed_database_url is not None:
        # it may read, and nothing else
        return await supervise(config, beside=beside, on_started=on_started, stop=stop)
    if config.database_url is not None:
        await migrate(config.database_url)
        await _tell_unknown(drawn, config.database_url)
        return await supervise(config, beside=beside, on_started=on_started, stop=stop)
    if config.require_standby:
        raise ConfigError(
            ["require_standby: the embedded Postgres has no standby; name a Postgres in database_url"]
        )
    with EmbeddedPostgres(config.data_dir, durable=durable) as postgres:
        await restore_feed_login(postgres.url, postgres.feed_url)
        await migrate(postgres.url, dedicated=True)
        await _tell_unknown(drawn, postgres.url)
        config = msgspec.structs.replace(
            config, database_url=postgres.url, feed_database_url=config.feed_database_url or postgres.feed_url
        )
        return await supervise(config, database=postgres, beside=beside, on_started=on_started, stop=stop)


def _feed_login_check(config: Config) -> Callable[[], Coroutine[Any, Any, None]] | None:
    """Return what looks at the login that the feeds of this machine were given; the embedded Postgres has its own."""
    url = config.feed_database_url or config.database_url
    if url is None or config.role == "push":
        return None
    return partial(warn_of_feed_login, url, config.database_url)


async def warn_of_feed_login(url: str, owner_url: str | None) -> None:
    """Log every right that the feeds' database user has and should not have; wait until the database answers."""
    reported = False
    while True:
        try:
            login = await read_feed_login(url, owner_url)
            break
        except GatewayError as error:
            if not reported:
                log.warning("the rights of the feeds' database user are not known", error=str(error))
                reported = True
            await asyncio.sleep(LOOK_AGAIN_S)
    for each in excess_privileges(login):
        log.warning("the feeds' database user may do too much", what=each.what, do=each.do)


async def _tell_unknown(drawn: Map, url: str) -> None:
    """Log the shapes of a map that are no area of any election; they are not drawn. No reason to stay down."""
    if not drawn.shapes:
        return
    async with administration(url, "serve") as acts:
        areas = {area for registry in (await acts.registries()).values() for area in registry.by_id}
    if areas and (unknown := drawn.unknown_shapes(areas)):
        log.warning("no election has these areas of the map", areas=unknown[:TOLD_MAX], count=len(unknown))
