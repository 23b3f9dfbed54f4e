"""Open a stream again while a mirror is read, at intervals that do not load a gateway which is full."""

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import aiohttp

from gateway.backoff import Backoff, with_jitter
from gateway.client.failures import Failure
from gateway.client.http_session import NotFollowed
from gateway.client.stream_reader import FAILURES, NoStream, NotVersion1, StreamReader
from gateway.client.updates import Update
from gateway.clock import SYSTEM_CHANCE

ATTEMPT_FAILED = (NoStream, NotFollowed, *FAILURES)
"""What a stream may end with."""
PAUSE_FIRST_S, PAUSE_MOST_S = 10.0, 600.0
"""Seconds between two attempts while the mirror works: with ten million readers, some 17 000 attempts a second."""
HURRY_S = 10.0
"""The same while the mirror fails or is behind, as without a mirror."""


class StreamAttempts:
    """Makes one attempt at a time, in a task of its own; the first one is due after a pause.

    Invariant: no attempt is made before the time that the gateway asked for.
    """

    def __init__(
        self,
        stream: StreamReader,
        session: aiohttp.ClientSession,
        why: Failure | None,
        *,
        chance: Random = SYSTEM_CHANCE,
    ) -> None:
        """Make attempts; none at all without a reason `why` there is no stream, since there is no gateway."""
        self.opened: AsyncIterator[Update] | None = None
        """A stream that is open; its first update is not older than what the subscriber has."""
        self.failure = why
        """Why the last attempt failed."""
        self._stream = stream
        self._chance = chance
        self._session = session
        self._wanted = why is not None
        self._is_hurried = False
        self._pauses = Backoff(PAUSE_FIRST_S, PAUSE_MOST_S)
        self._task: asyncio.Task[AsyncIterator[Update]] | None = None
        self._due_at_s = self._not_before_s = 0.0
        self._pause(why)

    async def wait_beside(
        self, other: asyncio.Task[Any], cursor: str | None, sequence: Callable[[], int]
    ) -> None:
        """Make an attempt when it is due; return when it has ended, or when the `other` task has."""
        if self._task is None and self._wanted and _clock() >= self._due_at_s:
            self._task = asyncio.create_task(self._attempt(cursor, sequence), name="stream")
        waiting = {other} if self._task is None else {other, self._task}
        timeout_s = self._due_at_s - _clock() if self._task is None and self._wanted else None
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if self._task is None or not self._task.done():
            return
        ended, self._task = self._task, None
        try:
            self.opened = ended.result()
        except NotVersion1 as error:
            self._pause(Failure("not_a_door", str(error)))
        except ATTEMPT_FAILED as error:
            self._pause(self._stream.failure_of(error))

    def hurry(self, *, useless: bool) -> None:
        """Make attempts more often while the mirror is `useless`."""
        self._is_hurried = useless
        if useless:
            soon_s = _clock() + with_jitter(HURRY_S, 1.5, chance=self._chance)
            self._due_at_s = max(min(self._due_at_s, soon_s), self._not_before_s)

    async def abandon(self) -> None:
        """End the attempt that is being made, if there is one."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            (found,) = await asyncio.gather(task, return_exceptions=True)
            self._pause(None)
            if not isinstance(found, BaseException):
                await found.aclose()  # type: ignore[attr-defined]

    def _pause(self, failure: Failure | None) -> None:
        self.failure = failure or self.failure
        after_s = max(self._stream.retry_s, (failure.retry_after_s if failure is not None else 0.0) or 0.0)
        self._not_before_s = _clock() + after_s
        pause_s = HURRY_S if self._is_hurried else self._pauses.next()
        self._due_at_s = max(self._not_before_s, _clock() + with_jitter(pause_s, 1.5, chance=self._chance))

    async def _attempt(self, cursor: str | None, sequence: Callable[[], int]) -> AsyncIterator[Update]:
        """Return a stream with its first update that is not older than what the subscriber has by then."""
        updates = self._stream.updates(self._session, cursor)
        async for update in updates:
            if update.snapshot or update.sequence >= sequence():
                return _continued(update, updates)
        raise NoStream(Failure("no_block", f"{self._stream.url}: the stream ended without a newer block"))


async def _continued(first: Update, others: AsyncIterator[Update]) -> AsyncIterator[Update]:
    yield first
    async for update in others:
        yield update


def _clock() -> float:
    return asyncio.get_running_loop().time()
