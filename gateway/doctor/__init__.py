"""Whether an installation is fit for the night, and what to do where it is not.

    gather ─► facts ─► checks ─► findings

Only `gather` looks at anything; the checks are pure.
"""
