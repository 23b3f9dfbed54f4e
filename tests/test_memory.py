"""The garbage collector pauses, and memory that was freed goes back to the operating system."""

import ctypes
import gc
from pathlib import Path

import pytest

from gateway.memory import collection_paused, return_free_memory

BLOCKS, SIZE = 50_000, 1_000


def _resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
def test_memory_below_a_block_in_use_is_returned() -> None:
    blocks = [b"\x01" * SIZE for _ in range(BLOCKS)]
    last = blocks.pop()  # otherwise the heap would shrink by itself
    blocks.clear()
    before = _resident_bytes()
    return_free_memory()
    assert _resident_bytes() < before - BLOCKS * SIZE // 2
    assert last[0] == 1


def test_the_collector_runs_again_after_the_last_of_several_pauses() -> None:
    """Those of tasks overlap."""
    first, second = collection_paused(), collection_paused()
    first.__enter__()
    assert not gc.isenabled()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_the_collector_runs_again_after_an_error() -> None:
    with pytest.raises(ValueError, match="ends"), collection_paused():
        raise ValueError("ends")
    assert gc.isenabled()
