"""The tree is that of RFC 6962 at every size, and every altered proof is refused."""

import hashlib
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.transparency.merkle import (
    EMPTY_ROOT,
    ProofInvalid,
    fold,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from gateway.transparency.tiles import FULL, Tile, bundles_of, tiles_of
from gateway.transparency.tree import Tree
from tests.counts import count, examples
from tests.transparency.rfc6962 import Reference, consistency_shape, inclusion_shape

MOST = FULL**2 + 2 * FULL + 7
"""Entries of the largest tree here: its tiles have three levels."""


def leaves(number: int) -> list[bytes]:
    return [leaf_hash(b"%d" % each) for each in range(number)]


@cache
def large() -> tuple[Tree, Reference]:
    """The largest tree; tests must not change it."""
    tree = Tree()
    tree.extend(leaves(MOST))
    return tree, Reference(leaves(MOST))


def edges(most: int = MOST) -> st.SearchStrategy[int]:
    """Sizes, with those around powers of two and around tiles more often than others."""
    powers = st.integers(0, most.bit_length()).map(lambda power: 1 << power)
    near = st.tuples(
        st.one_of(powers, st.integers(1, FULL + 2).map(lambda n: n * FULL)), st.integers(-1, 1)
    ).map(sum)
    return st.one_of(near, st.integers(0, most)).map(lambda size: min(max(size, 0), most))


def test_hashes_are_those_of_the_specification() -> None:
    assert EMPTY_ROOT == hashlib.sha256(b"").digest() == root_of([]) == fold([]) == Tree().root()
    assert leaf_hash(b"abc") == hashlib.sha256(b"\0abc").digest()
    assert node_hash(b"l" * 32, b"r" * 32) == hashlib.sha256(b"\1" + b"l" * 32 + b"r" * 32).digest()


def test_root_of_every_size_while_the_tree_grows() -> None:
    reference, tree = Reference(leaves(3 * FULL)), Tree()
    for size in range(3 * FULL):
        assert tree.size == size
        assert tree.root() == reference.mth(0, size)
        tree.append(b"%d" % size)
    assert [tree.root(size) for size in range(3 * FULL)] == [
        reference.mth(0, size) for size in range(3 * FULL)
    ]
    assert [tree.leaf(index) for index in range(3 * FULL)] == reference.leaves


def test_all_proofs_of_small_trees() -> None:
    most = count(40, full=130)
    reference, tree = Reference(leaves(most)), Tree()
    tree.extend(leaves(most))
    for size in range(1, most + 1):
        for index in range(size):
            proof = tree.inclusion_proof(index, size)
            assert proof == reference.path(index, 0, size)
            verify_inclusion(index, size, reference.leaves[index], proof, tree.root(size))
        for before in range(1, size + 1):
            proof = tree.consistency_proof(before, size)
            assert proof == reference.proof(before, size)
            verify_consistency(before, tree.root(before), size, tree.root(size), proof)


@settings(deadline=None)
@given(edges())
def test_root_of_an_old_size_is_that_of_the_tree_at_that_size(size: int) -> None:
    tree, reference = large()
    assert tree.root(size) == reference.mth(0, size) == root_of(reference.leaves[:size])


@settings(deadline=None)
@given(edges(), edges())
def test_proofs_of_every_size(first: int, second: int) -> None:
    tree, reference = large()
    before, size = sorted((first, second))
    if before < size:
        proof = tree.inclusion_proof(before, size)
        assert proof == reference.path(before, 0, size)
        verify_inclusion(before, size, reference.leaves[before], proof, tree.root(size))
    proof = tree.consistency_proof(before, size)
    assert proof == (reference.proof(before, size) if before else [])
    verify_consistency(before, tree.root(before), size, tree.root(size), proof)


@settings(deadline=None)
@given(edges())
def test_tiles_are_the_hashes_of_complete_subtrees(size: int) -> None:
    """As tlog-tiles defines them; together they have every leaf hash once."""
    tree, reference = large()
    tiles = list(tiles_of(size))
    for tile in (tiles[0], tiles[-1]) if tiles else ():
        assert tile.level is not None
        span = FULL**tile.level
        hashes = [
            reference.mth((tile.index * FULL + each) * span, (tile.index * FULL + each + 1) * span)
            for each in range(tile.width)
        ]
        assert tree.tile(tile.level, tile.index, tile.width) == b"".join(hashes)
        assert tile.end <= size
    assert sum(tile.width for tile in tiles if tile.level == 0) == size
    assert sum(tile.width for tile in bundles_of(size)) == size


def test_tiles_of_the_example_of_the_specification() -> None:
    """A tree of size 70 000 has 273 full and one partial tile of level 0, and so on; one of size 256 has two tiles."""
    tiles = list(tiles_of(70_000))
    assert tiles[:273] == [Tile(0, index) for index in range(273)]
    assert tiles[273:] == [Tile(0, 273, 112), Tile(1, 0), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert list(tiles_of(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(tiles_of(0)) == []


@settings(max_examples=examples(60), deadline=None)
@given(edges(3 * FULL), edges(3 * FULL), st.lists(st.binary(max_size=4), max_size=5))
def test_a_truncated_tree_is_the_one_that_it_was(first: int, second: int, more: list[bytes]) -> None:
    """Also in what it becomes afterwards."""
    kept, size = sorted((first, second))
    tree, expected = Tree(), Tree()
    tree.extend(leaves(size))
    tree.truncate(kept)
    expected.extend(leaves(kept))
    for entry in more:
        tree.append(entry)
        expected.append(entry)
    assert (tree.size, tree.root()) == (expected.size, expected.root())
    for tile in tiles_of(expected.size):
        assert tile.level is not None
        assert tree.tile(tile.level, tile.index, tile.width) == expected.tile(
            tile.level, tile.index, tile.width
        )
        if tile.width < FULL:
            with pytest.raises(IndexError):
                tree.tile(tile.level, tile.index, tile.width + 1)


def test_what_the_tree_does_not_have_is_an_error() -> None:
    tree = Tree()
    tree.extend(leaves(FULL + 3))
    for call in (
        lambda: tree.root(FULL + 4),
        lambda: tree.root(-1),
        lambda: tree.leaf(FULL + 3),
        lambda: tree.leaf(-1),
        lambda: tree.inclusion_proof(5, 5),
        lambda: tree.inclusion_proof(-1),
        lambda: tree.inclusion_proof(0, FULL + 4),
        lambda: tree.consistency_proof(6, 5),
        lambda: tree.consistency_proof(-1),
        lambda: tree.consistency_proof(1, FULL + 4),
        lambda: tree.tile(0, 1, 4),
        lambda: tree.tile(0, 2, 1),
        lambda: tree.tile(0, 0, 0),
        lambda: tree.tile(0, 0, FULL + 1),
        lambda: tree.tile(0, -1),
        lambda: tree.tile(2, 0, 1),
        lambda: tree.truncate(FULL + 4),
    ):
        with pytest.raises(IndexError):
            call()
    with pytest.raises(ValueError, match="32 bytes, not 31"):
        tree.append_leaf(b"x" * 31)
    with pytest.raises(ValueError, match="32 bytes, not 33"):
        root_of([b"x" * 33])
    assert tree.size == FULL + 3


def test_the_tree_occupies_33_bytes_per_entry() -> None:
    """Besides what it shares with nobody: counted from the buffers that it keeps."""
    import tracemalloc

    hashes = leaves(40 * FULL)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tree = Tree()
        tree.extend(hashes)
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert (after - before) / tree.size < 33


def _flipped(value: bytes, bit: int) -> bytes:
    return (int.from_bytes(value, "big") ^ 1 << bit).to_bytes(len(value), "big")


def _altered(proof: list[bytes], bit: int) -> list[list[bytes]]:
    """Every proof with one bit flipped in one hash, or one hash left out, repeated, added or exchanged."""
    found = []
    for at, each in enumerate(proof):
        found += [
            [*proof[:at], _flipped(each, bit), *proof[at + 1 :]],
            [*proof[:at], *proof[at + 1 :]],
            [*proof[:at], each, *proof[at:]],
            [*proof[:at], each[:31], *proof[at + 1 :]],
            [*proof[:at], each + b"\0", *proof[at + 1 :]],
        ]
    for at, (first, second) in enumerate(pairwise(proof)):
        exchanged = [second, first]
        moved = (
            [first[1:], second + first[:1]],
            [first + second[:1], second[1:]],
        )  # what is hashed may be the same
        found += [[*proof[:at], *each, *proof[at + 2 :]] for each in (exchanged, *moved)]
    return [*found, [*proof, b"\0" * 32], [b"\0" * 32, *proof], [*proof, b""]]


def refused_inclusion(index: int, size: int, leaf: bytes, proof: list[bytes], root: bytes) -> bool:
    try:
        verify_inclusion(index, size, leaf, proof, root)
    except ProofInvalid:
        return True
    return False


def refused_consistency(size1: int, root1: bytes, size2: int, root2: bytes, proof: list[bytes]) -> bool:
    try:
        verify_consistency(size1, root1, size2, root2, proof)
    except ProofInvalid:
        return True
    return False


@settings(max_examples=examples(120), deadline=None)
@given(st.data(), st.integers(0, 255))
def test_an_altered_inclusion_proof_is_refused(data: st.DataObject, bit: int) -> None:
    """By one bit, hash or index; by its size where that changes how the root is computed."""
    tree, _ = large()
    size = data.draw(st.one_of(st.integers(1, 20), edges().filter(bool)))
    index = data.draw(st.integers(0, size - 1))
    leaf, root, proof = tree.leaf(index), tree.root(size), tree.inclusion_proof(index, size)
    assert not refused_inclusion(index, size, leaf, proof, root)
    for each in _altered(proof, bit):
        assert refused_inclusion(index, size, leaf, each, root)
    assert refused_inclusion(index, size, _flipped(leaf, bit), proof, root)
    assert refused_inclusion(index, size, leaf, proof, _flipped(root, bit))
    for other in {*range(-1, min(size + 2, 24)), index - 1, index + 1, index ^ (1 << bit % 20)} - {index}:
        assert refused_inclusion(other, size, leaf, proof, root)
    for other in {*range(24), size - 1, size + 1, 2 * size, size // 2} - {size}:
        same = index < other and inclusion_shape(index, other) == inclusion_shape(index, size)
        assert refused_inclusion(index, other, leaf, proof, root) is not same


@settings(max_examples=examples(120), deadline=None)
@given(st.data(), st.integers(0, 255))
def test_an_altered_consistency_proof_is_refused(data: st.DataObject, bit: int) -> None:
    """By one bit or hash; by a size where that changes how the roots are computed."""
    tree, _ = large()
    size2 = data.draw(st.one_of(st.integers(1, 20), edges().filter(bool)))
    size1 = data.draw(st.one_of(st.integers(1, size2), st.just(max(size2 - 1, 1))))
    root1, root2, proof = tree.root(size1), tree.root(size2), tree.consistency_proof(size1, size2)
    assert not refused_consistency(size1, root1, size2, root2, proof)
    for each in _altered(proof, bit):
        assert refused_consistency(size1, root1, size2, root2, each)
    assert refused_consistency(size1, _flipped(root1, bit), size2, root2, proof)
    assert refused_consistency(size1, root1, size2, _flipped(root2, bit), proof)
    if root1 != root2:
        assert refused_consistency(size1, root2, size2, root1, proof)
    for one, two in {
        *((each, size2) for each in (*range(-1, 24), size1 - 1, size1 + 1)),
        *((size1, each) for each in (*range(-1, 24), size2 - 1, size2 + 1, 2 * size2)),
    } - {(size1, size2)}:
        same = 0 < one <= two and consistency_shape(one, two) == consistency_shape(size1, size2)
        assert refused_consistency(one, root1, two, root2, proof) is not same


def test_sizes_beyond_all_trees_are_refused() -> None:
    """Without computing anything for them."""
    some = b"1" * 32
    for size in (-1, 2**63, 2**40_000):
        with pytest.raises(ProofInvalid, match="cannot have"):
            verify_inclusion(0, size, some, [], some)
        with pytest.raises(ProofInvalid, match="cannot have"):
            verify_consistency(1, some, size, some, [])
    with pytest.raises(ProofInvalid, match="not in a tree"):
        verify_inclusion(2**40_000, 5, some, [], some)
    with pytest.raises(ProofInvalid, match="too few"):
        verify_inclusion(0, 2**63 - 1, some, [some], some)
    with pytest.raises(ProofInvalid, match="none needs more than 64"):
        verify_inclusion(0, 2**63 - 1, some, [some] * 100_000, some)
