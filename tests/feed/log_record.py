"""The logs of a record that a test writes and signs; they answer like the database."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from gateway.election.log_record import Cosignature, LogHead, SignedCheckpoint
from gateway.election.record import Publication
from gateway.errors import JournalUnavailable
from gateway.transparency.checkpoint import Checkpoint
from gateway.transparency.cosignature import cosign
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.entries import Closing, Opening, Previous, registry_hash
from gateway.transparency.merkle import leaf_hash, root_of
from gateway.transparency.note import COSIGNATURE, ED25519

SIGNED_AT = datetime(2025, 9, 8, 19, 5, tzinfo=UTC)
WITNESSES = [SigningKey(f"witness{n}.example.no", COSIGNATURE, bytes([n]) * 32) for n in (1, 2)]


class WrittenLog:
    """One history, with its key: a list of entries, of which some sizes are signed."""

    def __init__(
        self, election: str, registry: bytes, *, key: int = 1, previous: Previous | None = None
    ) -> None:
        history = 1 if previous is None else 2
        origin = f"example.no/live/{election}" + (f"/{history}" if history > 1 else "")
        self.key = SigningKey(origin, ED25519, bytes([history]) * 32)
        self.entries = [
            Opening(
                election=election,
                history=history,
                opened_at="2025-09-08T18:00:00Z",
                previous=previous,
                registry=registry_hash(registry),
                rehearsal=False,
            ).encode()
        ]
        self.head = LogHead(
            key, election, history, self.entries[0], None, origin, (str(self.key.vkey),), (), 0, 0
        )
        self.checkpoints: list[SignedCheckpoint] = []
        self.cosignatures: dict[tuple[int, str], Cosignature] = {}

    def add(self, publications: Iterable[Publication]) -> None:
        """Add reports as entries."""
        self.entries += [each.body for each in publications]

    def close(self, last: Publication) -> None:
        """Add the closing entry."""
        closing = Closing(
            chain=last.chain.hex(), closed_at="2025-09-09T03:00:00Z", sequence=last.sequence
        ).encode()
        self.entries.append(closing)
        self.change(closing=closing)

    def root(self, size: int) -> bytes:
        return root_of(map(leaf_hash, self.entries[:size]))

    def signed(self, size: int, root: bytes | None = None) -> SignedCheckpoint:
        """Return the checkpoint of a size, signed, with the true root or another."""
        checkpoint = Checkpoint(self.key.vkey.name, size, root or self.root(size))
        note = checkpoint.signed_by(self.key).encode().decode()
        return SignedCheckpoint(size, checkpoint.root, SIGNED_AT, note)

    def sign(self, size: int | None = None, root: bytes | None = None) -> SignedCheckpoint:
        """Sign a size, all entries by default, and insert the checkpoint."""
        checkpoint = self.signed(len(self.entries) if size is None else size, root)
        self.checkpoints.append(checkpoint)
        self.change(size=checkpoint.size)
        return checkpoint

    def cosign(self, size: int, witness: SigningKey, at: int = 1_757_358_300) -> str:
        """Insert a cosignature; return its line."""
        (checkpoint,) = (each for each in self.checkpoints if each.size == size)
        line = cosign(witness, checkpoint.note.partition("\n\n")[0] + "\n", at).line.rstrip("\n")
        found = Cosignature(size, str(witness.vkey), datetime.fromtimestamp(at, UTC), line)
        self.cosignatures[size, found.witness] = found
        self.change()
        return line

    def change(self, **members: object) -> None:
        """Change members of the head."""
        self.head = msgspec.structs.replace(self.head, changes=self.head.changes + 1, **members)


class FakeLogs:
    """The histories of elections, in order."""

    def __init__(self, *logs: WrittenLog) -> None:
        self.logs = [*logs]
        self.fails = False
        self.reads: list[tuple[int, int]] = []
        """After which size, and how many, of each read of checkpoints."""

    def _of(self, history: int) -> WrittenLog:
        return next(each for each in self.logs if each.head.history == history)

    async def heads(self) -> list[LogHead]:
        await self._answer()
        return [each.head for each in self.logs]

    async def checkpoints(self, election: int, history: int, after: int, most: int) -> list[SignedCheckpoint]:
        await self._answer()
        self.reads.append((after, most))
        return [each for each in self._of(history).checkpoints if each.size > after][:most]

    async def cosignatures(self, election: int, history: int, after: int, until: int) -> list[Cosignature]:
        await self._answer()
        return [each for each in self._of(history).cosignatures.values() if after < each.size <= until]

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self.fails:
            raise JournalUnavailable("away")
