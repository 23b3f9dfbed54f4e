"""Check whether an installation is ready for the election night, and how to fix it.

    gather ─► facts ─► checks ─► findings

Only `gather` does I/O; the checks are pure.
"""
