"""Read the public record of Postgres, under a database role that can read nothing else."""

from datetime import datetime

from gateway.election.hold_list import HoldLine
from gateway.election.record import Head, Publication, Unapplied
from gateway.errors import JournalUnavailable
from gateway.journal import record_copy
from gateway.journal.connection import acquired, copied
from gateway.journal.connection_pool import Pool
from gateway.journal.db_errors import translate_db_errors
from gateway.journal.session import Connection

FETCHED_MAX = 256
"""Publications up to which a statement is prepared and its rows are fetched. More are copied: that is planned each time
but decoded faster."""


async def read_heads(connection: Connection) -> list[Head]:
    """Return the head of every election. Raises asyncpg's errors."""
    return [Head(*row) for row in await connection.fetch("SELECT * FROM valgnatt_public.elections_v2()")]


class PublicRecord:
    """The public record in Postgres. Every method raises JournalUnavailable when Postgres does not answer."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def heads(self) -> list[Head]:
        """Return the head of every election."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                return await read_heads(connection)

    async def registry(self, election: int) -> bytes:
        """Return the registry document of an election as JSON."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                document: bytes | None = await connection.fetchval(
                    "SELECT valgnatt_public.registry($1)", election
                )
        if document is None:
            raise JournalUnavailable(f"election {election} is no longer in the record")
        return document

    async def previous(self, election: int) -> bytes | None:
        """Return the document of an election's previous election as JSON; None if it has none."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                document: bytes | None = await connection.fetchval(
                    "SELECT valgnatt_public.previous($1)", election
                )
        return document

    async def publications(self, election: int, after: int, most: int) -> list[Publication]:
        """Return up to `most` publications after a sequence, in order; never more than 10 000."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                if most > FETCHED_MAX:
                    query = record_copy.copy_query(election, after, most)
                    return record_copy.publications(await copied(connection, query))
                rows = await connection.fetch(
                    "SELECT * FROM valgnatt_public.record_v2($1, $2, $3)", election, after, most
                )
        return [Publication(*row) for row in rows]

    async def hold_lines(self, election: int, after: int, most: int) -> list[HoldLine]:
        """Return up to `most` lines of the list of holds after a number, in order; never more than 10 000."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                rows = await connection.fetch(
                    "SELECT * FROM valgnatt_public.hold_lines($1, $2, $3)", election, after, most
                )
        return [HoldLine(*row) for row in rows]

    async def unapplied(self, election: int, sequence: int) -> list[Unapplied]:
        """Return, per unit, the publications after a sequence: those that a feed at `sequence` has not applied."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                rows = await connection.fetch(
                    "SELECT * FROM valgnatt_public.unapplied($1, $2)", election, sequence
                )
        return [Unapplied(*row) for row in rows]

    async def contacts(self, election: int) -> dict[str, datetime]:
        """Return, per area, when a token of it was last used; empty before the release."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                rows = await connection.fetch("SELECT * FROM valgnatt_public.contacts($1)", election)
        return {row[0]: row[1] for row in rows}
