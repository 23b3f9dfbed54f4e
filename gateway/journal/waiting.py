"""Write to the journal how many reports have waited for a second or more, for the boards of all push processes.

While every receipt takes less than a second, nothing is written. No report waits for a write: writes use another
connection than appends.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import NoReturn

from gateway.clock import SYSTEM_CHANCE
from gateway.journal.connection import acquired
from gateway.journal.connection_pool import Pool
from gateway.journal.db_errors import translate_db_errors
from gateway.journal.periodic import repeat
from gateway.wire.board import Waiting

WRITE_S = 1.0
"""Least time between two writes, and the wait from which on reports are written, in seconds."""
ANSWER_S = 3.0
"""How long a write may take, in seconds; longer than the server waits for a lock."""


class WaitingReports:
    """Writes the numbers of waiting reports of one process to the journal.

    Invariant: the rows of a process are those of its last write, or so old that readers ignore them.
    """

    def __init__(self, *, chance: Random = SYSTEM_CHANCE) -> None:
        self.process = chance.getrandbits(63)
        """The number of this process in the journal."""
        self._written = False

    async def write(self, pool: Pool, waiting: Mapping[int, Waiting]) -> None:
        """Replace the rows of this process; `waiting` is by election. Raises JournalUnavailable."""
        late = {
            election: (each.reports, each.oldest_s)
            for election, each in waiting.items()
            if each.reports and each.oldest_s is not None and each.oldest_s >= WRITE_S
        }
        if not late and not self._written:
            return
        self._written = True
        with translate_db_errors():
            async with acquired(pool) as connection:
                await connection.execute(
                    "SELECT note_waiting_v1($1, $2, $3, $4)",
                    self.process,
                    list(late),
                    [reports for reports, _ in late.values()],
                    [oldest_s for _, oldest_s in late.values()],
                    timeout=ANSWER_S,
                )
        self._written = bool(late)

    async def run(self, pool: Pool, waiting: Callable[[], Mapping[int, Waiting]]) -> NoReturn:
        """Write every WRITE_S until cancelled."""
        await repeat("waiting reports", WRITE_S, lambda: self.write(pool, waiting()))
