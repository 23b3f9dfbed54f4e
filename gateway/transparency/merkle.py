"""Hashes of a Merkle tree and the verification of its proofs, without the tree.

Every hash is 32 bytes; others are refused. Everything that is verified here may come from an adversary: the cost is
bounded by the length of a proof, of which at most 63 hashes are ever hashed.

Source: RFC 6962, section 2.1; algorithms of verification: RFC 9162, sections 2.1.3.2 and 2.1.4.2.
"""

import hashlib
from collections.abc import Iterable, Sequence

from gateway.errors import GatewayError

HASH_SIZE = 32
SIZE_MAX = 2**63 - 1
"""The largest size of a tree; C2SP implementations store sizes as signed 64-bit integers."""
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root hash of a tree without entries (RFC 6962, section 2.1)."""

_sha256 = hashlib.sha256


class ProofInvalid(GatewayError):
    """A proof that does not show what it is to show; the message says which part of it is wrong."""

    code = "proof_invalid"


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry as a leaf: SHA-256(0x00 ‖ entry). Source: RFC 6962, section 2.1."""
    return _sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256(0x01 ‖ left ‖ right). Source: RFC 6962, section 2.1."""
    return _sha256(b"\x01" + left + right).digest()


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root hash of the tree with these leaf hashes, in one pass and in memory for 64 hashes.

    Raises ValueError if one of them is not 32 bytes. Source: RFC 6962, section 2.1.
    """
    subtrees: list[bytes] = []
    for size, leaf in enumerate(leaf_hashes):
        if len(leaf) != HASH_SIZE:
            raise ValueError(f"a leaf hash must have 32 bytes, not {len(leaf)}")
        node, rest = leaf, size
        while rest & 1:
            node = node_hash(subtrees.pop(), node)
            rest >>= 1
        subtrees.append(node)
    return fold(subtrees)


def fold(subtrees: Sequence[bytes]) -> bytes:
    """Return the root hash over complete subtrees of falling size, from left to right; of none, that of no entries."""
    if not subtrees:
        return EMPTY_ROOT
    node = subtrees[-1]
    for left in reversed(subtrees[:-1]):
        node = node_hash(left, node)
    return node


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Verify that the tree of `size` entries with this root has the leaf hash `leaf` at `index` (from 0).

    `proof` starts at the sibling of the leaf. Raises ProofInvalid. Source: RFC 9162, section 2.1.3.2.
    """
    _require_size(size)
    _require_hashes(proof, leaf=leaf, root=root)
    if not 0 <= index < size:
        raise ProofInvalid(f"the index is not in a tree of size {size}")
    node, last, hashed = leaf, size - 1, 0
    while last:
        if index & 1 or index != last:
            if hashed == len(proof):
                raise ProofInvalid(f"the proof has too few hashes: {len(proof)}")
            sibling = proof[hashed]
            hashed += 1
            node = node_hash(sibling, node) if index & 1 else node_hash(node, sibling)
        index >>= 1
        last >>= 1
    if hashed != len(proof):
        raise ProofInvalid(f"the proof has too many hashes: {len(proof)} instead of {hashed}")
    if node != root:
        raise ProofInvalid("the proof leads to another root")


def verify_consistency(size1: int, root1: bytes, size2: int, root2: bytes, proof: Sequence[bytes]) -> None:
    """Verify that the tree of `size2` entries with `root2` begins with that of `size1` entries with `root1`.

    From size 0, only the root of the empty tree and an empty proof are accepted; between equal sizes, only equal roots
    and an empty proof. Raises ProofInvalid. Source: RFC 9162, section 2.1.4.2; C2SP tlog-witness for size 0.
    """
    _require_size(size1)
    _require_size(size2)
    _require_hashes(proof, root1=root1, root2=root2)
    if size1 > size2:
        raise ProofInvalid(f"a tree does not shrink from size {size1} to size {size2}")
    for size, root in ((size1, root1), (size2, root2)):
        if size == 0 and root != EMPTY_ROOT:
            raise ProofInvalid("the root of a tree without entries is the SHA-256 of nothing")
    if size1 in (0, size2):
        if proof:
            raise ProofInvalid(f"the proof has too many hashes: {len(proof)} instead of none")
        if size1 == size2 and root1 != root2:
            raise ProofInvalid("two roots for the same size")
        return
    _verify_between(size1, root1, size2, root2, proof)


def _verify_between(size1: int, root1: bytes, size2: int, root2: bytes, proof: Sequence[bytes]) -> None:
    index, last = size1 - 1, size2 - 1
    while index & 1:
        index >>= 1
        last >>= 1
    # A complete first tree is a node of the second, so the proof does not repeat its root.
    hashes = (root1, *proof) if index == 0 else tuple(proof)
    if not hashes:
        raise ProofInvalid("the proof has no hashes")
    node1 = node2 = hashes[0]
    hashed = 1
    while last:
        if index & 1 or index != last:
            if hashed == len(hashes):
                raise ProofInvalid(f"the proof has too few hashes: {len(proof)}")
            sibling = hashes[hashed]
            hashed += 1
            if index & 1:
                node1, node2 = node_hash(sibling, node1), node_hash(sibling, node2)
            else:
                node2 = node_hash(node2, sibling)
        index >>= 1
        last >>= 1
    if hashed != len(hashes):
        raise ProofInvalid(f"the proof has too many hashes, by {len(hashes) - hashed}")
    if node1 != root1:
        raise ProofInvalid(f"the proof leads to another root for size {size1}")
    if node2 != root2:
        raise ProofInvalid(f"the proof leads to another root for size {size2}")


def _require_size(size: int) -> None:
    if not 0 <= size <= SIZE_MAX:
        raise ProofInvalid("a tree cannot have a negative number of entries, nor more than 2^63 - 1")


def _require_hashes(proof: Sequence[bytes], **named: bytes) -> None:
    for name, value in named.items():
        if len(value) != HASH_SIZE:
            raise ProofInvalid(f"{name} must have 32 bytes, not {len(value)}")
    if len(proof) > 64:
        raise ProofInvalid(f"the proof has too many hashes: {len(proof)}; none needs more than 64")
    for number, value in enumerate(proof, 1):
        if len(value) != HASH_SIZE:
            raise ProofInvalid(f"hash {number} of the proof must have 32 bytes, not {len(value)}")
