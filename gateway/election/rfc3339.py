"""Times as RFC 3339 has them, with an offset from UTC."""

from datetime import datetime

import msgspec

_TIME_MAX = 64
"""Characters of a time; RFC 3339 does not limit the digits of a second."""


class NoOffset(ValueError):
    """A time without an offset from UTC."""


def read_time(text: str) -> datetime:
    """Read an RFC 3339 time with an offset. Its year is 2 to 9998, so that it is valid in every time zone.

    Raises NoOffset if only the offset is missing, else ValueError. Source: RFC 3339, section 5.6.
    """
    if not 19 <= len(text) <= _TIME_MAX or text[10] not in "Tt":
        raise ValueError(f"{text[:40]!r} is not an RFC 3339 time")
    try:
        time = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        raise ValueError(f"{text[:40]!r} is not an RFC 3339 time") from None
    if time.tzinfo is None:
        raise NoOffset(f"{text[:40]!r} has no offset")
    if (text[-1] not in "Zz" and text[-3] != ":") or not 1 < time.year < 9999:
        raise ValueError(f"{text[:40]!r} is not an RFC 3339 time")
    return time
