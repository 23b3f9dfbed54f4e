"""PURE: the public list of holds: every beginning and every end of one, numbered and chained like the record.

A line has no figure, no person and no note. A reader that has every line knows which units are being checked.
"""

import hashlib
from datetime import datetime

import msgspec

BEGINNING = "held"
"""The state of a line with which a hold begins; every other state ends it."""


class HoldLine(msgspec.Struct, frozen=True, gc=False):
    """A line of the list of holds at its `number` (from 1, without gaps)."""

    number: int
    line: bytes
    """Its canonical bytes."""
    chain: bytes
    unit: str
    state: str
    since: datetime
    """Since when the unit has been held without interruption, also across superseded reports."""


def next_hold_chain(chain: bytes, line: bytes) -> bytes:
    """Return chain(n) = SHA-256(chain(n-1) || SHA-256(line(n))), from 32 zero bytes."""
    return hashlib.sha256(chain + hashlib.sha256(line).digest()).digest()
