"""Work that the gateway does in steps, done at once."""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def whole(steps: Generator[None, None, T]) -> T:
    """Take all steps, and return their value."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value
