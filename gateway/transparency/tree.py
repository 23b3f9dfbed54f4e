"""The Merkle tree of a log: entries are appended, roots and proofs of any size up to the present one are computed.

The tree keeps the hashes of tlog-tiles: those of all leaves, and those of every complete subtree of 256, 65 536, …
leaves. Everything between is computed when it is needed, from at most 256 hashes per level, so old sizes cost no more
than the newest. Knows nothing of where entries come from.

Sources: RFC 6962, section 2.1; C2SP tlog-tiles.
"""

import hashlib
from collections.abc import Iterable

from gateway.transparency.merkle import EMPTY_ROOT, HASH_SIZE, fold
from gateway.transparency.tiles import FULL, HEIGHT

_FULL_BYTES = FULL * HASH_SIZE
_sha256 = hashlib.sha256


class _Level:
    """The hashes of one level, from left to right: complete tiles as they are served, and the incomplete one."""

    __slots__ = ("full", "part")

    def __init__(self) -> None:
        self.full: list[bytes] = []
        self.part = bytearray()

    def append(self, node: bytes) -> None:
        self.part += node
        if len(self.part) == _FULL_BYTES:
            self.full.append(bytes(self.part))
            self.part = bytearray()

    def tile(self, index: int) -> bytes | bytearray:
        return self.full[index] if index < len(self.full) else self.part

    def truncate(self, width: int) -> None:
        """Keep the first `width` hashes."""
        tile, rest = divmod(width, FULL)
        if tile < len(self.full) or rest * HASH_SIZE < len(self.part):
            self.part = bytearray(self.tile(tile)[: rest * HASH_SIZE])
            del self.full[tile:]


