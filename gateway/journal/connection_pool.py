"""A pool of connections that keeps one at hand, for statements that follow each other."""

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg

from gateway.deadline import Deadline

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

KEPT_S = 1.0
"""Seconds after which an unused connection is given back to asyncpg's pool."""


class ConnectionPool(Pool):
    """A pool that keeps the connection released last at hand, so that the next statement gets it without waiting.

    asyncpg releases a connection in a task of its own, which the caller waits for: more than the rest of what a
    process does for the commit of a single report. Invariants:

    * No connection is at hand while somebody waits for one.
    * The connection at hand is open, in no transaction, and not of those that have been expired.
    * It is given back to asyncpg, which closes unused connections, when it was not used for KEPT_S to twice as long.
    """

    __slots__ = ("_acquire_s", "_giving_back", "_kept", "_release_s", "_timer", "_used", "_waiting")

    def __init__(self, *args: Any, acquire_s: float, release_s: float, **options: Any) -> None:
        """Take the arguments of asyncpg's pool, and how long acquiring and releasing a connection may take."""
        super().__init__(*args, **options)
        self._acquire_s, self._release_s = acquire_s, release_s
        self._kept: Any = None
        self._used = False
        """Whether it was used since the timer was set."""
        self._timer: asyncio.TimerHandle | None = None
        self._giving_back: asyncio.Task[None] | None = None
        self._waiting = 0

    async def _acquire(self, timeout: float | None) -> Any:
        kept, self._kept = self._kept, None
        if kept is not None and _is_open(kept):
            return kept
        self._waiting += 1
        try:
            async with Deadline(self._acquire_s, "no free connection"):
                if kept is not None:
                    await super().release(kept)
                return await super()._acquire(timeout)  # type: ignore[misc]
        finally:
            self._waiting -= 1

    async def release(self, connection: Any, *, timeout: float | None = None) -> None:
        """Release a connection, or keep it at hand."""
        if self._kept is None and not self._waiting and self._may_keep(connection):
            self._kept, self._used = connection, True
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(KEPT_S, self._on_timer)
        else:
            await super().release(connection, timeout=timeout)

    def _may_keep(self, connection: Any) -> bool:
        current: int = self._generation  # type: ignore[attr-defined]
        return (
            _is_open(connection)
            and not connection.is_in_transaction()
            and not connection._protocol._is_cancelling()
            and connection._holder._generation == current
        )

    def _on_timer(self) -> None:
        if self._used:
            self._used = False
            self._timer = asyncio.get_running_loop().call_later(KEPT_S, self._on_timer)
        else:
            self._timer = None
            self._giving_back = asyncio.create_task(self._give_back(), name="release of a connection")

    async def _give_back(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            await super().release(kept, timeout=self._release_s)

    async def expire_connections(self) -> None:
        """See asyncpg. The connection at hand is closed without a message to its server, which may no longer answer."""
        await super().expire_connections()
        kept, self._kept = self._kept, None
        if kept is not None and _is_open(kept):
            kept.terminate()

    def terminate(self) -> None:
        """See asyncpg."""
        if self._timer is not None:
            self._timer.cancel()
        super().terminate()

    def get_idle_size(self) -> int:
        """Return the number of connections that nobody uses."""
        return super().get_idle_size() + (self._kept is not None and _is_open(self._kept))


def _is_open(connection: Any) -> bool:
    return connection._con is not None and not connection._con.is_closed()
