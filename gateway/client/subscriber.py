"""Subscriber: follow an election, keep a copy of its results, and reconnect after every interruption.

A block is applied as a whole or not at all, so the copy is always the state at some sequence. It comes from the stream
of a gateway, or from the files of a mirror while there is no stream.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from datetime import datetime
from random import Random
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
import msgspec

from gateway.backoff import Backoff, with_jitter
from gateway.client.failures import Failure
from gateway.client.http_session import environment_proxy, open_session, with_scheme_checked
from gateway.client.mirror_discovery import MirrorDiscovery
from gateway.client.mirror_reader import MirrorReader
from gateway.client.mirror_requests import MirrorFailed
from gateway.client.mirror_selection import NotInMirror
from gateway.client.stream_attempts import ATTEMPT_FAILED, StreamAttempts
from gateway.client.stream_reader import FIRST_BLOCK_S, NotVersion1, StreamReader
from gateway.client.updates import Update
from gateway.clock import SYSTEM_CHANCE, SYSTEM_CLOCK, Clock
from gateway.errors import GatewayError
from gateway.wire.mirror import Position

SILENCE_S = 25.0
"""The default of `silence_s`; the gateway sends a block every 10 s."""
RETRY_FIRST_S, RETRY_MOST_S = 0.2, 10.0


class FeedRefused(GatewayError):
    """The gateway does not serve this request: no such election, level or area."""

    code = "feed_refused"


class Source(msgspec.Struct, frozen=True):
    """Where blocks come from."""

    kind: Literal["stream", "mirror"]
    url: str
    """Of the feed door, or of the mirror."""
    why: Failure | None = None
    """For a mirror, why there is no stream; None if the subscriber was given the URL of a mirror."""


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

    The URL may also be that of a mirror, whose files are read in the same way. A gateway can have a mirror, which it
    names itself, or `mirror_url` does: while the gateway is full, silent or cannot be reached, the mirror is read, and
    the stream is tried again at growing intervals. `source`, `age_s`, `is_behind` and `closed_at` show what is read.

    Invariants: `copy` is the result of all blocks applied so far; `cursor` is that of the last one. The sequence rises,
    unless the record of the gateway was replaced by another one.
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
        on_source: Callable[[Source], None] = lambda _: None,
        silence_s: float = SILENCE_S,
        mirror_url: str | None = None,
        use_mirror: bool = True,
        user_agent: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
        chance: Random = SYSTEM_CHANCE,
    ) -> None:
        """Follow `levels` and `areas` (comma-separated; default: all areas that have children).

        Without `session`, everything is read through the proxy that the environment names. `on_change` is called with
        each failure to connect or to continue, and with None for each block; while a mirror is read, only with its
        failures. `on_source` is called before the first block from another source.

        At most one block arrives per `every_s` seconds: 0, 1, 2, 5, 10, 30 or 60. With `cursor` and the `copy` kept
        at that cursor, only later changes are read; if the gateway does not know the cursor, everything is.
        Without `keep_copy`, areas are not decoded, which saves time for many readers in a load test. With `raw`, blocks
        have the bytes of their areas as well; with `raw` and without `keep_copy`, only these. A stream without a
        complete event for `silence_s` seconds is considered dead. Without `use_mirror`, only the stream is read.
        Without `session`, requests have `user_agent`, or that of aiohttp.
        """
        self.copy: dict[str, Mapping[str, Any]] = dict(copy or {})
        self.cursor = cursor
        self.sequence = int(cursor.partition("-")[0]) if cursor is not None else 0
        self.source: Source | None = None
        """Where the last block came from."""
        self._history: str | None = None
        """That of the mirror to whose record the cursor belongs."""
        self._feed_url = feed_url.rstrip("/")
        self._chance = chance
        self._on_change = on_change
        self._on_source = on_source
        self._own_session = session is None
        self._session = session
        self._user_agent = user_agent
        query = {"levels": levels, "areas": areas, "every_s": str(every_s)}
        self._stream = StreamReader(
            feed_url,
            election,
            {name: value for name, value in query.items() if value is not None},
            gzip=gzip,
            decode=keep_copy,
            raw=raw,
            silence_s=silence_s,
            clock=clock,
        )
        self._mirrors = MirrorDiscovery(
            self._feed_url,
            election,
            {"levels": levels, "areas": areas},
            every_s=every_s,
            gzip=gzip,
            decode=keep_copy,
            raw=raw,
            session=session,
            mirror_url=mirror_url,
            enabled=use_mirror,
            clock=clock,
            chance=chance,
        )
        self._resumed: AsyncIterator[Update] | None = None
        """A stream that was opened while a mirror was read."""
        self._attempts: StreamAttempts | None = None
        self._polling: asyncio.Task[Update | None] | None = None

    @property
    def connections(self) -> int:
        """Streams that were opened so far."""
        return self._stream.connections

    @property
    def wire_bytes(self) -> int:
        """Bytes read from the connections, compressed if they were."""
        return self._stream.wire_bytes + self._mirrors.wire_bytes

    @property
    def mirror_requests(self) -> int:
        """Requests to mirrors so far."""
        return self._mirrors.requests

    @property
    def age_s(self) -> float | None:
        """How old the state of the mirror is, in seconds, while one is read; None for a stream."""
        mirror = self._read_mirror
        return mirror.age_s if mirror is not None else None

    @property
    def is_behind(self) -> bool:
        """Whether a mirror is read that has not been refreshed for longer than its interval allows."""
        mirror = self._read_mirror
        return mirror is not None and mirror.is_behind

    @property
    def closed_at(self) -> datetime | None:
        """When the election was closed, if a mirror is read and nothing follows what it has; None otherwise."""
        mirror = self._read_mirror
        return mirror.closed_at if mirror is not None else None

    @property
    def _read_mirror(self) -> MirrorReader | None:
        return self._mirrors.reader if self.source is not None and self.source.kind == "mirror" else None

    async def __aenter__(self) -> Self:
        if self._session is None:
            self._stream.proxy = environment_proxy(self._feed_url)
            self._session = open_session(self._stream.proxy, decompress=False, user_agent=self._user_agent)
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.cut()
        await self._stop_following()
        await self._mirrors.close()
        if self._own_session and self._session is not None:
            await self._session.close()

    def cut(self) -> None:
        """Close the connection, if there is one; `blocks` opens another."""
        self._stream.cut()

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
        stream = Source("stream", self._feed_url)
        received = False
        while True:
            failure: Failure | None = None
            blocks = 0
            try:
                async for update in self._open_stream():
                    if not update.snapshot and update.sequence < self.sequence:
                        continue  # a process of the gateway that is behind what was read elsewhere
                    backoff.reset()
                    received = True
                    blocks += 1
                    yield self._apply(update, stream)
            except NotVersion1 as error:
                raise FeedRefused(str(error)) from None
            except ATTEMPT_FAILED as error:
                failure = self._stream.failure_of(error)
            retry_s = self._stream.retry_s
            if failure is not None:
                if not received:
                    failure = await with_scheme_checked(failure, self._stream.url, self._stream.proxy)
                mirror = await self._mirror_after(failure, received=received)
                if failure.permanent and (failure.problem is not None or (mirror is None and not received)):
                    raise FeedRefused(failure.text)
                retry_s = max(retry_s, failure.retry_after_s or 0.0)
                if mirror is not None and not blocks:  # a stream that had blocks is opened again at once
                    async with aclosing(self._follow_mirror(mirror, failure)) as others:
                        async for block in others:
                            received = True
                            yield block
                    continue
            await asyncio.sleep(max(retry_s, with_jitter(backoff.next(), chance=self._chance)))

    def _open_stream(self) -> AsyncIterator[Update]:
        """Return the updates of the stream that is open already, or of another one."""
        updates, self._resumed = self._resumed, None
        if updates is not None:
            return updates
        assert self._session is not None, "use it as a context manager"
        first_s = FIRST_BLOCK_S if self._mirrors.known(self._stream.mirror_url) else None
        return self._stream.updates(self._session, self.cursor, first_s)

    async def _mirror_after(self, failure: Failure, *, received: bool) -> MirrorReader | None:
        """Return the mirror to read after a failure of the stream. Raises FeedRefused if it cannot be read."""
        if not received:
            await self._mirrors.look_at_feed(failure)
        if self._mirrors.refusal is not None:
            raise FeedRefused(self._mirrors.refusal.text)
        if not self._mirrors.is_feed:
            self._on_change(failure)
            await self._mirrors.look(failure, self._stream.mirror_url)
        return self._mirrors.reader

    async def _follow_mirror(self, mirror: MirrorReader, failure: Failure) -> AsyncGenerator[Block]:
        """Yield the blocks of a mirror until there is a stream again, or the mirror has no such selection."""
        assert self._session is not None
        why = None if self._mirrors.is_feed else failure
        source = Source("mirror", mirror.url, why)
        attempts = self._attempts = StreamAttempts(self._stream, self._session, why, chance=self._chance)
        try:
            while True:
                if self._polling is None:
                    self._polling = asyncio.create_task(mirror.next(self._position()), name="mirror")
                await attempts.wait_beside(self._polling, self.cursor, lambda: self.sequence)
                if attempts.opened is not None:
                    self._resumed, attempts.opened = attempts.opened, None
                    return
                if not self._polling.done():
                    continue
                done, self._polling = self._polling, None
                try:
                    update = done.result()
                except MirrorFailed as failed:
                    self._note_mirror(failed.failure, alone=why is None)
                    attempts.hurry(useless=True)
                    continue
                except NotInMirror as error:
                    self._note_mirror(Failure(error.code, f"{mirror.url}: {error}", True), alone=why is None)
                    self._mirrors.give_up(mirror.url)
                    return
                attempts.hurry(useless=mirror.is_behind)
                if update is not None:
                    if update.snapshot:
                        await attempts.abandon()
                    yield self._apply(update, source)
        finally:
            await self._stop_following()

    def _note_mirror(self, failure: Failure, *, alone: bool) -> None:
        """Report a failure of the mirror. Raises FeedRefused if there is nothing else to read, and never was."""
        if alone and failure.permanent and self.source is None:
            raise FeedRefused(failure.text)
        self._on_change(failure)

    async def _stop_following(self) -> None:
        """End what runs beside a mirror's blocks."""
        attempts, self._attempts = self._attempts, None
        polling, self._polling = self._polling, None
        if attempts is not None:
            await attempts.abandon()
        if polling is not None:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)

    def _position(self) -> Position | None:
        return Position(self.sequence, self.cursor, self._history) if self.cursor is not None else None

    def _apply(self, update: Update, source: Source) -> Block:
        areas = update.areas
        if update.snapshot:
            self.copy = dict(areas.decoded)
        else:
            self.copy.update(areas.decoded)
        if update.snapshot or update.history is not None:
            self._history = update.history
        self.cursor = update.cursor
        self.sequence = update.sequence
        if self.source is not source:
            before, self.source = self.source, source
            if before is None or (before.kind, before.url) != (source.kind, source.url):
                self._on_source(source)
        self._on_change(None)
        return Block(
            update.cursor,
            update.sequence,
            update.chain,
            update.published_at,
            update.snapshot,
            update.server_time,
            areas.decoded,
            update.holds,
            areas.raw,
        )
