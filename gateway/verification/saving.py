"""Keep a copy of a record while it is verified, so that an interrupted run is continued.

Full entry bundles are kept as they are read, publications once they agree with the entries, and everything else once
the checkpoint that covers it is verified; the checkpoint is written last. So what `log/checkpoint` of the copy covers
was verified, and a bundle beyond it may be wrong: it is removed if the entries do not lead to the signed root.
"""

import shutil
from collections.abc import AsyncIterator, Sequence
from itertools import chain

import msgspec

from gateway.transparency.policy import Policy
from gateway.transparency.tiles import FULL, Tile, bundles_of, tiles_of
from gateway.transparency.tree import Tree
from gateway.verification.copies import (
    CHECKPOINT,
    CHECKPOINTS,
    PUBLICATIONS,
    REGISTRY,
    CheckpointLine,
    Copy,
    PublicationLine,
    ShownAreas,
    SignedRecord,
    reason_of,
)
from gateway.verification.failures import NotThere, VerificationFailed
from gateway.verification.record_checks import check_earlier, check_root, check_signatures
from gateway.verification.saved_state import BadState, Saved

LINES = 1000
"""Checkpoints that are appended at a time."""


class SavingRecord(SignedRecord):
    """A record that is kept in a copy as it is read. Raises BadState if the copy cannot be written."""

    def __init__(self, record: SignedRecord, copy: Copy) -> None:
        self.where = record.where
        self.is_door, self.has_publications = record.is_door, record.has_publications
        self.shows_areas = record.shows_areas
        self._record = record
        self._copy = copy
        self._saved_size = 0
        self._partial: tuple[Tile, bytes] | None = None
        self._registry = b""
        """The registry that was read, until it is kept."""
        self._last_publication = 0
        self._last_checkpoint = 0

    async def begin(self, policy: Policy) -> Saved | None:
        """Verify what the copy has; return its checkpoint, None if there is none. Raises VerificationFailed, BadState.

        Only signatures and entries are verified: everything else is, together with what is new.
        """
        try:
            async for checkpoint in self._copy.checkpoints():
                self._last_checkpoint = checkpoint.size
            async for lines in self._copy.publications(0, 1 << 62):
                self._last_publication = lines[-1].sequence
            return await self._read(policy)
        except VerificationFailed as error:
            text = f"the copy {self._copy.where} is damaged: {error}; save to another directory"
            raise BadState(text) from None

    async def _read(self, policy: Policy) -> Saved | None:
        try:
            note = await self._copy.checkpoint()
        except NotThere:
            return None
        signed = check_signatures(note, policy)
        tree = Tree()
        async for entries in self._copy.entries(signed.checkpoint.size):
            for entry in entries:
                tree.append(entry)
        check_root(signed.checkpoint, tree)
        self._saved_size = tree.size
        return Saved(signed.data, signed.checkpoint, tree)

    async def checkpoint(self) -> bytes:
        """Return the newest checkpoint of the record itself."""
        return await self._record.checkpoint()

    def checkpoints(self, after: int = 0) -> AsyncIterator[CheckpointLine]:
        """Yield the checkpoints of the record itself."""
        return self._record.checkpoints(after)

    async def tile(self, level: int, index: int, width: int = FULL) -> bytes:
        """Return a tile of the record itself."""
        return await self._record.tile(level, index, width)

    async def bundle(self, index: int, width: int = FULL) -> bytes:
        """Return an entry bundle: a full one from the copy if it has it."""
        if width == FULL:
            try:
                return await self._copy.bundle(index)
            except NotThere:
                pass
        content = await self._record.bundle(index, width)
        if width == FULL:
            self._write(f"log/{Tile(None, index).path}", content)
        else:
            self._partial = Tile(None, index, width), content
        return content

    async def registry(self) -> bytes:
        """Return the registry of the record itself."""
        self._registry = await self._record.registry()
        return self._registry

    async def publications(self, after: int, last: int) -> AsyncIterator[list[PublicationLine]]:
        """Yield the publications of the record itself; those that the reader was content with are kept."""
        async for lines in self._record.publications(after, last):
            yield lines
            new = [each for each in lines if each.sequence > self._last_publication]
            without_report = [msgspec.structs.replace(each, report=msgspec.UNSET) for each in new]
            if new and new[0].sequence == self._last_publication + 1:
                self._append(PUBLICATIONS, without_report)
                self._last_publication = new[-1].sequence

    async def areas(self, levels: Sequence[str], since: ShownAreas | None = None) -> ShownAreas:
        """Return what the feed door shows."""
        return await self._record.areas(levels, since)

    async def save(self, saved: Saved, policy: Policy) -> None:
        """Complete the copy up to a checkpoint that was verified. Raises VerificationFailed (forked), BadState."""
        size, tree = saved.checkpoint.size, saved.tree
        await self._save_checkpoints(saved, policy)
        if self._registry:
            self._write(REGISTRY, self._registry)
            self._registry = b""
        for tile in tiles_of(size):
            if tile.level is not None:
                self._write_if_new(f"log/{tile.path}", tree.tile(tile.level, tile.index, tile.width))
        if self._partial is not None and self._partial[0].end == size:
            tile, content = self._partial
            self._write_if_new(f"log/{tile.path}", content)
        self._write(CHECKPOINT, saved.note)
        if self._saved_size != size:
            self._remove_partial(self._saved_size, size)
        self._saved_size = size

    def discard_unverified(self) -> None:
        """Remove the bundles that no verified checkpoint covers, as one of them may be wrong."""
        number = self._saved_size // FULL
        while (path := self._copy.directory / f"log/{Tile(None, number).path}").exists():
            path.unlink(missing_ok=True)
            number += 1

    async def _save_checkpoints(self, saved: Saved, policy: Policy) -> None:
        """Keep every checkpoint up to this one, after verifying that none contradicts it."""
        size, lines = saved.checkpoint.size, list[CheckpointLine]()
        newest = check_signatures(saved.note, policy)
        try:
            async for line in self._record.checkpoints(self._last_checkpoint):
                if line.size > size:
                    break
                earlier = check_signatures(line.note.encode(), policy)
                if earlier.checkpoint.size != line.size:
                    raise VerificationFailed("bad_signature", f"{self.where}: checkpoints with other notes")
                check_earlier(earlier, newest, saved.tree)
                lines.append(line)
        except NotThere:
            pass  # a copy may have only the newest one
        for at in range(0, len(lines), LINES):
            self._append(CHECKPOINTS, lines[at : at + LINES])
            self._last_checkpoint = lines[at : at + LINES][-1].size

    def _remove_partial(self, earlier: int, size: int) -> None:
        """Remove the incomplete tiles and bundles of an earlier size that this one does not have."""
        kept = {tile.path for tile in chain(tiles_of(size), bundles_of(size))}
        for tile in chain(tiles_of(earlier), bundles_of(earlier, earlier - 1 if earlier else 0)):
            if tile.width < FULL and tile.path not in kept:
                path = self._copy.directory / f"log/{tile.path}"
                path.unlink(missing_ok=True)
                if tile.path.rpartition("/")[0] not in {each.rpartition("/")[0] for each in kept}:
                    shutil.rmtree(path.parent, ignore_errors=True)

    def _write_if_new(self, path: str, content: bytes) -> None:
        if not (self._copy.directory / path).exists():
            self._write(path, content)

    def _write(self, path: str, content: bytes) -> None:
        try:
            self._copy.write(path, content)
        except OSError as error:
            raise BadState(f"{self._copy.where}/{path}: {reason_of(error)}") from None

    def _append(self, path: str, lines: Sequence[CheckpointLine | PublicationLine]) -> None:
        try:
            self._copy.append(path, lines)
        except OSError as error:
            raise BadState(f"{self._copy.where}/{path}: {reason_of(error)}") from None
