"""How much of a repeated test runs: `make test` runs a part of it, `make long` (TESTS_FULL=1) all of it.

    @settings(max_examples=examples(300), deadline=None)        # a property
    ROUNDS = count(3, full=30)                                  # anything else that is repeated

Every test runs in both. Only how often it repeats itself differs, never what it asserts.
"""

import os

FULL = os.environ.get("TESTS_FULL", "") not in ("", "0")
"""Whether tests run with their full counts."""


def count(part: int, *, full: int) -> int:
    """Return how often to repeat something."""
    return full if FULL else part


def examples(full: int) -> int:
    """Return how many examples of a property to try: a third, but 20 at least."""
    return count(min(full, max(20, full // 3)), full=full)
