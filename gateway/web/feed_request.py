"""PURE: what a client of the feed door requests: selection, interval, cursor, format. Errors are raised as Problem."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from aiohttp import hdrs
from multidict import MultiMapping

from gateway.election.state import Cursor
from gateway.errors import MalformedCursor
from gateway.feed.archive import RANGE_SIZE
from gateway.feed.selection import INTERVALS_S, BadSelection, Selection
from gateway.web.answers import Problem
from gateway.web.negotiation import combined, gzip_accepted, preferred
from gateway.wire.areas import CSV, EML, FORMATS, AreaFormat
from gateway.wire.csv_text import BYTE_ORDER_MARK
from gateway.wire.cursors import parse_cursor

EVENT_STREAM = "text/event-stream"
LINES = "application/x-ndjson"
SEQUENCE_MAX = 1 << 53
"""The largest integer that JSON represents exactly in all implementations (RFC 8259, section 6)."""
DIGITS_MAX = 16

Headers = MultiMapping[str]
Query = Mapping[str, str]


class FeedRequest(NamedTuple):
    """What a reader of the feed requests; `every_s` is the interval in seconds, 0 for every change at once."""

    selection: Selection
    every_s: int
    cursor: Cursor | None
    gzip: bool


class AreaRequest(NamedTuple):
    """How a client requests areas or a table: the format, and the byte order mark before CSV if requested.

    `area` restricts a table to an area and what is below it; None is no restriction.
    """

    form: AreaFormat
    mark: bytes
    area: str | None


def read_feed_request(
    headers: Headers, query: Query, select: Callable[[str | None, str | None], Selection]
) -> FeedRequest:
    """Read the parameters of a feed; `select` returns the selection of levels and areas. Raises Problem."""
    try:
        selection = select(query.get("levels"), query.get("areas"))
    except BadSelection as error:
        raise Problem(400, "bad_selection", str(error)) from None
    every_s = read_number("every_s", query.get("every_s", "0"), 0, 60)
    if every_s not in INTERVALS_S:
        raise Problem(400, "bad_query", f"every_s must be one of {', '.join(map(str, INTERVALS_S))}")
    return FeedRequest(selection, every_s, read_cursor(headers, query), gzip_accepted(headers))


def read_cursor(headers: Headers, query: Query) -> Cursor | None:
    """Return a reader's position; None if there is none or it is malformed.

    The header comes first, then `lastEventId`, which clients that cannot set headers append when they reconnect, so it
    is more recent than a `last_event_id` that was in the URL from the start.
    """
    text = headers.get("Last-Event-ID") or query.get("lastEventId") or query.get("last_event_id")
    if not text:
        return None
    try:
        return parse_cursor(text)
    except MalformedCursor:
        return None


def refuse_unused(query: Query, *names: str, use: str) -> None:
    """Refuse parameters that the route has, but that have no effect on this request. Raises Problem."""
    for name in names:
        if name in query:
            raise Problem(400, "bad_query", f"{name} is for {use} only")


def read_number(name: str, text: str, least: int, most: int) -> int:
    """Return a query parameter that is a whole number within bounds. Raises Problem."""
    if not (_is_number(text) and least <= int(text) <= most):
        raise Problem(400, "bad_query", f"{name} must be a whole number from {least} to {most}")
    return int(text)


def read_range(text: str) -> tuple[int, int]:
    """Return first and last sequence of a range of the record, such as `1-1000`. Raises Problem."""
    first, dash, last = text.partition("-")
    if dash and _is_number(first) and _is_number(last):
        begin, end = int(first), int(last)
        if begin % RANGE_SIZE == 1 and end == begin + RANGE_SIZE - 1 and text == f"{begin}-{end}":
            return begin, end
    raise Problem(
        400, "bad_range", f"the range must be 1-{RANGE_SIZE}, {RANGE_SIZE + 1}-{2 * RANGE_SIZE} and so on"
    )


def stream_preferred(headers: Headers, default: str) -> bool:
    """Return whether a client prefers an event stream, as browsers' EventSource does."""
    return preferred(combined(headers, hdrs.ACCEPT), default, EVENT_STREAM) == EVENT_STREAM


def read_area_request(
    headers: Headers, query: Query, formats: Mapping[str, AreaFormat] = FORMATS
) -> AreaRequest:
    """Read the format that the query names, else the one that the client prefers, and `bom`. Raises Problem."""
    form, bom = _area_format(headers, query, formats), query.get("bom", "0")
    if bom not in ("0", "1"):
        raise Problem(400, "bad_query", "bom must be 0 or 1")
    if bom == "1" and form is not CSV:
        raise Problem(400, "bad_query", "bom is for the format csv only")
    return AreaRequest(form, BYTE_ORDER_MARK if bom == "1" else b"", query.get("area"))


def _area_format(headers: Headers, query: Query, formats: Mapping[str, AreaFormat]) -> AreaFormat:
    name = query.get("format")
    if name is None:
        return _negotiated(combined(headers, hdrs.ACCEPT), formats)
    if name not in formats:
        raise Problem(400, "bad_query", f"format must be {' or '.join(formats)}")
    return formats[name]


def _negotiated(accept: str, formats: Mapping[str, AreaFormat]) -> AreaFormat:
    """Return the format that a client prefers.

    Browsers prefer `application/xml` to anything but web pages and pictures, although it is no better for their users.
    So XML is left out for clients that accept web pages.
    """
    media_types: dict[str, AreaFormat] = {}
    for each in formats.values():
        if each is not EML or "text/html" not in accept.lower():
            media_types.setdefault(each.media_type, each)
    return media_types[preferred(accept, *media_types)]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX
