"""How often tests repeat themselves: least in `make quick` (TESTS=quick), fully in `make long` (TESTS=full).

    @settings(max_examples=examples(300), deadline=None)        # a property
    ROUNDS = count(3, full=30)                                  # anything else that is repeated
    parametrize("where", variants(PLACES, "primary"))           # variants that cost much and rarely differ
    @full_only                                                  # a dear test of what cheaper ones test too

Only the number differs, never what a test asserts.
"""

import os
from collections.abc import Iterable
from typing import TypeVar

import pytest

T = TypeVar("T")
EXTENT = os.environ.get("TESTS", "")


full_only = pytest.mark.full_only
"""Marks a test that only `make long` runs, since its kind is tested by others that cost less (`tests.conftest`)."""


def count(part: int, *, full: int) -> int:
    """Return how often to repeat something."""
    return full if EXTENT == "full" else part


def variants(full: Iterable[T], *part: T) -> list[T]:
    """Return which of several variants of a test to run: in `make test` those named after all of them."""
    return list(full) if EXTENT == "full" else list(part)


def examples(full: int) -> int:
    """Return how many examples of a property to try: an eighth of all in `make test`, a tenth in `make quick`."""
    if EXTENT == "full":
        return full
    return min(full, max(10, full // 10) if EXTENT == "quick" else max(12, full // 8))
