"""Tree: the Merkle tree of a record, what its roots and proofs cost to make and to verify, and the memory it takes."""

import gc
import hashlib
import random
import sys
import time
from collections.abc import Callable, Sequence

from bench.figures import Result, Row, Series, Target
from bench.load.local import open_data_set
from bench.load.record import publications
from bench.measure.options import Options
from gateway.election.registry_reading import read_registry
from gateway.transparency.merkle import HASH_SIZE, verify_consistency, verify_inclusion
from gateway.transparency.tree import Tree

TURNS = 5
PROOFS = 300
"""Proofs of each kind, at places drawn at random with a fixed seed."""
MEMORY_BYTES = Target(33, most=True)


async def measure(options: Options) -> Result:
    """Build the tree of the election, and of larger ones from hashes drawn at random; the best of TURNS counts."""
    result = Result("tree")
    async with open_data_set(options.data) as dataset:
        bodies = [each.body for each in publications(dataset, read_registry(dataset.registry))]
    tree, beside = Tree(), Tree()
    append_us = _best_us(lambda: _append_all(tree, bodies), lambda: tree.truncate(0)) / len(bodies)
    hash_us = _best_us(lambda: [hashlib.sha256(body).digest() for body in bodies]) / len(bodies)
    _append_all(beside, bodies)
    assert tree.root() == beside.root()
    alone = Series.single("SHA-256 of each report, kept in a list", hash_us, "µs")
    result.rows.append(Row.single("leaf and tree, CPU per report", append_us, "µs", None, alone))
    for scale in options.scales:
        size = max(2, round(scale * len(bodies)))
        result.rows += _of_size(size, _drawn(size))
    return result


def _append_all(tree: Tree, bodies: Sequence[bytes]) -> None:
    for body in bodies:
        tree.append(body)


def _drawn(size: int) -> Tree:
    """Return a tree with leaf hashes drawn at random."""
    draw, tree = random.Random(size), Tree()
    tree.extend(draw.randbytes(HASH_SIZE) for _ in range(size))
    return tree


def _of_size(size: int, tree: Tree) -> list[Row]:
    """Return the rows of a tree of this size."""
    name, draw = f"{size} entries", random.Random(1)
    at = [sorted((draw.randrange(1, size + 1), draw.randrange(1, size + 1))) for _ in range(PROOFS)]
    entry = b"x" * 450

    def batch(count: int) -> Callable[[], None]:
        def append() -> None:
            for _ in range(count):
                tree.append(entry)
            tree.root()

        return append

    rows = [Row.single(f"tree of {name}: memory per entry", _memory(tree) / size, "bytes", MEMORY_BYTES)]
    for count in (1, 1000):
        what = f"tree of {name}: a batch of {count} and its root, CPU"
        rows.append(Row.single(what, _best_us(batch(count), lambda: tree.truncate(size)), "µs"))
    tree.truncate(size)
    roots = _mean_us(lambda old, _: tree.root(old), at)
    rows.append(Row.single(f"tree of {name}: root of an old size, CPU", roots, "µs"))

    included = {
        (one, two): (tree.leaf(one - 1), tree.inclusion_proof(one - 1, two), tree.root(two))
        for one, two in at
    }
    consistent = {
        (one, two): (tree.root(one), tree.consistency_proof(one, two), tree.root(two)) for one, two in at
    }

    def verify_included(one: int, two: int) -> None:
        leaf, proof, root = included[one, two]
        verify_inclusion(one - 1, two, leaf, proof, root)

    def verify_consistent(one: int, two: int) -> None:
        first, proof, second = consistent[one, two]
        verify_consistency(one, first, two, second, proof)

    for what, make, verify in (
        ("inclusion proof", lambda one, two: tree.inclusion_proof(one - 1, two), verify_included),
        ("consistency proof", tree.consistency_proof, verify_consistent),
    ):
        rows.append(Row.single(f"tree of {name}: {what}, made, CPU", _mean_us(make, at), "µs"))
        rows.append(Row.single(f"tree of {name}: {what}, verified, CPU", _mean_us(verify, at), "µs"))
    return rows


def _memory(tree: Tree) -> int:
    """Return the bytes that the buffers of a tree occupy, with what refers to them."""
    gc.collect()
    found, waiting = {id(tree): sys.getsizeof(tree)}, [tree]
    while waiting:
        for each in gc.get_referents(waiting.pop()):
            if id(each) not in found and not isinstance(each, type):
                found[id(each)] = sys.getsizeof(each)
                waiting.append(each)
    return sum(found.values())


def _best_us(call: Callable[[], object], prepare: Callable[[], object] = lambda: None) -> float:
    """Return the CPU time of a call in µs: the best of TURNS, each after a preparation that does not count."""
    best = float("inf")
    for _ in range(TURNS):
        prepare()
        started = time.thread_time_ns()
        call()
        best = min(best, (time.thread_time_ns() - started) / 1000)
    return best


def _mean_us(call: Callable[[int, int], object], arguments: Sequence[Sequence[int]]) -> float:
    """Return the mean CPU time of a call in µs, in the best of TURNS."""
    return _best_us(lambda: [call(one, two) for one, two in arguments]) / len(arguments)
