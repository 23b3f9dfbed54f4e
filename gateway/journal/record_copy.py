"""Reads many publications at once, as Postgres copies them: in its binary format, which takes a third of the CPU time.

asyncpg decodes each value of a row. Here, a row is decoded as a whole, and times that follow one another are often
equal. Source of the format: PostgreSQL, COPY, "Binary Format".
"""

import struct
from datetime import UTC, datetime, timedelta

from gateway.election.record import Publication

_HEADER = 19
"""Bytes before the first row: signature, flags, and the length of an extension that there is none of."""
_COLUMNS = (
    "sequence, published_at, received_at, accepted_at, revision, digest, chain, unit, body,"
    " held_since, held_rules"
)
_FIXED = struct.Struct("> 2x 4xq 4xq 4xq 4xq 4xi 4x32s 4x32s i")
"""After the number of columns, each with its length before it, up to the length of the unit. None of them is null."""
_LENGTH = struct.Struct("> i")
_HELD = struct.Struct("> ii")
_TIME = struct.Struct("> q")
_ARRAY = struct.Struct("> iii ii")
"""Of an array: dimensions, whether it has nulls, type; of its only dimension, length and lower bound."""
_NULL = -1
_NOT_HELD = (_NULL, _NULL)
_2000 = datetime(2000, 1, 1, tzinfo=UTC)
"""From when Postgres counts microseconds."""


def copy_query(election: int, after: int, most: int) -> str:
    """Return the query whose rows `publications` decodes."""
    # A cast would need the right to execute its function, which a feed does not have; a typed literal does not.
    arguments = f"integer '{election:d}', bigint '{after:d}', integer '{most:d}'"
    return f"SELECT {_COLUMNS} FROM valgnatt_public.record_v2({arguments})"  # noqa: S608


def publications(copied: bytes) -> list[Publication]:
    """Return the publications of the rows that were copied."""
    found: list[Publication] = []
    fixed, length, held = _FIXED.unpack_from, _LENGTH.unpack_from, _HELD.unpack_from
    at, end = _HEADER, len(copied) - 2  # -1 as the number of columns ends them
    published = received = accepted = _2000
    published_us = received_us = accepted_us = 0
    while at < end:
        sequence, us_1, us_2, us_3, revision, digest, chain, size = fixed(copied, at)
        at += _FIXED.size
        body_at = at + size
        unit = copied[at:body_at].decode()
        (size,) = length(copied, body_at)
        at = body_at + _LENGTH.size + size
        body = copied[body_at + _LENGTH.size : at]
        if us_3 != accepted_us:
            accepted_us, accepted = us_3, _2000 + timedelta(0, 0, us_3)
        if us_2 != received_us:
            received_us, received = us_2, _2000 + timedelta(0, 0, us_2)
        if us_1 != published_us:
            published_us, published = us_1, accepted if us_1 == us_3 else _2000 + timedelta(0, 0, us_1)
        held_since = held_rules = None
        if held(copied, at) == _NOT_HELD:
            at += _HELD.size
        else:
            held_since, at = _time(copied, at)
            held_rules, at = _texts(copied, at)
        found.append(
            Publication(
                sequence, published, unit, revision, digest, chain, body, received, accepted,
                held_since, held_rules,
            )
        )  # fmt: skip
    return found


def _time(copied: bytes, at: int) -> tuple[datetime | None, int]:
    """Return the time at a place, None for null, and the place after it."""
    (size,) = _LENGTH.unpack_from(copied, at)
    if size == _NULL:
        return None, at + 4
    return _2000 + timedelta(0, 0, _TIME.unpack_from(copied, at + 4)[0]), at + 4 + size


def _texts(copied: bytes, at: int) -> tuple[list[str] | None, int]:
    """Return the array of texts at a place, None for null, and the place after it."""
    (size,) = _LENGTH.unpack_from(copied, at)
    if size == _NULL:
        return None, at + 4
    at, end = at + 4, at + 4 + size
    found = []
    at += _ARRAY.size if _LENGTH.unpack_from(copied, at)[0] else 12  # an empty array has no dimension
    while at < end:
        (size,) = _LENGTH.unpack_from(copied, at)
        found.append(copied[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return found, at
