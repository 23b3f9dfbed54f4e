"""Read the event stream of a feed: one connection at a time, of which each block is an update."""

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import TypeVar
from urllib.parse import quote

import aiohttp

from gateway.client.failures import Failure, HttpAnswer, failure_of_answer, failure_of_error
from gateway.client.http_session import CONNECT_S, NotFollowed
from gateway.client.proxies import Proxy
from gateway.client.retry_after import RETRY_AFTER_MOST_S
from gateway.client.sse import Event, EventParser
from gateway.client.updates import Areas, Update, read_header
from gateway.clock import SYSTEM_CLOCK, Clock

T = TypeVar("T")

REFUSAL_MAX = 64 << 10
"""Bytes of an answer that is not a stream, as far as it is judged."""
FIRST_BLOCK_S = 8.0
"""Seconds without a byte after which a stream without a block is given up, if there is a mirror to read instead."""
FAILURES = (aiohttp.ClientError, TimeoutError, OSError, zlib.error)
"""What a connection may end with, beside NoStream and NotFollowed."""
_ALTERNATE = re.compile(
    r"<(https?://[^<>\s]{1,500})>\s*;(?:[^,\"]|\"[^\"]*\")*\brel=\"?alternate\"?(?=[\s;,]|$)"
)


class NoStream(Exception):
    """An answer that is not a stream, or a stream without a block."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class NotVersion1(Exception):
    """A stream whose events are not those of version 1."""


class StreamReader:
    """Connects to the feed of one election."""

    def __init__(
        self,
        feed_url: str,
        election: str,
        query: Mapping[str, str],
        *,
        gzip: bool,
        decode: bool,
        raw: bool,
        silence_s: float,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.url = f"{feed_url.rstrip('/')}/v1/elections/{quote(election, safe='')}/feed"
        self.connections = 0
        self.wire_bytes = 0
        self.retry_s = 0.0
        """Seconds until the next attempt, if the gateway's last message set them; they already contain jitter."""
        self.mirror_url: str | None = None
        """The mirror that the gateway names."""
        self.proxy: Proxy | None = None
        self._query = dict(query)
        self._gzip = gzip
        self._decode = decode
        self._raw = raw
        self._silence_s = silence_s
        self._clock = clock
        self._response: aiohttp.ClientResponse | None = None

    def cut(self) -> None:
        """Close the connection, if there is one."""
        if self._response is not None:
            self._response.close()

    async def updates(
        self, session: aiohttp.ClientSession, cursor: str | None, first_s: float | None = None
    ) -> AsyncIterator[Update]:
        """Connect, and yield each block after `cursor`, until the stream ends.

        With `first_s`, it is given up if nothing arrives for so many seconds before the first block. Raises NoStream,
        NotFollowed, NotVersion1 and FAILURES.
        """
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "gzip" if self._gzip else "identity"}
        if cursor is not None:
            headers["Last-Event-ID"] = cursor
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=self._silence_s)
        self.retry_s = 0.0
        response = await _within(
            first_s, session.get(self.url, params=self._query, headers=headers, timeout=timeout)
        )
        try:
            await self._check(response)
            self._response = response
            self.connections += 1
            unpacker = zlib.decompressobj(31) if response.headers.get("Content-Encoding") == "gzip" else None
            parser = EventParser()
            areas = Areas(self._decode, self._raw)
            blocks = 0
            clock = asyncio.get_running_loop().time
            event_at = clock()
            read = response.content.readany
            while piece := await (read() if blocks else _within(first_s, read())):
                self.wire_bytes += len(piece)
                try:
                    events = parser.feed(unpacker.decompress(piece) if unpacker else piece)
                    if not events and clock() - event_at > self._silence_s:
                        raise TimeoutError
                    for event in events:
                        if event.type == "area":
                            areas.take(event.data)
                        elif event.type == "block":
                            parser.retry_ms = None
                            blocks += 1
                            yield _update(event, areas)
                            areas = Areas(self._decode, self._raw)
                except (ValueError, KeyError, TypeError) as error:
                    raise NotVersion1(f"{self.url}: not a feed of version 1: {error}") from None
                if events:
                    event_at = clock()
            self.retry_s = min((parser.retry_ms or 0) / 1000, RETRY_AFTER_MOST_S)
            if not blocks:
                raise self._without_block()
        finally:
            response.close()

    def _without_block(self) -> NoStream:
        again = f"; the gateway asks to come back in {self.retry_s:.0f} s" if self.retry_s else ""
        text = f"{self.url}: the stream ended without a block{again}"
        return NoStream(Failure("no_block", text, False, self.retry_s or None))

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        """Raise NoStream if the answer is not an event stream. Take note of the mirror that it names."""
        self.mirror_url = alternate(response.headers.getall("Link", [])) or self.mirror_url
        if response.status == 200 and response.content_type == "text/event-stream":
            return
        body = await response.content.read(REFUSAL_MAX)
        if response.headers.get("Content-Encoding") == "gzip":
            body = zlib.decompressobj(31).decompress(body, REFUSAL_MAX)
        answer = HttpAnswer(str(response.url), response.status, response.headers, body)
        raise NoStream(failure_of_answer(answer, "feed door", self.proxy, clock=self._clock))

    def failure_of(self, error: BaseException) -> Failure:
        """Return why a connection ended with one of the exceptions of `updates`, but NotVersion1."""
        if isinstance(error, NoStream):
            return error.failure
        if isinstance(error, NotFollowed):
            self.mirror_url = alternate([error.answer.headers.get("Link", "")]) or self.mirror_url
            return failure_of_answer(error.answer, "feed door", self.proxy, clock=self._clock)
        return failure_of_error(self.url, error, self.proxy)


def alternate(values: list[str]) -> str | None:
    """Return the URL in `Link` headers with the relation `alternate`. Source: RFC 8288, section 3."""
    found = (_ALTERNATE.search(value[:4096]) for value in values[:10])
    return next((each[1] for each in found if each is not None), None)


def _update(event: Event, areas: Areas) -> Update:
    header = read_header(event.data)
    return Update(
        event.id,
        header.sequence,
        header.chain,
        header.published_at,
        header.snapshot,
        header.server_time,
        header.holds,
        areas,
    )


async def _within(seconds: float | None, waiting: Awaitable[T]) -> T:
    async with asyncio.timeout(seconds):
        return await waiting
