"""The reports of a publisher that have no answer yet, in the order submitted. Independent of connections."""

import asyncio
from collections import deque

from gateway.client.push_answers import Answer, PushRefused, too_large
from gateway.client.retry_after import RETRY_AFTER_MOST_S
from gateway.wire.session import FRAME_MAX

RETRY_FIRST_S = 0.1
"""When to resend a report that was answered `retry` without a time."""


class Push:
    """One report, its number, and the answer that somebody waits for."""

    __slots__ = ("answer", "body", "key")

    def __init__(self, key: int, body: bytes, answer: asyncio.Future[Answer]) -> None:
        self.key = key
        self.body = body
        self.answer = answer

    def frame(self) -> bytes:
        """Return the message that sends it over a WebSocket."""
        return b'{"type":"report","id":%d,"report":%s}' % (self.key, self.body)


class PushQueue:
    """Reports that are not sent yet, and those that were sent and have no answer. Invariants:

    * They are sent in the order submitted; one that is to be resent keeps its place.
    * Each gets an answer or the error of `fail`.
    """

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        """Set when there may be something to send."""
        self.empty = asyncio.Event()
        """Set while every report has an answer."""
        self.empty.set()
        self.sent: dict[int, Push] = {}
        self.unsent: deque[Push] = deque()
        self._resume_at = 0.0
        self._next_key = 1

    def add(self, body: bytes) -> asyncio.Future[Answer]:
        """Add a report. One that does not fit into a frame is refused: the gateway would close each connection."""
        push = Push(self._next_key, body, asyncio.get_running_loop().create_future())
        self._next_key += 1
        if len(push.frame()) > FRAME_MAX:
            push.answer.set_result(too_large(body))
            return push.answer
        self.unsent.append(push)
        self.empty.clear()
        self.changed.set()
        return push.answer

    @property
    def pause_s(self) -> float:
        """Seconds until something may be sent again, after a `retry`; 0 or less: now."""
        return self._resume_at - asyncio.get_running_loop().time()

    def take(self) -> Push:
        """Return the next report, which counts as sent. There has to be one."""
        push = self.unsent.popleft()
        self.sent[push.key] = push
        return push

    def settle(self, key: int | str | None, answer: Answer) -> None:
        """Pass an answer on, or put the report back in its place if it is `retry`."""
        push = self.sent.pop(key, None) if isinstance(key, int) else None
        if push is None:
            return
        if answer.outcome == "retry":
            self._requeue(push, answer.retry_after_s or RETRY_FIRST_S)
            return
        if not push.answer.done():
            push.answer.set_result(answer)
        if not self.sent and not self.unsent:
            self.empty.set()

    def put_back(self) -> None:
        """Make all reports without an answer unsent, in order: the connection that they were sent on is gone."""
        if self.sent:
            self.unsent = deque(sorted((*self.sent.values(), *self.unsent), key=lambda push: push.key))
            self.sent.clear()
            self.changed.set()

    def fail(self, error: PushRefused) -> None:
        """End every wait with an error."""
        for push in (*self.sent.values(), *self.unsent):
            if not push.answer.done():
                push.answer.set_exception(error)
                push.answer.exception()  # retrieved, in case nobody awaits it
        self.sent.clear()
        self.unsent.clear()
        self.empty.set()

    def _requeue(self, push: Push, wait_s: float) -> None:
        """Put a report back in its place, and pause: a later report of its unit would make it stale."""
        later = (place for place, other in enumerate(self.unsent) if other.key > push.key)
        self.unsent.insert(next(later, len(self.unsent)), push)
        resume_at = asyncio.get_running_loop().time() + min(max(0.0, wait_s), RETRY_AFTER_MOST_S)
        self._resume_at = max(self._resume_at, resume_at)
