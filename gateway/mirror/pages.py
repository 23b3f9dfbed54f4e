"""Writes the web pages of a mirror once at its start, with the map of the feed door; removes those of older versions.

The pages know the mirror they are in, so they are written before anybody needs them, and never again by one process.
"""

import asyncio

import structlog

from gateway.backoff import Backoff, with_jitter
from gateway.client.http_session import environment_proxy, open_session
from gateway.errors import GatewayError
from gateway.mirror.page_files import page_files
from gateway.mirror.target import Target, TargetInUse
from gateway.verification.failures import NotThere
from gateway.verification.feed_record import REQUEST_S, SILENCE_S, FeedRecord

MAP_MAX = 16 << 20
"""Bytes of a map, as the option `map` allows them."""
OLDER_KEPT_S = 86_400.0
"""For how many seconds files of older versions are kept: pages that are open for a whole night load parts of themselves
only when they are used."""
RETRY_FIRST_S, RETRY_MOST_S = 1.0, 60.0
_STATIC = "static/"

log = structlog.get_logger()


async def write_pages(feed_url: str, target: Target, max_age_s: int) -> None:
    """Write all pages, again after every failure, and later remove the files of older versions. Raises TargetInUse."""
    backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
    while True:
        try:
            written = await _write(feed_url, target, max_age_s)
            break
        except TargetInUse:
            raise
        except (GatewayError, TimeoutError) as error:
            log.warning("pages not written", target=target.where, reason=str(error))
        await asyncio.sleep(with_jitter(backoff.next()))
    await asyncio.sleep(OLDER_KEPT_S)
    try:
        await target.delete([path async for path in target.list(_STATIC) if path not in written])
    except TargetInUse:
        raise
    except GatewayError as error:
        log.warning("files of older pages not removed", target=target.where, reason=str(error))


async def _write(feed_url: str, target: Target, max_age_s: int) -> frozenset[str]:
    """Write what is not there yet, and the pages themselves; return the paths of all."""
    files = page_files(max_age_s, await _map(feed_url))
    there = {path async for path in target.list(_STATIC)}
    await target.write([file for file in files if file.max_age_s is None and file.path not in there])
    await target.write([file for file in files if file.max_age_s is not None])
    return frozenset(file.path for file in files)


async def _map(feed_url: str) -> bytes | None:
    """Return the map of the feed door; None if it has none."""
    proxy = environment_proxy(feed_url)
    async with open_session(proxy, total_s=REQUEST_S, silence_s=SILENCE_S, decompress=False) as http:
        try:
            return await FeedRecord(feed_url.rstrip("/"), http, proxy).document("/map.geojson", MAP_MAX)
        except NotThere:
            return None
