"""Returns memory that a process has freed to the operating system."""

import ctypes


def return_free_memory() -> None:
    """Return what the allocator of the C library keeps for later, if it can: glibc keeps most of it.

    Takes some milliseconds. Source: malloc_trim(3).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
