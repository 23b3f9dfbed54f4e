"""Read the logs of elections in Postgres, as the roles of feeds and of the signer may read them."""

from gateway.election.log_record import Cosignature, LogHead, SignedCheckpoint
from gateway.journal.connection import acquired
from gateway.journal.connection_pool import Pool
from gateway.journal.db_errors import translate_db_errors

CHECKPOINTS_MAX = 1000
"""Checkpoints that one call returns at most."""


class LogRecord:
    """The logs in Postgres. Every method raises JournalUnavailable when Postgres does not answer.

    Reports are the entries between the opening and the closing; `PublicRecord.publications` returns them. Until the end
    of the embargo is confirmed, only the opening and checkpoints of size 1 are returned.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def heads(self) -> list[LogHead]:
        """Return every history of every opened election, in the order of elections and histories."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                rows = await connection.fetch("SELECT * FROM valgnatt_public.logs()")
        return [LogHead(*row) for row in rows]

    async def checkpoints(
        self, election: int, history: int, after: int, most: int = CHECKPOINTS_MAX
    ) -> list[SignedCheckpoint]:
        """Return up to `most` checkpoints larger than `after`, the smallest first; never more than CHECKPOINTS_MAX."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                rows = await connection.fetch(
                    "SELECT * FROM valgnatt_public.checkpoints($1, $2, $3, $4)",
                    election,
                    history,
                    after,
                    most,
                )
        return [SignedCheckpoint(*row) for row in rows]

    async def cosignatures(self, election: int, history: int, after: int, until: int) -> list[Cosignature]:
        """Return the cosignatures of the checkpoints of sizes (after, until], by size and witness; at most 16 000."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                rows = await connection.fetch(
                    "SELECT * FROM valgnatt_public.cosignatures($1, $2, $3, $4)",
                    election,
                    history,
                    after,
                    until,
                )
        return [Cosignature(*row) for row in rows]
