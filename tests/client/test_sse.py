"""Bytes of an event stream, in pieces of any size."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client import sse
from gateway.client.sse import Event, EventParser

STREAM = (
    b'retry: 2500\n\nevent: area\ndata: {"a":1}\n\n: a comment\nevent: block\nid: 7-0000000a\ndata: x\ndata: y\n\n'
    b"data:no space\r\n\r\nevent: cut off\ndata: never"
)
EVENTS = [
    Event("area", b'{"a":1}', ""),
    Event("block", b"x\ny", "7-0000000a"),
    Event("message", b"no space", "7-0000000a"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_events_do_not_depend_on_how_the_bytes_arrive(cuts: list[int]) -> None:
    """However a stream is split, the events are the same, and an incomplete one is dropped."""
    parser = EventParser()
    edges = [0, *sorted(cuts), len(STREAM)]
    events = [event for start, end in pairwise(edges) for event in parser.feed(STREAM[start:end])]
    assert events == EVENTS
    assert parser.retry_ms == 2500


@given(st.binary(max_size=300))
def test_no_bytes_break_the_parser(noise: bytes) -> None:
    """Arbitrary bytes raise no error."""
    for event in EventParser().feed(noise + b"\n\n"):
        assert event.data is not None


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 999, b"data: " + b"x" * 999 + b"\n", b"data\n" * 999])
def test_an_event_without_an_end_is_refused_at_its_limit(
    piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, many lines, and many empty ones: what the parser keeps has a bound in bytes."""
    monkeypatch.setattr(sse, "EVENT_MAX", 8000)
    parser = EventParser()
    for _ in range(7):
        assert parser.feed(piece) == []
    with pytest.raises(ValueError, match="of more than 8000 bytes"):
        parser.feed(piece * 2)
