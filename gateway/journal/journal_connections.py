"""The connections of a push process to its journal: readers leave some to writers, and commits are announced."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.deadline import Deadline
from gateway.journal.announcer import Announcer
from gateway.journal.connection import CONNECT_S, acquired
from gateway.journal.connection_pool import Pool
from gateway.journal.decisions import Appended
from gateway.journal.session import Connection

WRITERS_FREE = 3
"""Connections of a pool that readers leave free for writers, if it has so many."""


class JournalConnections:
    """Connections for the methods of a journal."""

    def __init__(
        self, pool: Pool, announcer: Announcer | None = None, *, require_standby: bool = False
    ) -> None:
        self._pool = pool
        self._announcer = announcer
        self._require_standby = require_standby
        self._readers = asyncio.Semaphore(max(1, pool.get_max_size() - WRITERS_FREE))

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Connection]:
        """Provide a connection for a reader; raise TimeoutError if none is free within CONNECT_S."""
        async with Deadline(CONNECT_S):
            await self._readers.acquire()
        try:
            async with acquired(self._pool) as connection:
                yield connection
        finally:
            self._readers.release()

    def _announce(self, election: int, appended: Appended) -> None:
        """Pass on a commit that has returned, so that the announcer notifies the feeds."""
        if self._announcer is not None:
            self._announcer.committed(
                election,
                append=appended.number if appended.waits_for_standby else None,
                accepted=appended.accepted,
                released=appended.released_at is not None,
            )
