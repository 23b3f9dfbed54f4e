"""Protect the memory of a process that contains secrets, or counts before their release, from other processes."""

import ctypes

PR_SET_DUMPABLE = 4


def forbid_inspection() -> None:
    """Prevent other processes of the same user from reading the memory and environment of this one.

    Afterwards /proc/PID/environ, /proc/PID/mem and ptrace require CAP_SYS_PTRACE, and no core is dumped. Programs that
    this process executes are not affected. Raises OSError. Source: prctl(2), PR_SET_DUMPABLE; ptrace(2), "Ptrace access
    mode checking".
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) failed")
