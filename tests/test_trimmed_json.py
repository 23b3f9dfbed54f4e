"""Trimmed JSON occupies only its length, whatever the encoder allocated."""

import tracemalloc

import orjson
import pytest

from gateway.trimmed_json import dumps_trimmed

KEPT = 200
OVERHEAD = 64
"""Bytes of an object beside its contents, at most."""


@pytest.mark.parametrize("length", [10, 600, 3000, 100_000])
def test_trimmed_json_takes_the_memory_of_its_own_length(length: int) -> None:
    """Counted by Python's allocator, which is asked for what the encoder reserved too."""
    value = {"unit": "x" * length}
    expected = orjson.dumps(value)
    tracemalloc.start()
    try:
        kept = [dumps_trimmed(value) for _ in range(KEPT)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert set(kept) == {expected}
    assert taken < KEPT * (len(expected) + OVERHEAD) * 1.05 + 4096
