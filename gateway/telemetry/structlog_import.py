"""The first import of structlog in a process of a machine, which shall start quickly."""

import sys


def import_structlog() -> None:
    """Import structlog as if rich were not installed; later imports of rich are not affected.

    structlog imports rich if it can, for tracebacks that `logs` does not use. That is a fifth of the CPU time in which
    a worker starts, and clients wait for a worker that is being replaced.
    """
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # an import of it fails
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
