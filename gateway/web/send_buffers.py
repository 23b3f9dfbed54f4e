"""What a door buffers for its clients: answers that they have not read, and input that they sent ahead of an answer.

Large answers are admitted one by one. Small ones are written at once and measured afterwards: each second, or when
UNMEASURED_MAX bytes were written since. Clients that read nothing for STALLED_S are disconnected.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from gateway.web.answers import Problem
from gateway.web.unread import Fit, UnreadBytes

STALLED_S = 60.0
"""How long a client may have unread bytes without reading any of them, in seconds."""
UNMEASURED_MAX = 8 << 20
"""Bytes of small answers that may be written before they are measured."""


class Buffered(Protocol):
    """A connection as far as its buffers are concerned."""

    @property
    def account(self) -> str:
        """The client address that its bytes count for."""

    @property
    def unsent(self) -> int:
        """Bytes written that the client has not taken."""

    @property
    def buffered(self) -> int:
        """Bytes buffered for this connection: those unsent, and input that it sent ahead."""

    @property
    def writing_large(self) -> bool:
        """Whether a large answer is being written, whose bytes are counted already."""


B = TypeVar("B", bound=Buffered)


class SendBuffers(Generic[B]):
    """Bounds the bytes that a door buffers for its connections. Invariants:

    * They are bounded as `UnreadBytes` describes, small answers to within UNMEASURED_MAX.
    * A connection with unread bytes that reads nothing for STALLED_S is closed.

    `close` closes a connection, for a reason that a metric counts.
    """

    def __init__(self, close: Callable[[B, str], None]) -> None:
        self.unread: UnreadBytes[B] = UnreadBytes()
        self._close = close
        self._unmeasured: dict[B, None] = {}
        self._unmeasured_bytes = 0
        self._unsent: dict[B, tuple[int, float]] = {}
        """Unsent bytes by connection, and since when there have been that many."""

    def admit(self, connection: B, address: str, own: int, body: bytes) -> None:
        """Count a large answer, until `release`; `own` bytes of it are copied for this connection. Raises Problem."""
        now = _now()
        self.unread.drop(connection)
        fit, closed = self.unread.fit(address, own, body, now)
        self._close_unread(closed)
        if fit is not Fit.YES:
            status = 429 if fit is Fit.ADDRESS_FULL else 503
            detail = "too many bytes of other answers have not been read yet"
            raise Problem(status, "too_much_unread", detail, retry_after_s=2.0)
        self.unread.put(connection, address, own, body, now)

    def progress(self, connection: B) -> None:
        """Record that a client took a part of a large answer."""
        self.unread.progress(connection, _now())

    def release(self, connection: B) -> None:
        """Stop counting a large answer."""
        self.unread.drop(connection)

    def add(self, connection: B, size: int) -> None:
        """Record that a small answer was written, or a part of a head was read; measure if there is too much of it."""
        self._unmeasured[connection] = None
        self._unmeasured_bytes += size
        if self._unmeasured_bytes > UNMEASURED_MAX:
            self.measure()

    def forget(self, connection: B) -> None:
        """Remove a connection that is closed."""
        self.unread.drop(connection)
        self._unmeasured.pop(connection, None)
        self._unsent.pop(connection, None)

    def sweep(self, connections: Iterable[B], now: float) -> None:
        """Measure all connections, WebSockets too, which write without `add`; close those that are stalled."""
        for connection in connections:
            if connection.unsent:
                self._unmeasured[connection] = None
        self.measure()
        self._close_stalled(now)

    def measure(self) -> None:
        """Measure what clients have not read of small answers, and close some connections if that is too much."""
        now = _now()
        unmeasured, self._unmeasured, self._unmeasured_bytes = self._unmeasured, {}, 0
        for connection in unmeasured:
            if connection not in self.unread and (size := connection.buffered):
                self.unread.put(connection, connection.account, size, None, now)
        for connection in list(self.unread):
            if connection.writing_large:
                continue
            if size := connection.buffered:
                self.unread.resize(connection, size, now)
            else:
                self.unread.drop(connection)
        self._close_unread(self.unread.excess(now))

    def _close_unread(self, connections: Iterable[B]) -> None:
        for connection in connections:
            self._close(connection, "unread")

    def _close_stalled(self, now: float) -> None:
        unsent: dict[B, tuple[int, float]] = {}
        for connection in list(self.unread):
            if size := connection.unsent:
                before, since = self._unsent.get(connection, (0, now))
                if size != before:
                    since = now
                if now - since < STALLED_S:
                    unsent[connection] = size, since
                else:
                    self._close(connection, "stalled")
        self._unsent = unsent


def _now() -> float:
    return asyncio.get_running_loop().time()
