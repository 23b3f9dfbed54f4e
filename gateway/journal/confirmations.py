"""How far the synchronous standby has each election's record, as push processes note it in Postgres."""

from gateway.journal.connection import acquired, leave_host_of
from gateway.journal.connection_pool import Pool
from gateway.journal.db_errors import translate_db_errors
from gateway.journal.notifications import CHANNEL

_UNCONFIRMED = """
SELECT e.id, greatest(h.confirmed_append, c.append) AS confirmed FROM election e
JOIN head h ON h.election = e.key JOIN confirmation c ON c.election = e.key
WHERE greatest(h.confirmed_append, c.append) < h.appends
"""

_CONFIRM = """
SELECT CASE WHEN h.appends >= $2 THEN confirm_v1($1, $2, $3) END, h.appends >= $2 AS known
FROM head h WHERE h.election = $1
"""


class PostgresConfirmations:
    """The confirmations in Postgres, see `Confirmations`. Give it a pool of its own: an announcement must not wait for
    an append's connection."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def confirm(self, election: int, append: int, accepted: int) -> None:
        """See `Confirmations.confirm`.

        A server that lacks the append is a former primary, or a restored one. It confirms nothing, as its own appends
        may be others, and another host is used from then on, if there is one. There, the append is unconfirmed until
        the next one.
        """
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                row = await connection.fetchrow(_CONFIRM, election, append, accepted)
                if row is not None and not row["known"]:
                    await leave_host_of(connection)

    async def notify(self) -> None:
        """See `Confirmations.notify`."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                await connection.execute(f"NOTIFY {CHANNEL}")

    async def unconfirmed(self) -> dict[str, int]:
        """See `Confirmations.unconfirmed`."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                rows = await connection.fetch(_UNCONFIRMED)
        return {row["id"]: row["confirmed"] for row in rows}
