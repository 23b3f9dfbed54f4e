"""A signer in this process, for tests of what it signs.

    async with signing(gateway.database, tmp_path) as signing_:
        checkpoint = await signing_.wait_covered(election)        # everything public so far, as SignedCheckpoint

An election needs a key: rehearsals get one by themselves; `create_key` makes that of a live one.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from gateway.election.log_record import LogHead, SignedCheckpoint
from gateway.journal.connection import open_pool
from gateway.journal.signing import SigningJournal
from gateway.signer.directory import SignDirectory
from gateway.signer.signer import Signer, Timing
from gateway.signer.witness_client import Witness
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.note import VerifierKey

LOG_NAME = "results.example.no"
WAIT_S = 30.0
"""The maximum time until a checkpoint covers what is public; normally about half a second."""


class SignerUrl(Protocol):
    """A database with the URL of the signer's login."""

    signer_url: str


class Signing:
    """A running signer, with its directory and what it has written."""

    def __init__(self, signer: Signer, directory: SignDirectory, journal: SigningJournal) -> None:
        self.signer = signer
        self.directory = directory
        self.journal = journal

    async def log(self, election: str) -> LogHead | None:
        """Return the newest history of an election, if it is opened."""
        return next((head for head in reversed(await self.journal.logs.heads()) if head.id == election), None)

    async def wait_covered(self, election: str, sequence: int | None = None) -> SignedCheckpoint:
        """Wait until a checkpoint covers the public record up to a sequence, by default up to its head now.

        If the log is closed, the checkpoint covers the closing entry too.
        """
        async with asyncio.timeout(WAIT_S):
            if sequence is None:
                heads = {head.id: head for head in await self.journal.record.heads()}
                sequence = heads[election].sequence
            while True:
                head = await self.log(election)
                if head is not None and head.size > sequence + (head.closing is not None):
                    return (await self.journal.logs.checkpoints(head.key, head.history, head.size - 1))[0]
                await asyncio.sleep(0.02)

    async def vkeys(self, election: str) -> list[VerifierKey]:
        """Return the keys of the newest history of an election."""
        log = self.directory.newest(election)
        assert log is not None
        return self.directory.keys(log).vkeys


def create_key(directory: Path, election: str, *, rehearsal: bool = False) -> SigningKey:
    """Create the key of an election's log, as `valgnatt key create` does."""
    sign_dir = SignDirectory(directory, LOG_NAME)
    return sign_dir.create(sign_dir.origin(election, 1, rehearsal=rehearsal))


@asynccontextmanager
async def signing(
    database: SignerUrl,
    directory: Path,
    witnesses: Sequence[Witness] = (),
    *,
    live: Sequence[str] = (),
    every_s: float = 0.1,
    full_read_s: float = 600.0,
    cosign_s: float = 60.0,
) -> AsyncIterator[Signing]:
    """Run a signer on a database until the block is left; the elections in `live` get keys unless they have them."""
    sign_dir = SignDirectory(directory, LOG_NAME)
    for election in live:
        if sign_dir.newest(election) is None:
            create_key(directory, election)
    async with open_pool(database.signer_url, signer=True, max_size=2) as pool:
        journal = SigningJournal(pool)
        signer = Signer(journal, sign_dir, witnesses, Timing(every_s, full_read_s, cosign_s), "test")
        with sign_dir.locked():
            running = asyncio.create_task(signer.run(), name="signer")
            try:
                yield Signing(signer, sign_dir, journal)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
