"""What a client of the feed door requests: cursors, numbers, ranges and formats."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.election.state import Cursor
from gateway.feed.archive import RANGE_SIZE
from gateway.web.answers import Problem
from gateway.web.feed_request import (
    read_area_request,
    read_cursor,
    read_feed_request,
    read_number,
    read_range,
)

NO_HEADERS = CIMultiDict[str]()


@pytest.mark.parametrize(
    ("header", "query", "sequence"),
    [
        (None, {}, None),
        ("7-00000000", {"lastEventId": "8-00000000", "last_event_id": "9-00000000"}, 7),
        (None, {"lastEventId": "8-00000000", "last_event_id": "9-00000000"}, 8),
        (None, {"last_event_id": "9-00000000"}, 9),
        ("", {"lastEventId": "", "last_event_id": "9-00000000"}, 9),
        ("malformed", {"lastEventId": "8-00000000"}, None),
    ],
)
def test_the_most_recent_cursor_is_used(
    header: str | None, query: dict[str, str], sequence: int | None
) -> None:
    """The header, then `lastEventId`, then `last_event_id`; a malformed one is ignored, and no other is tried."""
    headers = CIMultiDict({"Last-Event-ID": header} if header is not None else {})
    assert read_cursor(headers, query) == (None if sequence is None else Cursor(sequence, 0))


@given(st.text(max_size=20) | st.integers(-5, 200).map(str))
def test_a_number_is_ascii_digits_within_its_bounds(text: str) -> None:
    """Anything else is refused, without repeating it."""
    if text.isascii() and text.isdigit() and len(text) <= 16 and 1 <= int(text) <= 100:
        assert read_number("limit", text, 1, 100) == int(text)
    else:
        with pytest.raises(Problem, match=r"^limit must be a whole number from 1 to 100$") as refused:
            read_number("limit", text, 1, 100)
        assert (refused.value.status, refused.value.code) == (400, "bad_query")


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_range_is_aligned_and_complete(first: int, last: int) -> None:
    """1-1000, 1001-2000 and so on, written without leading zeros or spaces."""
    aligned = first * RANGE_SIZE + 1
    assert read_range(f"{aligned}-{aligned + RANGE_SIZE - 1}") == (aligned, aligned + RANGE_SIZE - 1)
    for text in (
        f"0{aligned}-{aligned + RANGE_SIZE - 1}",
        f"{aligned} -{aligned + RANGE_SIZE - 1}",
        f"{aligned}",
        "-",
        "",
    ):
        with pytest.raises(Problem, match=r"^the range must be 1-1000, 1001-2000 and so on$"):
            read_range(text)
    if first % RANGE_SIZE != 1 or last != first + RANGE_SIZE - 1:
        with pytest.raises(Problem, match=r"^the range must be"):
            read_range(f"{first}-{last}")


@pytest.mark.parametrize(
    ("accept", "query", "name"),
    [
        ("", {}, "json"),
        ("text/csv", {}, "csv"),
        ("text/csv", {"format": "json"}, "json"),
        ("", {"format": "csv"}, "csv"),
        ("application/xml", {}, "eml"),
        ("application/json", {}, "json"),
        ("", {"format": "nist"}, "nist"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", {}, "json"),
    ],
)
def test_the_query_overrides_the_accepted_format(accept: str, query: dict[str, str], name: str) -> None:
    """A format that does not exist is refused."""
    assert read_area_request(CIMultiDict({"Accept": accept}), query).form.name == name
    with pytest.raises(Problem, match=r"^format must be json or csv or eml or nist$"):
        read_area_request(CIMultiDict({"Accept": accept}), {"format": "xml"})


def test_a_pace_is_one_of_a_few() -> None:
    """So that readers share blocks."""
    selection: Any = object()
    asked = read_feed_request(NO_HEADERS, {"every_s": "10"}, lambda *_: selection)
    assert asked == (selection, 10, None, False)
    with pytest.raises(Problem, match=r"^every_s must be one of"):
        read_feed_request(NO_HEADERS, {"every_s": "11"}, lambda *_: selection)
