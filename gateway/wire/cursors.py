"""Cursors as text."""

import re

from gateway.election.state import Cursor
from gateway.errors import MalformedCursor

_CURSOR = re.compile(r"(0|[1-9][0-9]{0,17})-([0-9a-f]{8})")


def format_cursor(cursor: Cursor) -> str:
    """Write a cursor as `sequence-cccccccc`."""
    return f"{cursor.sequence}-{cursor.prefix:08x}"


def parse_cursor(text: str) -> Cursor:
    """Read a cursor, `sequence-cccccccc`, sent by a returning reader; sequences count publications from 1.

    Raises MalformedCursor. Source: WHATWG HTML, "The Last-Event-ID header".
    """
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise MalformedCursor(f"{text[:40]!r} is not of the form sequence-cccccccc")
    return Cursor(int(match[1]), int(match[2], 16))
