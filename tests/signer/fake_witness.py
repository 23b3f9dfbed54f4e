"""A witness in memory, for tests of the signer: it decides as a real one does, and fails as it is set to."""

from collections.abc import Sequence

from gateway.signer.witness_client import (
    Answer,
    Conflict,
    Cosigned,
    Newest,
    NewestAnswer,
    NotOffered,
    Refused,
    Unreachable,
)
from gateway.transparency.checkpoint import Checkpoint, parse_checkpoint
from gateway.transparency.cosignature import cosign
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.merkle import EMPTY_ROOT, ProofInvalid, verify_consistency
from gateway.transparency.note import COSIGNATURE, Note, parse_note


class FakeWitness:
    """Cosigns what is consistent with what it cosigned, and keeps every submission for the test to look at."""

    def __init__(
        self, name: str = "witness.example/fake", *, seed: int = 7, offers_newest: bool = True
    ) -> None:
        self.key = SigningKey(name, COSIGNATURE, bytes([seed]) * 32)
        self.vkey = self.key.vkey
        self.now = 1_800_000_000
        """The clock of the witness, in seconds since the epoch."""
        self.unreachable = False
        """Whether it does not answer."""
        self.offers_newest = offers_newest
        self.newest_by_origin: dict[str, Newest] = {}
        self.submitted: list[tuple[str, int, Checkpoint]] = []
        """Origin, old size and checkpoint of every submission that arrived."""

    async def submit(
        self, origin: str, old_size: int, consistency_proof: Sequence[bytes], note: bytes
    ) -> Answer:
        """Answer as C2SP tlog-witness says."""
        if self.unreachable:
            return Unreachable("the witness is switched off")
        parsed = parse_note(note)
        checkpoint = parse_checkpoint(parsed.text)
        self.submitted.append((origin, old_size, checkpoint))
        if checkpoint.origin != origin:
            return Refused("unknown log", 404)
        known = self.newest_by_origin.get(origin)
        size, root = (known.checkpoint.size, known.checkpoint.root) if known else (0, EMPTY_ROOT)
        if old_size > checkpoint.size:
            return Refused("the old size is larger", 400)
        if old_size != size:
            return Conflict(size)
        if checkpoint.size == size and checkpoint.root != root:
            return Refused("another root for this size", 409, inconsistent=True)
        try:
            verify_consistency(size, root, checkpoint.size, checkpoint.root, tuple(consistency_proof))
        except ProofInvalid as error:
            return Refused(str(error), 422, inconsistent=True)
        signature = cosign(self.key, parsed.text, self.now)
        cosigned = Note(parsed.text, (*parsed.signatures, signature))
        self.newest_by_origin[origin] = Newest(checkpoint, cosigned, self.now)
        return Cosigned(signature.line, self.now)

    async def newest(self, origin: str) -> NewestAnswer:
        """Return the newest checkpoint that it cosigned."""
        if self.unreachable:
            return Unreachable("the witness is switched off")
        if not self.offers_newest:
            return NotOffered()
        return self.newest_by_origin.get(origin, NotOffered())

    async def close(self) -> None:
        """Do nothing: there are no connections."""
