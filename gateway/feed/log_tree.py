"""PURE: the Merkle tree of one election's record, from the bytes of its entries, in step with what a feed applies.

While publications are applied, only their leaf hashes are computed. The hashes above them follow when a checkpoint is
to be compared, in steps, so that they do not delay the feed.
"""

from collections.abc import Generator, Iterable
from itertools import count

from gateway.election.record import Publication
from gateway.transparency.entries import MalformedEntry, parse_closing
from gateway.transparency.merkle import HASH_SIZE, leaf_hash
from gateway.transparency.tiles import FULL
from gateway.transparency.tree import Tree

STEP = 1000
"""Leaf hashes that are added to the tree in one step, about 2 ms."""

_numbers = count(1)


class AppliedTree:
    """The entries of a record, as far as this process has applied it. Invariants:

    * The entry at index n is the report of sequence n; index 0 is the opening, and no entry follows the closing.
    * It takes at most 33 bytes for each entry, and keeps none of the reports.
    """

    def __init__(self) -> None:
        self.opening: bytes | None = None
        self.closing: bytes | None = None
        self.reports = 0
        """The sequence of the last report that was added."""
        self._waiting = bytearray(HASH_SIZE)
        """The leaf hashes of the entries after those in the tree; zeros for the opening before it is known."""
        self._begin()

    def _begin(self) -> None:
        self.tree = Tree()
        self.number = next(_numbers)
        """Different for every tree."""
        self.closing = None
        self._last: int | None = None
        """The sequence of the report before the closing entry."""
        self.closed = False
        """Whether the closing entry is in the tree."""

    def add(self, publications: Iterable[Publication]) -> None:
        """Add the next publications that were applied."""
        leaves = [leaf_hash(each.body) for each in publications]
        self._waiting += b"".join(leaves)
        self.reports += len(leaves)

    def open(self, opening: bytes) -> None:
        """Set the opening entry. If it was another one, the tree is made again."""
        if opening == self.opening:
            return
        if self.opening is not None:
            self._waiting = self._leaves()
            self._begin()
        self.opening = opening
        self._waiting[:HASH_SIZE] = leaf_hash(opening)

    def close(self, closing: bytes) -> bool:
        """Set the closing entry, before or after the reports that precede it are applied.

        Return whether it can be the closing entry of this record: it is one, the first one, and no report follows it.
        """
        if self.closing is None:
            try:
                self._last = parse_closing(closing).sequence
            except MalformedEntry:
                return False
            self.closing = closing
        return closing == self.closing and self._last is not None and self.reports <= self._last

    @property
    def size(self) -> int:
        """How many entries are known, so that a checkpoint of that size can be compared; 0 before the opening."""
        if self.opening is None:
            return 0
        return self.tree.size if self.closed else self.reports + 1 + (self._last == self.reports)

    def grow(self, size: int) -> Generator[None, None, None]:
        """Extend the tree to the first `size` entries, or to those that are known, in steps."""
        while (most := min(size, self.size) - self.tree.size) > 0:
            if self._waiting:
                taken = bytes(self._waiting[: min(STEP, most) * HASH_SIZE])
                self.tree.extend(taken[at : at + HASH_SIZE] for at in range(0, len(taken), HASH_SIZE))
                del self._waiting[: len(taken)]
            else:
                assert self.closing is not None
                self.tree.append(self.closing)
                self.closed = True
            yield

    def leaf(self, index: int) -> bytes | None:
        """Return the leaf hash of an entry; None if it is not known."""
        if index < self.tree.size:
            return self.tree.leaf(index)
        if index == 0 and self.opening is None:
            return None
        start = (index - self.tree.size) * HASH_SIZE
        return bytes(self._waiting[start : start + HASH_SIZE]) or None

    def _leaves(self) -> bytearray:
        """Return the leaf hashes of the opening and of all reports."""
        in_tree = self.tree.size - self.closed
        leaves = bytearray()
        for start in range(0, in_tree, FULL):
            leaves += self.tree.tile(0, start // FULL, min(FULL, in_tree - start))
        return leaves + self._waiting
