"""The copy of one log: entries up to a cosigned checkpoint, read from the feed door and checked against its root.

What a copy is and how it is written is in `verification.copies` and `verification.saving`. Only what was signed and
cosigned is required here: the root hash, the registry that the opening entry names, and publications that are those of
the entries. Whether reports are in order is for those who verify the copy: one that is not must be kept all the same.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.election.record import CHAIN_START, next_chain
from gateway.election.report import digest_of
from gateway.errors import GatewayError
from gateway.transparency.checkpoint import Checkpoint
from gateway.transparency.entries import MalformedEntry, parse_opening, registry_hash
from gateway.transparency.note import parse_note
from gateway.transparency.policy import Policy
from gateway.transparency.tree import Tree
from gateway.verification.copies import CHECKPOINT, Copy, PublicationLine, SignedRecord
from gateway.verification.failures import VerificationFailed
from gateway.verification.record_checks import TrustedCheckpoint, check_root, check_signatures
from gateway.verification.saved_state import Saved
from gateway.verification.saving import SavingRecord
from gateway.witness.state import CosignedCheckpoint

FREE_MIN = 512 << 20
"""Free bytes on the disk of the copy below which nothing more is copied."""
_DIGEST = 32


class MirrorFull(GatewayError):
    """The disk of the copies has too little room for more."""

    code = "mirror_full"


Cosigned = Callable[[int], CosignedCheckpoint | None]
"""Returns the largest cosigned checkpoint up to a size."""


class MirroredLog:
    """One log and its copy. Invariant: what `log/checkpoint` of the copy covers hashes to a root that was cosigned."""

    def __init__(self, record: SignedRecord, directory: Path, policy: Policy, cosigned: Cosigned) -> None:
        self._record = record
        self._copy = Copy(directory)
        self._policy = policy
        self._cosigned = cosigned
        self._begin_again()

    def _begin_again(self) -> None:
        self._saving: SavingRecord | None = None
        self.tree = Tree()
        self._opening = b""
        self._digests = bytearray()
        self._published, self._chain = 0, CHAIN_START
        self.size = 0
        """The size of the checkpoint of the copy."""
        self._signatures = 0

    async def update(self) -> TrustedCheckpoint:
        """Copy up to the newest cosigned checkpoint that the feed door shows; return the checkpoint that it shows.

        Raises VerificationFailed, MirrorFull, and BadState if the copy cannot be used. A later call continues.
        """
        saving = self._saving or await self._begin()
        shown = check_signatures(await self._record.checkpoint(), self._policy)
        target = self._cosigned(shown.checkpoint.size)
        if target is not None and target.size > self.size:
            await self._copy_up_to(saving, target, shown)
        elif shown.checkpoint.size == self.size and len(shown.note.signatures) > self._signatures:
            self._copy.write(CHECKPOINT, shown.data)  # with cosignatures that came later
            self._signatures = len(shown.note.signatures)
        return shown

    async def _begin(self) -> SavingRecord:
        """Read what the copy has. Raises BadState if it is damaged."""
        self._begin_again()
        saving = SavingRecord(self._record, self._copy)
        saved = await saving.begin(self._policy)
        if saved is not None:
            async for entries in self._copy.entries(saved.checkpoint.size):
                self._add(entries)
            self.size, self._signatures = saved.checkpoint.size, len(parse_note(saved.note).signatures)
            async for lines in self._copy.publications(0, self.size):
                self._check(lines)
        self._saving = saving
        return saving

    async def _copy_up_to(
        self, saving: SavingRecord, target: CosignedCheckpoint, shown: TrustedCheckpoint
    ) -> None:
        checkpoint = Checkpoint(target.origin, target.size, target.root)
        try:
            async for entries in saving.entries(target.size, self.tree.size):
                self._require_room()
                self._add(entries)
            check_root(checkpoint, self.tree)
        except VerificationFailed as failure:
            if failure.code == "root_mismatch":
                saving.discard_unverified()
                self._saving = None  # begin with what the copy has
            raise
        self._check_registry(await saving.registry())
        async for lines in saving.publications(self._published, target.size - 1):
            self._check(lines)
        same = shown.checkpoint == checkpoint
        note = shown.data if same else target.note + target.line.encode()
        await saving.save(Saved(note, checkpoint, self.tree), self._policy)
        self.size, self._signatures = target.size, len(parse_note(note).signatures)

    def _add(self, entries: Sequence[bytes]) -> None:
        for entry in entries:
            if self.tree.size == 0:
                self._opening = entry
            else:
                self._digests += digest_of(entry)
            self.tree.append(entry)

    def _check(self, lines: Sequence[PublicationLine]) -> None:
        """Require publications that are those of the entries. Raises VerificationFailed (chain_mismatch)."""
        for line in lines:
            digest = bytes(self._digests[_DIGEST * self._published : _DIGEST * (self._published + 1)])
            chain = next_chain(self._chain, digest)
            if (line.sequence, line.digest, line.chain) != (self._published + 1, digest.hex(), chain.hex()):
                text = f"{self._record.where}: publication {line.sequence} is not that of the entries"
                raise VerificationFailed("chain_mismatch", text)
            self._published, self._chain = line.sequence, chain

    def _check_registry(self, document: bytes) -> None:
        try:
            named = parse_opening(self._opening).registry
        except MalformedEntry as error:
            raise VerificationFailed(
                "registry_mismatch", f"entry 0 is not an opening entry: {error}"
            ) from None
        if registry_hash(document) != named:
            text = f"{self._record.where}: the registry is not the one that the opening entry names"
            raise VerificationFailed("registry_mismatch", text)

    def _require_room(self) -> None:
        self._copy.directory.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(self._copy.directory).free) < FREE_MIN:
            raise MirrorFull(
                f"{self._copy.directory}: only {free >> 20} MiB are free on its disk, and {FREE_MIN >> 20} MiB are kept"
            )
