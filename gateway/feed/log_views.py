"""What readers are shown of a log: the newest checkpoint, and tiles and entries as far as it covers them.

Knows nothing of HTTP, and reads nothing from the record itself.
"""

from typing import Protocol

from gateway.election.log_record import LogHead
from gateway.feed.log_checkpoints import Checkpoints
from gateway.transparency.merkle import leaf_hash, root_of
from gateway.transparency.tiles import FULL, Tile, split_tile
from gateway.transparency.tree import Tree


class LogView(Protocol):
    """A history of a log, as it is shown at one moment."""

    @property
    def head(self) -> LogHead:
        """The history."""

    @property
    def number(self) -> int:
        """Different for every tree: with a tile, it identifies the bytes of an entry bundle."""

    @property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints, of which those up to `size` are shown."""

    @property
    def size(self) -> int:
        """The size of the newest checkpoint that is shown."""

    @property
    def covered(self) -> int:
        """How many entries can be read."""

    @property
    def reports(self) -> int:
        """The sequence of the last report that can be read."""

    @property
    def closing(self) -> bytes | None:
        """The closing entry, if the newest checkpoint covers it."""

    def hashes(self, tile: Tile) -> bytes:
        """Return a tile of hashes that ends within `covered`, or the leaf hashes of an entry bundle."""

    def inclusion_proof(self, index: int, /) -> list[bytes] | None:
        """Return the proof that the newest checkpoint covers an entry; None if it cannot be made any more."""


class CurrentLog:
    """The newest history, up to a checkpoint with the root of the tree of this process."""

    def __init__(
        self,
        head: LogHead,
        number: int,
        tree: Tree,
        checkpoints: Checkpoints,
        size: int,
        closing: bytes | None,
    ) -> None:
        self.head = head
        self.number = number
        self.checkpoints = checkpoints
        self.size = self.covered = size
        self.closing = closing
        self.reports = size - 1 - (closing is not None)
        self._tree = tree
        self.root = tree.root(size)

    def hashes(self, tile: Tile) -> bytes:
        """See LogView."""
        return self._tree.tile(tile.level or 0, tile.index, tile.width)

    def inclusion_proof(self, index: int) -> list[bytes] | None:
        """See LogView."""
        return self._tree.inclusion_proof(index, self.size)

    def root_at(self, size: int) -> bytes:
        """Return the root of the first entries, up to `size`."""
        return self._tree.root(size)


class EarlierLog:
    """A history before the newest: its own opening, and the reports that it shares with all later ones.

    Its tiles are those of the newest history but for the first hash of the first tile of each level.
    """

    def __init__(self, head: LogHead, checkpoints: Checkpoints, shared: int, newest: CurrentLog) -> None:
        """`shared` is the number of reports that this history and all later ones have."""
        self.head = head
        self.checkpoints = checkpoints
        self.size = checkpoints.newest
        self.reports = min(shared, newest.reports, max(0, self.size - 1))
        self.covered = min(self.size, self.reports + 1)
        self.closing: bytes | None = None
        self.number = -newest.number
        self._newest = newest

    def hashes(self, tile: Tile) -> bytes:
        """See LogView."""
        hashes = self._newest.hashes(tile)
        return self._first(tile.level or 0) + hashes[32:] if tile.index == 0 else hashes

    def _first(self, level: int) -> bytes:
        """Return the first hash of a level."""
        if level == 0:
            return leaf_hash(self.head.opening)
        return root_of(split_tile(self.hashes(Tile(level - 1, 0)), FULL))

    def inclusion_proof(self, _: int) -> list[bytes] | None:
        """See LogView: the entries that are lost would be needed."""
        return None
