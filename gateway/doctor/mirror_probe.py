"""Ask about a mirror: read the target that this machine writes, and the URL named to readers. Changes nothing."""

import asyncio
import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import aiohttp
import msgspec
import orjson

from gateway.client.failures import failure_of_error
from gateway.client.http_session import NotFollowed, environment_proxy, open_session
from gateway.config import Config, door_url
from gateway.doctor.doors import Addresses
from gateway.doctor.mirror_facts import MirroredElection, MirrorSite, MirrorTarget, SiteElection, SiteFile
from gateway.errors import GatewayError
from gateway.wire.mirror import ELECTIONS, LIVE_READ_MAX, Live, decode_live, live_path, snapshot_path

PROBE_S = 10.0
"""Seconds that an answer may take."""
CHECK_S = 60.0
"""Seconds that reading the target may take."""
CHANGE_S = 15.0
"""Seconds within which `live.json` is written again, as a mirror does every 5 s or once an interval."""
LIST_MAX = 16 << 20
"""Bytes of a list of elections."""
ELECTIONS_MAX = 5
"""Elections of which the files are requested; those that are not rehearsals first."""
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=(\d+)")


async def probe_mirror(
    config: Config, addresses: Addresses, *, change_s: float = CHANGE_S
) -> tuple[MirrorTarget | None, MirrorSite | None]:
    """Return what is known about the configured mirror and the one that is named to readers.

    Waits up to `change_s` seconds for a change of one `live.json`.
    """
    feed_url = config.mirror_feed_url or addresses.feed or door_url(config, "feed")
    target = await _target(config, config.mirror, feed_url) if config.mirror is not None else None
    site = await _site(config.mirror_url, feed_url, change_s) if config.mirror_url is not None else None
    return target, site


async def _target(config: Config, where: str, feed_url: str | None) -> MirrorTarget:
    if feed_url is None:
        return MirrorTarget(where=where, mistake="the feed door has no fixed port; name it with --feed-url")
    from gateway.mirror.check import check  # with packages that others do not need
    from gateway.mirror.elections import MirrorOptions

    options = MirrorOptions(feed_url=feed_url, target=where, every_s=config.mirror_every_s)
    try:
        async with asyncio.timeout(CHECK_S):
            checked = await check(options)
    except TimeoutError:
        return MirrorTarget(where=where, mistake=f"not read within {CHECK_S:g} s")
    except GatewayError as error:
        return MirrorTarget(where=where, mistake=str(error))
    found = [MirroredElection(each.election, each.good, each.text) for each in checked]
    return MirrorTarget(where=where, writable=_writable(where), elections=found)


def _writable(where: str) -> bool:
    """Return whether this user may write to a directory, or create it; what is not a directory counts as writable."""
    if "://" in where and not where.startswith("file:"):
        return True
    place = Path(where.removeprefix("file://").removeprefix("file:")).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return os.access(place, os.W_OK | os.X_OK)


async def _site(url: str, feed_url: str | None, change_s: float) -> MirrorSite:
    url = url.rstrip("/")
    try:
        proxy = environment_proxy(url)
        async with open_session(proxy, total_s=PROBE_S) as http:
            try:
                _, body = await _get(http, url, ELECTIONS, LIST_MAX)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                return MirrorSite(url=url, mistake=failure_of_error(f"{url}/{ELECTIONS}", error, proxy).text)
            listed = _elections(body)
            if listed is None:
                return MirrorSite(url=url, mistake=f"{ELECTIONS} is not there, or is not a list of elections")
            found = [await _election(http, url, election, feed_url) for election in listed]
    except (GatewayError, NotFollowed) as error:
        return MirrorSite(url=url, mistake=str(error))
    if found and not found[0].mistake:
        found[0] = await _with_change(url, found[0], change_s)
    return MirrorSite(url=url, elections=found)


def _elections(body: bytes) -> list[str] | None:
    """Return the first elections of a list; None if it is none."""
    try:
        entries = orjson.loads(body)["elections"]
        ordered = sorted(entries, key=lambda each: bool(each["rehearsal"]))
        return [str(each["id"]) for each in ordered[:ELECTIONS_MAX]]
    except (ValueError, KeyError, TypeError):
        return None