class Tree:
    """A Merkle tree that grows at its end. Invariants:

    * `root()` is the root hash of RFC 6962 over the first `size` entries, for every size up to the present one.
    * It occupies at most 33 bytes per entry (from some 1 000 entries on), and keeps no entry.
    * An append costs one hash per entry besides the leaf's, in the long run; root and proofs cost at most some 300
      hashes per 256-fold of the size.
    """

    def __init__(self) -> None:
        self._size = 0
        self._levels: list[_Level] = [_Level()]
        self._subtrees: list[bytes] = []
        """The roots of the complete subtrees that the tree consists of, from the largest to the smallest."""

    @property
    def size(self) -> int:
        """How many entries the tree has."""
        return self._size

    def append(self, entry: bytes) -> None:
        """Append an entry; its hash is computed."""
        self.append_leaf(_sha256(b"\x00" + entry).digest())

    def append_leaf(self, leaf: bytes) -> None:
        """Append an entry by its leaf hash of 32 bytes. Raises ValueError if it has another length."""
        if len(leaf) != HASH_SIZE:
            raise ValueError(f"a leaf hash must have 32 bytes, not {len(leaf)}")
        self._levels[0].append(leaf)
        node, rest, height = leaf, self._size, 0
        while rest & 1:
            node = _sha256(b"\x01" + self._subtrees.pop() + node).digest()
            rest >>= 1
            height += 1
            if height % HEIGHT == 0:
                self._level(height // HEIGHT).append(node)
        self._subtrees.append(node)
        self._size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Append entries by their leaf hashes. Raises ValueError as `append_leaf` does; those before it stay."""
        for leaf in leaves:
            self.append_leaf(leaf)

    def leaf(self, index: int) -> bytes:
        """Return the leaf hash at an index. Raises IndexError."""
        if not 0 <= index < self._size:
            raise IndexError(f"index {index} is not in a tree of size {self._size}")
        start = index % FULL * HASH_SIZE
        return bytes(self._levels[0].tile(index // FULL)[start : start + HASH_SIZE])

    def root(self, size: int | None = None) -> bytes:
        """Return the root hash of the first `size` entries, of all by default. Raises IndexError beyond the tree."""
        if size is None or size == self._size:
            return fold(self._subtrees)
        self._require(size)
        return self._node(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the proof that the tree of `size` entries (all by default) has its leaf at `index`, siblings first.

        Raises IndexError if there is no such leaf or size. Source: RFC 6962, section 2.1.1.
        """
        size = self._size if size is None else size
        self._require(size)
        if not 0 <= index < size:
            raise IndexError(f"index {index} is not in a tree of size {size}")
        proof = []
        start, end = 0, size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                proof.append(self._node(middle, end))
                end = middle
            else:
                proof.append(self._node(start, middle))
                start = middle
        proof.reverse()
        return proof

    def consistency_proof(self, size1: int, size2: int | None = None) -> list[bytes]:
        """Return the proof that the tree of `size2` entries (all by default) begins with that of `size1` entries.

        It is empty from size 0 and between equal sizes. Raises IndexError unless size1 ≤ size2 ≤ `size`.
        Source: RFC 6962, section 2.1.2.
        """
        size2 = self._size if size2 is None else size2
        self._require(size2)
        if not 0 <= size1 <= size2:
            raise IndexError(f"size {size1} is not within size {size2}")
        if size1 in (0, size2):
            return []
        proof = []
        start, end = 0, size2
        while end != size1:
            middle = start + _split(end - start)
            if size1 <= middle:
                proof.append(self._node(middle, end))
                end = middle
            else:
                proof.append(self._node(start, middle))
                start = middle
        if start:
            proof.append(self._node(start, end))
        proof.reverse()
        return proof

    def tile(self, level: int, index: int, width: int = FULL) -> bytes:
        """Return the first `width` hashes of a tile. Raises IndexError if the tree does not have as many of it.

        Source: C2SP tlog-tiles, "Merkle Tree".
        """
        if (
            0 <= level < len(self._levels)
            and 0 <= index <= len(self._levels[level].full)
            and 1 <= width <= FULL
        ):
            data = self._levels[level].tile(index)
            if width * HASH_SIZE <= len(data):
                return bytes(data[: width * HASH_SIZE])
        raise IndexError(
            f"a tree of size {self._size} has no tile {index} of level {level} and width {width}"
        )

    def truncate(self, size: int) -> None:
        """Remove all entries but the first `size`. Raises IndexError beyond the tree."""
        self._require(size)
        for number, level in enumerate(self._levels):
            level.truncate(size >> HEIGHT * number)
        self._size = size
        self._subtrees = []
        start = 0
        for height in reversed(range(size.bit_length())):
            if size >> height & 1:
                self._subtrees.append(self._complete(start, height))
                start += 1 << height

    def _level(self, number: int) -> _Level:
        if number == len(self._levels):
            self._levels.append(_Level())
        return self._levels[number]

    def _require(self, size: int) -> None:
        if not 0 <= size <= self._size:
            raise IndexError(f"size {size} is beyond the tree of size {self._size}")

    def _node(self, start: int, end: int) -> bytes:
        """Return the hash over the entries from `start` to before `end`, a range as RFC 6962 splits trees."""
        subtrees = []
        for height in reversed(range((end - start).bit_length())):
            if end - start >> height & 1:
                subtrees.append(self._complete(start, height))
                start += 1 << height
        return fold(subtrees)

    def _complete(self, start: int, height: int) -> bytes:
        """Return the hash over 2 ** height entries from `start`, a multiple of that number."""
        level = height // HEIGHT
        first = start >> HEIGHT * level
        offset = first % FULL * HASH_SIZE
        data = bytes(
            self._levels[level].tile(first // FULL)[offset : offset + (HASH_SIZE << height % HEIGHT)]
        )
        while len(data) > HASH_SIZE:
            data = b"".join(
                _sha256(b"\x01" + data[at : at + 2 * HASH_SIZE]).digest()
                for at in range(0, len(data), 2 * HASH_SIZE)
            )
        return data


def _split(count: int) -> int:
    """Return the largest power of two below `count` (at least 2): where RFC 6962 splits a tree."""
    return 1 << (count - 1).bit_length() - 1
