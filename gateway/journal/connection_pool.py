"""A pool of connections that keeps one at hand, for statements that follow each other."""

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg

from gateway.deadline import Deadline

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool

UNUSED_S = 60.0
"""Seconds after which a connection that nobody has used is closed."""
STATEMENTS_MAX = 50_000
"""Statements after which a connection is replaced. A session of Postgres caches what it has seen, such as the tables of
every election, and frees that only when it ends. It does not grow with the statements themselves (4.2 MB after 20 and
60 000), so this is a bound that is rarely needed, at the cost of one login."""


class ConnectionPool(Pool):
    """A pool that keeps the connection released last at hand, so that the next statement gets it without waiting.

    asyncpg releases a connection in a task of its own, which the caller waits for: more than the rest of what a
    process does for the commit of a single report. Invariants:

    * No connection is at hand while somebody waits for one.
    * The connection at hand is open, in no transaction, and not of those that have been expired.
    * It is closed when it was not used for UNUSED_S to twice as long; any other one that is unused, after UNUSED_S.
    * A connection that has executed STATEMENTS_MAX statements is closed when it is released.
    """

    __slots__ = ("_acquire_s", "_kept", "_timer", "_used", "_waiting")

    def __init__(self, *args: Any, acquire_s: float, **options: Any) -> None:
        """Take the arguments of asyncpg's pool, and how long acquiring a connection may take."""
        super().__init__(
            *args, max_queries=STATEMENTS_MAX, max_inactive_connection_lifetime=UNUSED_S, **options
        )
        self._acquire_s = acquire_s
        self._kept: Any = None
        self._used = False
        """Whether it was used since the timer was set."""
        self._timer: asyncio.TimerHandle | None = None
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
                self._set_timer()
        else:
            await super().release(connection, timeout=timeout)

    def _may_keep(self, connection: Any) -> bool:
        current: int = self._generation  # type: ignore[attr-defined]
        return (
            _is_open(connection)
            and not connection.is_in_transaction()
            and not connection._protocol._is_cancelling()
            and connection._holder._generation == current
            and connection._protocol.queries_count < STATEMENTS_MAX
        )

    def _set_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(UNUSED_S, self._on_timer)

    def _on_timer(self) -> None:
        if self._used:
            self._used = False
            self._set_timer()
        else:
            self._timer = None
            self._close_kept()

    def _close_kept(self) -> None:
        """Close the connection at hand without a message to its server, which may no longer answer.

        One that asyncpg has closed after an error of the protocol has its place in the pool until it is terminated.
        """
        kept, self._kept = self._kept, None
        if kept is not None and kept._con is not None:
            kept.terminate()

    async def expire_connections(self) -> None:
        """See asyncpg. Unused connections are closed at once.

        Otherwise, asyncpg would do it when they are acquired, each in a task that waits for its server without a limit.
        """
        await super().expire_connections()
        self._close_kept()
        for holder in self._holders:  # type: ignore[attr-defined]
            if holder.is_idle() and holder.is_connected():
                holder.terminate()

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
