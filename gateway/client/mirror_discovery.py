"""Learn the mirror of an election: it is given, the gateway names it, or the URL of the gateway is that of a mirror."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiohttp
import msgspec

from gateway.client.failures import Failure
from gateway.client.http_session import environment_proxy, open_session
from gateway.client.mirror_reader import MirrorReader
from gateway.client.mirror_requests import MirrorFailed

ELECTIONS_MAX = 1 << 20
"""Bytes of the list of elections, unpacked."""
ASK_EVERY_S = 60.0
"""Seconds between two requests for the list of elections."""
_NO_GATEWAY = {"foreign", "not_a_door", "redirect"}
"""Failures after which the URL may be that of a mirror."""
_NO_STREAM = {"timeout", "foreign", "not_a_door", "no_block", "cut_off", "unavailable"}
"""Failures after which the gateway may answer plain requests, though something in between does not let streams pass."""


class _Elections(msgspec.Struct):
    mirror: str | None = None


class MirrorDiscovery:
    """The mirror that a subscriber reads while it has no stream."""

    def __init__(
        self,
        feed_url: str,
        election: str,
        selection: Mapping[str, str | None],
        *,
        session: aiohttp.ClientSession | None,
        mirror_url: str | None,
        enabled: bool,
        **options: Any,
    ) -> None:
        """Look for the mirror of an election, if `enabled`; `options` are those of a MirrorReader."""
        self._enabled = enabled
        self.reader: MirrorReader | None = None
        """The mirror, once it is needed."""
        self.is_feed = False
        """Whether the URL of the feed is that of a mirror."""
        self.refusal: Failure | None = None
        """Why that mirror cannot be read."""
        self._feed_url = feed_url
        self._election = election
        self._options = {**selection, **options}
        self._given_session = session
        self._given_url = mirror_url.rstrip("/") if mirror_url is not None else None
        self._asked_url: str | None = None
        self._ask_at_s = 0.0
        self._unusable: set[str] = set()
        self._sessions: dict[str | None, aiohttp.ClientSession] = {}
        """By the URL of the proxy that they use."""
        self._earlier_bytes = self._earlier_requests = 0

    @property
    def wire_bytes(self) -> int:
        """Bytes read from mirrors, compressed if they were."""
        return self._earlier_bytes + (self.reader.requests.wire_bytes if self.reader is not None else 0)

    @property
    def requests(self) -> int:
        """Requests to mirrors."""
        return self._earlier_requests + (self.reader.requests.number if self.reader is not None else 0)

    def known(self, named: str | None) -> str | None:
        """Return the URL of a mirror that can be read; `named` is that of the gateway."""
        if not self._enabled:
            return None
        if self._given_url is not None:
            return self._given_url if self._given_url not in self._unusable else None
        for url in (named, self._asked_url):
            if url is not None and url not in self._unusable and self._is_safe(url):
                return url
        return None

    async def look_at_feed(self, failure: Failure) -> None:
        """Find out whether the URL of the feed is that of a mirror, after a failure before the first block."""
        if not self._enabled or failure.problem is not None or failure.code not in _NO_GATEWAY:
            return
        reader = self._open(self._feed_url)
        found = await reader.find()
        self.is_feed = found is None or found.permanent
        if self.is_feed:
            self.refusal = found
            self._use(None)
            self.reader = reader

    async def look(self, failure: Failure, named: str | None) -> None:
        """Look for a mirror to read after a failure of the stream."""
        if not self._enabled:
            return
        if self.known(named) is None and failure.problem is None and failure.code in _NO_STREAM:
            await self._ask()
        self._use(self.known(named))

    async def close(self) -> None:
        """Close the connections to mirrors."""
        for session in self._sessions.values():
            await session.close()

    def give_up(self, url: str) -> None:
        """Do not read a mirror any more, because it does not have what is selected."""
        self._unusable.update((url, f"{url}/"))
        self._use(None)

    async def _ask(self) -> None:
        """Ask the gateway for its mirror with a plain request, which may pass where a stream does not."""
        now_s = asyncio.get_running_loop().time()
        if now_s < self._ask_at_s:
            return
        self._ask_at_s = now_s + ASK_EVERY_S
        with suppress(MirrorFailed, ValueError, RecursionError):
            answer = await self._open(self._feed_url).requests.get("v1/elections", ELECTIONS_MAX)
            self._asked_url = msgspec.json.decode(answer.body, type=_Elections).mirror

    def _use(self, url: str | None) -> None:
        """Let `reader` be that of a mirror, or of none."""
        reader = self.reader
        if reader is not None and (url is None or reader.url != url.rstrip("/")):
            self._earlier_bytes += reader.requests.wire_bytes
            self._earlier_requests += reader.requests.number
            self.reader = None
        if url is not None and self.reader is None:
            self.reader = self._open(url)

    def _open(self, url: str) -> MirrorReader:
        if self._given_session is not None:
            return MirrorReader(self._given_session, url, self._election, **self._options)
        proxy = environment_proxy(url)
        key = proxy.url if proxy is not None else None
        if key not in self._sessions:
            self._sessions[key] = open_session(proxy, decompress=False)
        return MirrorReader(self._sessions[key], url, self._election, proxy=proxy, **self._options)

    def _is_safe(self, url: str) -> bool:
        """Return whether a mirror that the gateway names may be read: not without TLS, if the gateway uses it."""
        return url.startswith("https://") or (
            url.startswith("http://") and self._feed_url.startswith("http://")
        )
