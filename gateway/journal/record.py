"""The public record, as a feed reads it: elections, heads and publications, under a role that can see nothing else."""

from datetime import datetime

import msgspec

from gateway.election.report import Publication
from gateway.errors import JournalUnavailable
from gateway.journal.connection import Pool, acquired, translate_db_errors


class Head(msgspec.Struct, frozen=True):
    """Where the public record of one election ends; `sequence` 0 before its release."""

    key: int
    id: str
    loaded_at: datetime
    """When the registry was loaded; another time, perhaps another registry."""
    publish_from: datetime
    released_at: datetime | None
    closed_at: datetime | None
    sequence: int
    """The last publication that may be shown: on a primary with a synchronous standby, that the standby has as well."""
    chain: bytes
    accepted: int
    """How many reports this server has; those beyond `sequence` wait for their confirmation."""
    standby: bool
    """Whether a replica said so, which may lag behind the record rather than lack a part of it."""


class Beyond(msgspec.Struct, frozen=True):
    """What the journal holds of one unit past a sequence."""

    unit: str
    accepted: int
    oldest_published_at: datetime
    last_accepted_at: datetime


class PublicRecord:
    """Reads the record. Every method raises JournalUnavailable when Postgres does not answer."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def heads(self) -> list[Head]:
        """Return the head of every election."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                rows = await connection.fetch("SELECT * FROM valgnatt_public.elections()")
        return [Head(*row) for row in rows]

    async def registry(self, election: int) -> bytes:
        """Return the registry document of an election as JSON."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                document: bytes | None = await connection.fetchval(
                    "SELECT valgnatt_public.registry($1)", election
                )
        if document is None:
            raise JournalUnavailable(f"election {election} is gone from the record")
        return document

    async def publications(self, election: int, after: int, most: int) -> list[Publication]:
        """Return up to `most` publications (10 000 at the most) after a sequence, in order."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                rows = await connection.fetch(
                    "SELECT * FROM valgnatt_public.record($1, $2, $3)", election, after, most
                )
        return [Publication(*row) for row in rows]

    async def beyond(self, election: int, sequence: int) -> list[Beyond]:
        """Return, by unit, what the journal holds past a sequence: published, but not applied by who asks."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                rows = await connection.fetch(
                    "SELECT * FROM valgnatt_public.unapplied($1, $2)", election, sequence
                )
        return [Beyond(*row) for row in rows]

    async def contacts(self, election: int) -> dict[str, datetime]:
        """Return when a token of each area was last used; empty before the release."""
        with translate_db_errors():
            async with acquired(self._pool) as connection:
                rows = await connection.fetch("SELECT * FROM valgnatt_public.contacts($1)", election)
        return {row[0]: row[1] for row in rows}
