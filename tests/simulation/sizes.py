"""Sizes of pages, ranges and slices, so small that a night of some reports passes through the code for many.

with small_sizes():
    run(plan)
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from unittest import mock

from gateway.feed import archive, holds, stream, waiters
from gateway.journal import continuation
from gateway.web import feed_streams, push_answers, push_request, push_socket, stream_limits

RANGE = 5
"""Lines in a range of the record."""
SMALL: tuple[tuple[ModuleType, dict[str, int]], ...] = (
    (archive, {"RANGE_SIZE": RANGE, "TAIL_MAX": 2 * RANGE, "RANGES_MAX": 2}),
    (stream, {"PAGE_MAX": 7, "APPLY_SLICE": 3, "TAIL_MAX": 2 * RANGE}),
    (stream_limits, {"RANGE_COST": RANGE * 700}),
    (feed_streams, {"CHUNK": 4}),
    (holds, {"PAGE_MAX": 2}),
    (waiters, {"WAKE_SLICE": 2, "STALE_MAX": 2}),
    (continuation, {"CONTINUATION_MAX": 6, "AT_ONCE_MAX": 3}),
    (push_socket, {"RESULTS_MAX": 2, "TURN": 3}),
    (push_answers, {"RESULTS_STEP": 2}),
    (push_request, {"_PREPARED_STEP": 2}),
)
"""The constants of each module, and what they are then."""


@contextmanager
def small_sizes() -> Iterator[None]:
    """Make the sizes small until the context is left."""
    with ExitStack() as patches:
        for module, sizes in SMALL:
            patches.enter_context(mock.patch.multiple(module, **sizes))
        yield
