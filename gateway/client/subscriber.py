"""Subscriber: follow an election, keep a copy of its results, and reconnect after every interruption.

A block is applied as a whole or not at all, so the copy is always the state at some sequence.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import msgspec
import orjson

from gateway.backoff import Backoff, with_jitter
from gateway.client.failures import Failure, HttpAnswer, failure_of_answer, failure_of_error
from gateway.client.http_session import (
    CONNECT_S,
    NotFollowed,
    environment_proxy,
    open_session,
    with_scheme_checked,
)
from gateway.client.proxies import Proxy
from gateway.client.retry_after import RETRY_AFTER_MOST_S
from gateway.client.sse import Event, EventParser
from gateway.errors import GatewayError

SILENCE_S = 25.0
"""The default of `silence_s`; the gateway sends a block every 10 s."""
REFUSAL_MAX = 64 << 10
"""Bytes of an answer that is not a stream, as far as it is judged."""
RETRY_FIRST_S, RETRY_MOST_S = 0.2, 10.0


class FeedRefused(GatewayError):
    """The gateway does not serve this request: no such election, level or area."""

    code = "feed_refused"


class _NoStream(Exception):
    """An answer that is not a stream, or a stream without a block."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class Block(msgspec.Struct, frozen=True):
    """One block of the feed: the changes up to a sequence."""

    cursor: str
    sequence: int
    chain: str
    published_at: datetime | None
    snapshot: bool
    server_time: datetime
    areas: Mapping[str, Mapping[str, Any]] = {}
    """The areas in the block, with their values, by identifier."""
    holds: int = 0
    """Lines of the list of holds."""
    raw: Mapping[str, bytes] = {}
    """With `raw`, the document of each of these areas as it was received, by identifier."""


