"""When the memory of this process is searched for garbage, and returned to the operating system."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

_pauses = 0


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause the garbage collector for the duration of the block.

    For work that makes many objects which stay, and no cycles: the collector would look at each of them in vain. Blocks
    may overlap, as those of tasks do; the collector runs again after the last of them.
    """
    global _pauses  # noqa: PLW0603
    _pauses += 1
    gc.disable()
    try:
        yield
    finally:
        _pauses -= 1
        if not _pauses:
            gc.enable()


def return_free_memory() -> None:
    """Return what the allocator of the C library keeps for later, if it can: glibc keeps most of it.

    Takes some milliseconds. Source: malloc_trim(3).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
