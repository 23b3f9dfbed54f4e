"""Proofs with the verdict that each must get, from other implementations of RFC 6962 and RFC 9162."""

from base64 import b64decode
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.transparency.merkle import EMPTY_ROOT, ProofInvalid, verify_consistency, verify_inclusion

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "proof-vectors"
DIFFERENT = {
    "consistency/additional/sizes-are-equal-one-and-proof-is-empty.json",
    "consistency/additional/size1-is-zero-and-does-not-equal-size2.json",
    "consistency/additional/size1-is-zero-and-size2-is-not-zero.json",
}
"""Decided by other rules here: hashes of 32 bytes only; and from size 0, an empty proof is right."""


@cache
def vectors() -> dict[str, dict[str, Any]]:
    if not VECTORS.is_dir():
        pytest.skip(f"the test vectors are not in {VECTORS}")
    paths = sorted(VECTORS.rglob("*.json"))
    return {str(path.relative_to(VECTORS)): orjson.loads(path.read_bytes()) for path in paths}


def decide(vector: dict[str, Any]) -> str | None:
    """Return what is wrong with a proof, or None."""
    proof = [b64decode(each) for each in vector["proof"] or []]
    hashes = {
        name: b64decode(vector[name] or "")
        for name in ("root", "leafHash", "root1", "root2")
        if name in vector
    }
    try:
        if "leafIdx" in vector:
            verify_inclusion(vector["leafIdx"], vector["treeSize"], hashes["leafHash"], proof, hashes["root"])
        else:
            verify_consistency(vector["size1"], hashes["root1"], vector["size2"], hashes["root2"], proof)
    except ProofInvalid as error:
        return str(error)
    return None


def test_every_proof_gets_its_verdict() -> None:
    decided = {
        name: decide(vector) is not None for name, vector in vectors().items() if name not in DIFFERENT
    }
    assert len(decided) == 193
    assert decided == {name: vector["wantErr"] for name, vector in vectors().items() if name not in DIFFERENT}


def test_equal_roots_of_another_length_than_a_hash_are_refused() -> None:
    """The vector accepts them, and compares any two sequences of bytes."""
    vector = vectors()["consistency/additional/sizes-are-equal-one-and-proof-is-empty.json"]
    assert vector["wantErr"] is False
    assert decide(vector) == "root1 must have 32 bytes, not 12"
    verify_consistency(1, b"1" * 32, 1, b"1" * 32, [])


@pytest.mark.parametrize(
    "name", ["size1-is-zero-and-does-not-equal-size2", "size1-is-zero-and-size2-is-not-zero"]
)
def test_from_size_0_an_empty_proof_is_right_if_the_root_is_that_of_no_entries(name: str) -> None:
    """The vectors refuse every proof from size 0. A witness that has seen nothing of a log starts from it."""
    vector = vectors()[f"consistency/additional/{name}.json"]
    assert (vector["size1"], vector["proof"], vector["wantErr"]) == (0, [], True)
    assert "must have 32 bytes" in (decide(vector) or "")
    verify_consistency(0, EMPTY_ROOT, vector["size2"], b"2" * 32, [])
    with pytest.raises(ProofInvalid, match="without entries"):
        verify_consistency(0, b"1" * 32, vector["size2"], b"2" * 32, [])
