"""Run one machine: start or migrate its database, then supervise its processes until stopped."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import msgspec
import structlog

from gateway.config import Config, ConfigError
from gateway.errors import GatewayError, JournalUnavailable
from gateway.journal.administration import administration
from gateway.journal.connection import connect
from gateway.journal.embedded import EmbeddedPostgres
from gateway.journal.feed_login import excess_privileges, read_feed_login, restore_login
from gateway.journal.migrate import migrate
from gateway.journal.session import FEED_ROLE, SIGNER_ROLE
from gateway.machine.supervisor import Ports, supervise
from gateway.web.map_file import NO_MAP, Map, read_map
from gateway.web.tls import check_certificates

log = structlog.get_logger()

RETRY_S = 5.0
"""Seconds between two attempts to read the privileges of the feeds' database user."""
LOGGED_MAX = 50
"""Areas in one line of the log."""


async def serve(
    config: Config,
    on_started: Callable[[Ports], None] | None = None,
    stop: asyncio.Event | None = None,
    *,
    durable: bool = True,
    other_ports: bool = False,
) -> int:
    """Run push and feed processes on the configured or an embedded database; return the exit status.

    `durable=False` is for tests of logic: an embedded database then runs without fsync. With `other_ports`, a port that
    is in use is replaced by any free one.
    Raises GatewayError if a certificate, the map, the database or a port cannot be used.
    """
    check_certificates(config)
    if config.sign_dir is not None and config.signer_database_url is None and config.database_url is not None:
        raise ConfigError(
            [
                "sign_dir: needs signer_database_url too, because the signer has a login of its own in database_url"
            ]
        )
    drawn = read_map(config.map) if config.map is not None else NO_MAP
    run = partial(
        supervise,
        background=_login_check(config),
        on_started=on_started,
        stop=stop,
        other_ports=other_ports,
    )
    if config.role == "feed" and config.database_url is None and config.feed_database_url is not None:
        # this machine may only read
        await _require_usable(config.feed_database_url)
        return await run(config)
    if config.database_url is not None:
        await migrate(config.database_url, on_wait=log.warning)
        await _warn_of_unknown_areas(drawn, config.database_url)
        return await run(config)
    if config.require_standby:
        raise ConfigError(
            ["require_standby: the embedded Postgres has no standby; name a Postgres in database_url"]
        )
    with EmbeddedPostgres(config.data_dir, durable=durable) as postgres:
        await restore_login(postgres.url, postgres.feed_url)
        await restore_login(postgres.url, postgres.signer_url, SIGNER_ROLE)
        await migrate(postgres.url, dedicated=True, on_wait=log.warning)
        await _warn_of_unknown_areas(drawn, postgres.url)
        config = msgspec.structs.replace(
            config,
            database_url=postgres.url,
            feed_database_url=config.feed_database_url or postgres.feed_url,
            signer_database_url=config.signer_database_url or postgres.signer_url,
        )
        return await run(config, database=postgres)


async def _require_usable(feed_url: str) -> None:
    """Require that the feeds' URL does not fail in a way that waiting cannot change; an outage may end later.

    Raises LoginRefused and SessionUnfit. Beside a push door, feeds report this themselves, and senders are served.
    """
    try:
        (await connect(feed_url, feed=True)).terminate()
    except JournalUnavailable as error:
        if error.permanent:
            raise


def _login_check(config: Config) -> Callable[[], Coroutine[Any, Any, None]] | None:
    """Return the check of the configured logins of feeds and signer; an embedded Postgres creates its own."""
    checks = []
    feed_url = config.feed_database_url or config.database_url
    if feed_url is not None and config.role != "push":
        checks.append(partial(warn_of_feed_login, feed_url, config.database_url))
    if config.signer_database_url is not None and config.sign_dir is not None:
        checks.append(
            partial(warn_of_feed_login, config.signer_database_url, config.database_url, SIGNER_ROLE)
        )
    if not checks:
        return None

    async def check() -> None:
        await asyncio.gather(*(each() for each in checks))

    return check


async def warn_of_feed_login(url: str, owner_url: str | None, role: str = FEED_ROLE) -> None:
    """Log every excess privilege of the database user of feeds, or of the signer; retry until the database answers."""
    of_feeds = role == FEED_ROLE
    reported = False
    while True:
        try:
            login = await read_feed_login(url, owner_url, role)
            break
        except GatewayError as error:
            if not reported:
                if of_feeds:
                    log.warning("privileges of the feeds' database user not known yet", error=str(error))
                else:
                    log.warning("privileges of the signer's database user not known yet", error=str(error))
                reported = True
            await asyncio.sleep(RETRY_S)
    for each in excess_privileges(login):
        if of_feeds:
            log.warning("the feeds' database user has excess privileges", what=each.what, do=each.do)
        else:
            log.warning("the signer's database user has excess privileges", what=each.what, do=each.do)


async def _warn_of_unknown_areas(drawn: Map, url: str) -> None:
    """Log the shapes of a map that match no area of any election; they are not drawn."""
    if not drawn.shapes:
        return
    async with administration(url, "serve") as acts:
        areas = {area for registry in (await acts.registries()).values() for area in registry.by_id}
    if areas and (unknown := drawn.unknown_shapes(areas)):
        log.warning(
            "areas on the map that are in no election", areas=unknown[:LOGGED_MAX], count=len(unknown)
        )
