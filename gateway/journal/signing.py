"""What the signer reads and writes in Postgres, under a database role that can do nothing else.

The order of a round is: read (`record`, `logs`), `begin_round`, sign, write with the fence of the round. The commit of
`begin_round` waits for the synchronous standby, which then has everything that was read before.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import asyncpg

from gateway.election.log_record import Cosignature, LogHead, Round, SignedCheckpoint
from gateway.election.record import Head
from gateway.errors import GatewayError
from gateway.journal.connection import acquired
from gateway.journal.connection_pool import Pool
from gateway.journal.db_errors import LocalCommit, translate_db_errors
from gateway.journal.log import LogRecord
from gateway.journal.record import PublicRecord
from gateway.journal.session import Connection


class AnotherSigner(GatewayError):
    """Another signer has begun a round since; what was to be written in this one was not. Begin a new round."""

    code = "another_signer"
    retryable = True


class CheckpointRefused(GatewayError):
    """The journal accepts this log, checkpoint or cosignature at no time; the message says why."""

    code = "checkpoint_refused"


class SignerTooFast(GatewayError):
    """There were too many writes of the signer: more than 50 per second, or more than one checkpoint per second."""

    code = "signer_too_fast"
    retryable = True


_BEGIN = "SELECT * FROM valgnatt_signing.begin_round($1, $2, $3)"
_ERRORS: dict[str, type[GatewayError]] = {
    "VG006": AnotherSigner,
    "VG007": CheckpointRefused,
    "VG008": SignerTooFast,
}


class SigningJournal:
    """The journal of a signer, in a pool of its role (`open_pool(url, signer=True)`).

    Every method raises JournalUnavailable when Postgres does not answer, and ElectionUnknown for an election that is
    not opened. Those that write also raise AnotherSigner, CheckpointRefused and SignerTooFast.

    `record` returns heads, registries and publications: what is public. After a failover, a head may for a moment end
    before the newest checkpoint, until the standby has confirmed again; `Head.accepted` then says that the reports are
    there. So a record is shorter than what was signed only if `accepted` is.
    """

    def __init__(self, pool: Pool, *, require_standby: bool = False) -> None:
        self._pool = pool
        self._require_standby = require_standby
        self.record = PublicRecord(pool)
        self.logs = LogRecord(pool)

    async def begin_round(self, election: int, signer: str) -> Round:
        """Begin a round, named after the signer (up to 64 bytes), in a committed transaction of its own.

        When it returns, everything that this signer has read before is on the synchronous standby, if there is one.
        Raises CommittedLocally, a JournalUnavailable, if the wait for it was cut short, and StandbyMissing.
        """
        return Round(*await self._write(_BEGIN, election, signer, self._require_standby))

    async def begin_and_read(self, election: int, signer: str) -> tuple[Round, list[LogHead], list[Head]]:
        """Begin a round, and then read logs and heads from the same server, which therefore has everything they show.

        Raises as `begin_round` does.
        """
        with self._write_errors():
            async with acquired(self._pool) as connection:
                began = await _write(connection, _BEGIN, election, signer, self._require_standby)
                logs = await connection.fetch("SELECT * FROM valgnatt_public.logs()")
                heads = await connection.fetch("SELECT * FROM valgnatt_public.elections_v2()")
        return Round(*began), [LogHead(*row) for row in logs], [Head(*row) for row in heads]

    async def declare_log(
        self,
        election: int,
        history: int,
        fence: int,
        origin: str,
        vkeys: Sequence[str],
        witnesses: Sequence[str],
    ) -> bool:
        """Declare the origin, the keys (1 to 8) and the witnesses (up to 16) of the newest history.

        Return whether this changed anything. The origin of a history never changes.
        """
        row = await self._write(
            "SELECT valgnatt_signing.declare_log($1, $2, $3, $4, $5, $6)",
            election,
            history,
            fence,
            origin,
            list(vkeys),
            list(witnesses),
        )
        return bool(row[0])

    async def insert_checkpoint(
        self, election: int, history: int, fence: int, checkpoint: SignedCheckpoint
    ) -> bool:
        """Insert a checkpoint of the newest history, whose log is declared. Return False if it is there already.

        Raises CheckpointRefused unless it is larger than all others of its history, but not than the public record.
        """
        row = await self._write(
            "SELECT valgnatt_signing.insert_checkpoint($1, $2, $3, $4, $5, $6, $7)",
            election,
            history,
            fence,
            checkpoint.size,
            checkpoint.root,
            checkpoint.signed_at,
            checkpoint.note,
        )
        return bool(row[0])

    async def add_cosignature(self, election: int, history: int, cosignature: Cosignature) -> bool:
        """Add a cosignature of a declared witness, in place of an older one. Return False if there is one as new."""
        row = await self._write(
            "SELECT valgnatt_signing.add_cosignature($1, $2, $3, $4, $5, $6)",
            election,
            history,
            cosignature.size,
            cosignature.witness,
            cosignature.at,
            cosignature.line,
        )
        return bool(row[0])

    async def _write(self, statement: str, *arguments: object) -> asyncpg.Record:
        with self._write_errors():
            async with acquired(self._pool) as connection:
                return await _write(connection, statement, *arguments)

    @contextmanager
    def _write_errors(self) -> Iterator[None]:
        """Translate the errors of a write of the signer."""
        try:
            with translate_db_errors():
                yield
        except GatewayError as error:
            known = _ERRORS.get(getattr(error.__cause__, "sqlstate", None) or "")
            if known is None:
                raise
            raise known(str(error.__cause__)) from error.__cause__


async def _write(connection: Connection, statement: str, *arguments: object) -> asyncpg.Record:
    """Execute a statement, whose commit waits for the flush and the synchronous standby."""
    local = LocalCommit(connection)
    row = await connection.fetchrow(statement, *arguments)
    local.rule_out()
    assert row is not None
    return row
