"""The entries of a log and their tree, and a checkpoint that is to agree with them."""

import zlib
from collections.abc import Iterator, Sequence

from gateway.mirror.parts import DoorDiffers
from gateway.transparency.checkpoint import Checkpoint, parse_checkpoint
from gateway.transparency.entries import Closing, MalformedEntry, Opening, parse_entry
from gateway.transparency.note import MalformedNote, VerifierKey, parse_note
from gateway.transparency.policy import Policy
from gateway.transparency.tiles import FULL, Tile, encode_bundle, tiles_of
from gateway.transparency.tree import Tree
from gateway.verification.failures import VerificationFailed
from gateway.verification.record_checks import ENTRIES_MAX, check_signatures

BUNDLES_MAX = 256 << 20
"""Bytes of entry bundles, compressed, that wait until the root is known."""


class Signed:
    """A checkpoint as it was read, and what it states."""

    def __init__(self, note: bytes, keys: Sequence[VerifierKey]) -> None:
        """Raises VerificationFailed (bad_signature); with keys, also if none of them has signed it."""
        self.note = note
        try:
            parsed = parse_note(note)
            self.checkpoint: Checkpoint = parse_checkpoint(parsed.text)
        except MalformedNote as error:
            raise VerificationFailed("bad_signature", f"not a signed checkpoint: {error}") from None
        self.signatures = len(parsed.signatures)
        if keys:
            check_signatures(note, Policy.of_keys(keys))
        if self.checkpoint.size > ENTRIES_MAX:
            raise VerificationFailed("unreachable", f"the log has more than {ENTRIES_MAX} entries")


class VerifiedLog:
    """The entries of a log as far as they were read, and their tree. Invariants:

    * Bundles wait here, compressed, until they are taken; `is_confirmed` says whether their root is the signed one.
    """

    def __init__(self) -> None:
        self.tree = Tree()
        self.opening: Opening | None = None
        self.closing: Closing | None = None
        self._last: list[bytes] = []
        """The entries of the incomplete bundle."""
        self._full: dict[int, bytes] = {}

    def add(self, entries: list[bytes]) -> None:
        """Append entries. Raises DoorDiffers for what no log has."""
        for entry in entries:
            index = self.tree.size
            try:
                found = parse_entry(entry)
            except MalformedEntry as error:
                raise DoorDiffers(f"entry {index} of the log: {error}") from None
            if self.closing is not None or isinstance(found, Opening) != (index == 0):
                raise DoorDiffers(f"entry {index} of the log is out of place")
            if isinstance(found, Opening):
                self.opening = found
            elif isinstance(found, Closing):
                self.closing = found
            self.tree.append(entry)
            self._last.append(entry)
            if len(self._last) == FULL:
                self._full[index // FULL] = zlib.compress(encode_bundle(self._last), 1)
                self._last = []
        if sum(map(len, self._full.values())) > BUNDLES_MAX:
            raise DoorDiffers(f"more than {BUNDLES_MAX >> 20} MiB of entries")

    @property
    def reports(self) -> int:
        """How many reports there are among the entries."""
        return max(0, self.tree.size - 1 - (self.closing is not None))

    def is_confirmed(self, checkpoint: Checkpoint) -> bool:
        """Whether the tree has the size and the root of a checkpoint."""
        return self.tree.size == checkpoint.size and self.tree.root() == checkpoint.root

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of every tile, and of the bundles that were not taken yet, below `log/`."""
        for tile in tiles_of(self.tree.size):
            assert tile.level is not None
            yield tile.path, self.tree.tile(tile.level, tile.index, tile.width)
        for index, packed in self._full.items():
            yield Tile(None, index).path, zlib.decompress(packed)
        if self._last:
            index, width = divmod(self.tree.size, FULL)
            yield Tile(None, index, width).path, encode_bundle(self._last)

    def taken(self) -> None:
        """Forget the full bundles, which were written."""
        self._full.clear()
