"""The tree of an election's log as the signer reads it: entries in order, compared with what it read before.

Takes no digest and no root from the database. The chain is computed from the entries as well, and shows whether what is
read now continues what was read before. PURE.
"""

from collections.abc import Sequence
from hashlib import sha256

from gateway.election.record import CHAIN_START, next_chain
from gateway.signer.steps import Shown, Signed
from gateway.transparency.merkle import leaf_hash
from gateway.transparency.tree import Tree


class Changed(Exception):
    """An entry that was signed has been changed; `index` is its index."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


class RecordTree:
    """The tree over the opening entry, the reports and the closing entry. Invariants:

    * `tree` has the opening entry, the reports up to `sequence`, and the closing entry if `closed`.
    * `chain` is that of report `sequence`, computed from the entries.
    """

    def __init__(self) -> None:
        self.tree = Tree()
        self.sequence = 0
        self.chain = CHAIN_START
        self.closed = False

    @property
    def size(self) -> int:
        """How many entries the tree has."""
        return self.tree.size

    def has(self, signed: Signed) -> bool:
        """Whether the first entries of the tree have this root."""
        return signed.size <= self.size and self.tree.root(signed.size) == signed.root

    def follows(self, shown: Shown) -> bool:
        """Whether what the database shows can only continue what was read."""
        if shown.opening is None or not self.size or self.tree.leaf(0) != leaf_hash(shown.opening):
            return False
        if shown.sequence == self.sequence:
            return shown.chain == self.chain
        return shown.sequence > self.sequence

    def is_all_of(self, shown: Shown) -> bool:
        """Whether the tree has exactly the entries that the database shows."""
        closing = None if shown.closing is None else leaf_hash(shown.closing)
        same_end = closing == (self.tree.leaf(self.size - 1) if self.closed else None)
        return self.follows(shown) and shown.sequence == self.sequence and same_end

    def first_difference(self, after: int, bodies: Sequence[bytes]) -> int | None:
        """Return the index of the first of the reports after a sequence that is not the one in the tree."""
        for index, body in enumerate(bodies, after + 1):
            if leaf_hash(body) != self.tree.leaf(index):
                return index
        return None

    def reopen(self) -> None:
        """Remove the closing entry, if there is one."""
        if self.closed:
            self.tree.truncate(self.size - 1)
            self.closed = False

    def append(self, bodies: Sequence[bytes]) -> None:
        """Append the reports after `sequence`."""
        chain, tree = self.chain, self.tree
        for body in bodies:
            tree.append(body)
            chain = next_chain(chain, sha256(body).digest())
        self.chain = chain
        self.sequence += len(bodies)

    def close(self, closing: bytes | None) -> None:
        """Append the closing entry, if there is one."""
        if closing is not None and not self.closed:
            self.tree.append(closing)
            self.closed = True


class FullRead:
    """Compares all entries, from the first, with the tree, and puts those in it that are new or differ.

    An entry below `verified`, the size up to which the tree is known to be what was signed, must not differ: then
    Changed is raised, and the tree keeps what was signed. It can be given up between two calls.
    """

    def __init__(self, record: RecordTree, opening: bytes, verified: int) -> None:
        self._record = record
        self._verified = verified
        self._chain = CHAIN_START
        self._differs = False
        self.sequence = 0
        record.reopen()
        self._put(0, leaf_hash(opening))
        self._keep()

    def compare(self, bodies: Sequence[bytes]) -> None:
        """Compare the next reports. Raises Changed."""
        for index, body in enumerate(bodies, self.sequence + 1):
            self._put(index, leaf_hash(body))
            self._chain = next_chain(self._chain, sha256(body).digest())
        self.sequence += len(bodies)
        self._keep()

    def end(self) -> None:
        """Remove from the tree what follows the entries that were read."""
        self._differs = True
        self._record.tree.truncate(self.sequence + 1)
        self._keep()

    def _put(self, index: int, leaf: bytes) -> None:
        tree = self._record.tree
        if index < tree.size:
            if tree.leaf(index) == leaf:
                return
            if index < self._verified:
                raise Changed(index)
            tree.truncate(index)
        self._differs = True
        tree.append_leaf(leaf)

    def _keep(self) -> None:
        if self._differs:
            self._record.sequence, self._record.chain = self.sequence, self._chain
