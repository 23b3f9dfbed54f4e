"""The mirror of one election: one history after another, each for as long as the gateway's record is the same."""

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from gateway.backoff import Backoff, with_jitter
from gateway.client.subscriber import Block, Subscriber
from gateway.election.registry import Registry
from gateway.mirror.election_files import ElectionList
from gateway.mirror.history import (
    RETRY_FIRST_S,
    RETRY_MOST_S,
    AnotherRecord,
    History,
    read_registry,
)
from gateway.mirror.progress import Progress
from gateway.mirror.target import Target, TargetUnavailable
from gateway.transparency.note import VerifierKey
from gateway.wire.mirror import (
    LIVE_READ_MAX,
    USER_AGENT,
    Live,
    MalformedMirror,
    decode_live,
    live_path,
    require_names,
)

INTERVALS_S = (1, 2, 5, 10, 30, 60)
"""Values of `every_s`, in seconds: intervals in which the stream sends blocks."""
KNOWN_ATTEMPTS = 3
"""How often to ask whether the gateway knows a cursor, if a process of it answers that is behind the cursor."""
KNOWN_PAUSE_S = 1.0
"""Seconds between the first two of these attempts; twice as long before the last."""

log = structlog.get_logger()


class Mirror:
    """Writes the files of one election to a target that is open."""

    def __init__(
        self,
        feed_url: str,
        election: str,
        target: Target,
        *,
        every_s: int = 2,
        keys: Sequence[VerifierKey] = (),
        elections: ElectionList | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Write at most one step in `every_s` seconds, one of INTERVALS_S. `keys` and `elections`: see Documents."""
        assert every_s in INTERVALS_S
        self._feed_url = feed_url
        self._election = election
        self._target = target
        self._every_s = every_s
        self._keys = keys
        self._elections = elections
        self._clock = clock
        self._last_history: str | None = None
        """The last one in the target."""
        self.progress = Progress(election)

    async def run(self) -> None:
        """Write until cancelled. Raises FeedRefused, NoDocument, NotMirrored, TargetInUse."""
        backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
        while True:
            began_s = self._clock()
            registry = await read_registry(self._feed_url, self.progress)
            require_names(registry.id, registry.by_id)
            continued = await self._history_to_continue(registry)
            try:
                await self._history(registry, continued).run()
            except AnotherRecord:
                log.warning(
                    "history of a mirror ends",
                    election=self._election,
                    reason="the gateway has another record",
                )
            if self._clock() - began_s > RETRY_MOST_S:
                backoff.reset()
            await asyncio.sleep(with_jitter(backoff.next()))

    def _history(self, registry: Registry, continued: Live | None) -> History:
        return History(
            self._feed_url,
            registry,
            self._target,
            every_s=self._every_s,
            keys=self._keys,
            elections=self._elections,
            continued=continued,
            after=self._last_history,
            progress=self.progress,
            clock=self._clock,
        )

    async def _history_to_continue(self, registry: Registry) -> Live | None:
        """Return the `live.json` of the target, if its history is that of the gateway's record; None otherwise.

        Before the first publication there is no way to know, and little to write again.
        """
        live = await self._live()
        if live is not None:
            self._last_history, self.progress.shown_at = live.history, live.written_at
        if live is None or live.election != registry.id or not live.sequence:
            return None
        return live if await self._knows(registry, live) else None

    async def _live(self) -> Live | None:
        backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
        while True:
            try:
                content = await self._target.read(live_path(self._election), LIVE_READ_MAX)
                self.progress.note("steps", None)
                return decode_live(content) if content is not None else None
            except MalformedMirror as error:
                log.error("live.json unusable", target=self._target.where, reason=str(error))
                return None
            except TargetUnavailable as error:
                self.progress.note("steps", str(error))
            await asyncio.sleep(with_jitter(backoff.next()))

    async def _knows(self, registry: Registry, live: Live) -> bool:
        """Whether the gateway goes on from the cursor of `live`, and so has the record of its history."""
        for attempt in range(KNOWN_ATTEMPTS):
            await asyncio.sleep(attempt * KNOWN_PAUSE_S)
            block = await self._first_block(registry, live.cursor)
            if not block.snapshot or block.sequence >= live.sequence:
                return not block.snapshot
        return False

    async def _first_block(self, registry: Registry, cursor: str) -> Block:
        async with Subscriber(
            self._feed_url,
            self._election,
            levels=registry.root.level,
            areas=registry.root.id,
            cursor=cursor,
            keep_copy=False,
            use_mirror=False,
            user_agent=USER_AGENT,
        ) as subscriber:
            async for block in subscriber.blocks():
                return block
        raise AssertionError("a feed never ends")