async def _election(
    http: aiohttp.ClientSession, url: str, election: str, feed_url: str | None
) -> SiteElection:
    path = live_path(election)
    try:
        file, body = await _get(http, url, path, LIVE_READ_MAX)
        if file.status != 200:
            return SiteElection(election=election, mistake=f"{path}: status {file.status}")
        live = decode_live(body)
        name, profile = next(iter(live.profiles.items()))
        snapshot, _ = await _get(
            http, url, snapshot_path(election, live.history, name, profile.snapshot), LIST_MAX
        )
        same = await _same_record(feed_url, live) if feed_url is not None else None
    except (aiohttp.ClientError, TimeoutError, OSError, GatewayError, StopIteration) as error:
        return SiteElection(election=election, mistake=f"{path}: {str(error) or type(error).__name__}")
    age_s = (datetime.now(UTC) - live.written_at).total_seconds()
    return SiteElection(
        election=election,
        live=file,
        snapshot=snapshot,
        age_s=max(0.0, age_s),
        every_s=live.every_s,
        closed_at=live.closed_at,
        same_record=same,
    )


async def _get(http: aiohttp.ClientSession, url: str, path: str, most: int) -> tuple[SiteFile, bytes]:
    """Request a file as a browser does, and again with its ETag."""
    asked = f"{url}/{path}"
    sent = {"Accept-Encoding": "gzip", "Origin": "https://elsewhere.example"}
    async with http.get(asked, headers=sent, allow_redirects=False) as response:
        body = await response.content.read(most)
        headers, status = response.headers, response.status
    etag = headers.get("ETag", "")
    revalidates = False
    if etag and status == 200:
        async with http.get(asked, headers={**sent, "If-None-Match": etag}, allow_redirects=False) as again:
            revalidates = again.status == 304 or again.headers.get("ETag", "") != etag
    return site_file(path, status, headers, revalidates=revalidates), body


def site_file(path: str, status: int, headers: Mapping[str, str], *, revalidates: bool) -> SiteFile:
    """Return what the headers of an answer say. Pure."""
    caching = headers.get("Cache-Control", "").lower()
    age = _MAX_AGE.search(caching)
    return SiteFile(
        path=path,
        status=status,
        gzip=headers.get("Content-Encoding", "") == "gzip",
        max_age_s=int(age[1]) if age is not None else None,
        immutable="immutable" in caching,
        any_origin=headers.get("Access-Control-Allow-Origin") == "*",
        etag=headers.get("ETag", ""),
        revalidates=revalidates,
    )


async def _same_record(feed_url: str, live: Live) -> bool | None:
    """Return whether the record of a gateway has the chain of a `live.json`; None if that is not known."""
    if not live.sequence:
        return None
    asked = f"{feed_url.rstrip('/')}/v1/elections/{quote(live.election, safe='')}/publications"
    async with (
        open_session(environment_proxy(feed_url), total_s=PROBE_S) as http,
        http.get(asked, params={"after": str(live.sequence - 1), "limit": "1"}) as response,
    ):
        line = (await response.content.read(LIST_MAX)).partition(b"\n")[0]
        if response.status != 200:
            return None
    try:
        return bool(line) and orjson.loads(line)["chain"] == live.chain
    except (ValueError, KeyError, TypeError):
        return None


async def _with_change(url: str, found: SiteElection, change_s: float) -> SiteElection:
    """Wait until `live.json` changes, and note whether its ETag has changed with it."""
    path, until = live_path(found.election), time.monotonic() + change_s
    known: dict[str, datetime] = {}
    async with open_session(environment_proxy(url), total_s=PROBE_S) as http:
        while time.monotonic() < until:
            try:
                file, body = await _get(http, url, path, LIVE_READ_MAX)
                written_at = decode_live(body).written_at
            except (aiohttp.ClientError, TimeoutError, OSError, GatewayError):
                return found
            if not file.etag:
                return found
            if known.setdefault(file.etag, written_at) != written_at:
                return msgspec.structs.replace(found, etag_stays=True)
            if len(known) > 1:
                return found
            await asyncio.sleep(1.0)
    return found