class Subscriber:
    """Follows the feed of one election.

        async with Subscriber("http://127.0.0.1:8080", "no-storting-2025") as subscriber:
            async for block in subscriber.blocks():
                print(block.sequence, subscriber.copy["no"]["counts"])

    Areas are as section 6 of the contract describes them; depending on the election, districts and the root have
    `seats`, and all areas `change`.

    To continue later or elsewhere, keep `cursor` and `copy` and pass them to another Subscriber.

    Invariants: `copy` is the result of all blocks applied so far; `cursor` is that of the last one.
    """

    def __init__(
        self,
        feed_url: str,
        election: str,
        *,
        levels: str | None = None,
        areas: str | None = None,
        every_s: int = 0,
        gzip: bool = True,
        keep_copy: bool = True,
        raw: bool = False,
        cursor: str | None = None,
        copy: Mapping[str, Mapping[str, Any]] | None = None,
        session: aiohttp.ClientSession | None = None,
        on_change: Callable[[Failure | None], None] = lambda _: None,
        silence_s: float = SILENCE_S,
    ) -> None:
        """Follow `levels` and `areas` (comma-separated; default: all areas that have children).

        Without `session`, the feed is read through the proxy that the environment names. `on_change` is called with
        each failure to connect or to continue, and with None for each block.

        At most one block arrives per `every_s` seconds: 0, 1, 2, 5, 10, 30 or 60. With `cursor` and the `copy` kept
        at that cursor, only later changes are read; if the gateway does not know the cursor, everything is.
        Without `keep_copy`, areas are not decoded, which saves time for many readers in a load test. With `raw`, blocks
        have the bytes of their areas as well; with `raw` and without `keep_copy`, only these. A stream without a
        complete event for `silence_s` seconds is considered dead.
        """
        self.copy: dict[str, Mapping[str, Any]] = dict(copy or {})
        self.cursor = cursor
        self.sequence = int(cursor.partition("-")[0]) if cursor is not None else 0
        self.connections = 0
        self.wire_bytes = 0
        """Bytes read from the connections, compressed if they were."""
        self._feed_url = feed_url
        self._silence_s = silence_s
        self._url = f"{feed_url.rstrip('/')}/v1/elections/{quote(election, safe='')}/feed"
        wanted = {"levels": levels, "areas": areas, "every_s": str(every_s)}
        self._query = {name: value for name, value in wanted.items() if value is not None}
        self._gzip = gzip
        self._keep_copy = keep_copy
        self._raw = raw
        self._own_session = session is None
        self._session = session
        self._proxy: Proxy | None = None
        self._on_change = on_change
        self._response: aiohttp.ClientResponse | None = None
        self._retry_s = 0.0
        """Seconds until the next attempt, if the gateway's last message set them; they already contain jitter."""

    async def __aenter__(self) -> Self:
        if self._session is None:
            self._proxy = environment_proxy(self._feed_url)
            self._session = open_session(self._proxy, decompress=False)
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.cut()
        if self._own_session and self._session is not None:
            await self._session.close()

    def cut(self) -> None:
        """Close the connection, if there is one; `blocks` opens another."""
        if self._response is not None:
            self._response.close()

    async def wait_for(self, reached: Callable[[Self], bool]) -> Block:
        """Follow until `reached(self)` is true after a block, and return that block.

            block = await subscriber.wait_for(lambda it: it.sequence >= receipt.sequence)

        Waits without a limit; use `asyncio.timeout` to set one. Raises FeedRefused.
        """
        async for block in self.blocks():
            if reached(self):
                return block
        raise AssertionError("a feed never ends")

    async def blocks(self) -> AsyncIterator[Block]:
        """Yield each block after it is applied to the copy, reconnecting as needed; never ends.

        Raises FeedRefused for errors that a retry cannot fix. After the first block these are only answers of the
        gateway itself; anything else may pass.
        """
        backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
        received = False
        while True:
            failure: Failure | None = None
            try:
                async for block in self._connection():
                    backoff.reset()
                    received = True
                    self._on_change(None)
                    yield block
            except _NoStream as error:
                failure = error.failure
            except NotFollowed as error:
                failure = failure_of_answer(error.answer, "feed door", self._proxy)
            except (aiohttp.ClientError, TimeoutError, OSError, zlib.error) as error:
                failure = failure_of_error(self._url, error, self._proxy)
            except (ValueError, KeyError, TypeError) as error:
                raise FeedRefused(f"{self._url}: not a feed of version 1: {error}") from None
            retry_s, self._retry_s = self._retry_s, 0.0
            if failure is not None:
                if not received:
                    failure = await with_scheme_checked(failure, self._url, self._proxy)
                self._on_change(failure)
                if failure.permanent and (failure.problem is not None or not received):
                    raise FeedRefused(failure.text)
                retry_s = max(retry_s, failure.retry_after_s or 0.0)
            await asyncio.sleep(max(retry_s, with_jitter(backoff.next())))

    async def _connection(self) -> AsyncIterator[Block]:
        assert self._session is not None, "use it as a context manager"
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "gzip" if self._gzip else "identity"}
        if self.cursor is not None:
            headers["Last-Event-ID"] = self.cursor
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=self._silence_s)
        async with self._session.get(
            self._url, params=self._query, headers=headers, timeout=timeout
        ) as response:
            await self._check_stream(response)
            self._response = response
            self.connections += 1
            unpacker = zlib.decompressobj(31) if response.headers.get("Content-Encoding") == "gzip" else None
            parser = EventParser()
            areas = _Areas(self._keep_copy, self._raw)
            blocks = 0
            clock = asyncio.get_running_loop().time
            event_at = clock()
            while piece := await response.content.readany():
                self.wire_bytes += len(piece)
                events = parser.feed(unpacker.decompress(piece) if unpacker else piece)
                if not events and clock() - event_at > self._silence_s:
                    raise TimeoutError
                for event in events:
                    if event.type == "area":
                        areas.take(event.data)
                    elif event.type == "block":
                        parser.retry_ms = None
                        blocks += 1
                        yield self._apply(event, areas)
                        areas = _Areas(self._keep_copy, self._raw)
                if events:
                    event_at = clock()
            self._retry_s = min((parser.retry_ms or 0) / 1000, RETRY_AFTER_MOST_S)
            if not blocks:
                again = f"; the gateway asks to come back in {self._retry_s:.0f} s" if self._retry_s else ""
                raise _NoStream(Failure("no_block", f"{self._url}: the stream ended without a block{again}"))

    async def _check_stream(self, response: aiohttp.ClientResponse) -> None:
        """Raise _NoStream if the answer is not an event stream."""
        if response.status == 200 and response.content_type == "text/event-stream":
            return
        body = await response.content.read(REFUSAL_MAX)
        if response.headers.get("Content-Encoding") == "gzip":
            body = zlib.decompressobj(31).decompress(body, REFUSAL_MAX)
        answer = HttpAnswer(str(response.url), response.status, response.headers, body)
        raise _NoStream(failure_of_answer(answer, "feed door", self._proxy))

    def _apply(self, event: Event, areas: "_Areas") -> Block:
        header = msgspec.json.decode(event.data, type=_BlockHeader)
        if header.snapshot:
            self.copy = dict(areas.decoded)
        else:
            self.copy.update(areas.decoded)
        self.cursor = event.id
        self.sequence = header.sequence
        return Block(
            event.id,
            header.sequence,
            header.chain,
            header.published_at,
            header.snapshot,
            header.server_time,
            areas.decoded,
            header.holds,
            areas.raw,
        )


class _Areas:
    """The areas of a block that is still incomplete."""

    def __init__(self, decode: bool, raw: bool) -> None:
        self.decoded: dict[str, Mapping[str, Any]] = {}
        self.raw: dict[str, bytes] = {}
        self._decode = decode
        self._raw = raw

    def take(self, document: bytes) -> None:
        """Add an `area` document. Raises ValueError, KeyError or TypeError for anything else."""
        if self._decode:
            area = orjson.loads(document)
            self.decoded[area["area"]] = area
            if self._raw:
                self.raw[area["area"]] = document
        elif self._raw:
            self.raw[msgspec.json.decode(document, type=_AreaIdentifier).area] = document


class _AreaIdentifier(msgspec.Struct):
    area: str


class _BlockHeader(msgspec.Struct):
    sequence: int
    chain: str
    published_at: datetime | None
    snapshot: bool
    server_time: datetime
    holds: int = 0
