"""PURE: times as people write them, in the time zone of the election."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.election.registry import NoOffset, Registry, read_time

EXAMPLES = "write 09.09.2024 22:05 or 2024-09-09T22:05:00+02:00"
_CLOCK = r"([0-9]{1,2})[:.]([0-9]{2})(?:[:.]([0-9]{2}))?"
_DAY_FIRST = re.compile(
    rf"([0-9]{{1,2}})\. ?([0-9]{{1,2}})\. ?([0-9]{{4}}),?\s+(?:kl\.?\s*)?{_CLOCK}", re.IGNORECASE
)
_YEAR_FIRST = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2}) ([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?"
)
_SLASHES = re.compile(r"[0-9]{1,4}/[0-9]{1,2}/[0-9]{1,4}\b.*")
_ONLY_DATE = re.compile(r"[0-9]{1,2}\. ?[0-9]{1,2}\. ?[0-9]{2,4}|[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SHORT_YEAR = re.compile(rf"[0-9]{{1,2}}\.[0-9]{{1,2}}\.[0-9]{{2}},?\s+(?:kl\.?\s*)?{_CLOCK}", re.IGNORECASE)


class NotATime(ValueError):
    """A text that is not a time; the message is a clause that says why and what to write."""


def zone_of(registry: Registry) -> ZoneInfo | None:
    """Return the time zone of an election, or None if its registry names none that is known here."""
    name = registry.document["election"].get("timezone")
    if not isinstance(name, str) or not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def read_counted_at(text: str, zone: ZoneInfo | None) -> str:
    """Return a time as RFC 3339. One without an offset is in `zone`. Raises NotATime.

    A time that does not exist in the zone, or occurs twice, when clocks are changed, is refused.
    """
    try:
        read_time(text)
    except NoOffset:
        raise NotATime(f"it has no offset from UTC; {EXAMPLES}") from None
    except ValueError:
        pass
    else:
        return text
    local = _local(text)
    if zone is None:
        raise NotATime(
            f"the time zone of the election is not known here; write {local:%Y-%m-%dT%H:%M:%S} with its offset,"
            " such as +02:00"
        )
    return _with_offset(local, zone)


def _local(text: str) -> datetime:
    if found := _DAY_FIRST.fullmatch(text):
        day, month, year, *clock = (int(each or 0) for each in found.groups())
        parts = (year, month, day, *clock)
    elif found := _YEAR_FIRST.fullmatch(text):
        *whole, fraction = found.groups()
        parts = (*(int(each or 0) for each in whole), int((fraction or "").ljust(6, "0")))
    else:
        raise NotATime(_reason(text))
    if not 1900 <= parts[0] <= 2200:
        raise NotATime(f"its year is {parts[0]}; {EXAMPLES}")
    try:
        return datetime(*parts)  # type: ignore[arg-type] # noqa: DTZ001
    except ValueError:
        raise NotATime(f"there is no such date or time; {EXAMPLES}") from None


def _reason(text: str) -> str:
    if _SLASHES.fullmatch(text):
        return f"its day and month could be exchanged; {EXAMPLES}"
    if _SHORT_YEAR.fullmatch(text):
        return f"its year has two digits; {EXAMPLES}"
    if _ONLY_DATE.fullmatch(text):
        return f"it has no time of day; {EXAMPLES}"
    return EXAMPLES


def _with_offset(local: datetime, zone: ZoneInfo) -> str:
    first, second = local.replace(tzinfo=zone, fold=0), local.replace(tzinfo=zone, fold=1)
    if first.utcoffset() == second.utcoffset():
        return first.isoformat()
    shown = f"{local:%Y-%m-%dT%H:%M:%S}"
    if _exists(first):
        raise NotATime(
            f"clocks were set back, so this time occurs twice; write {first.isoformat()} or {second.isoformat()}"
        )
    gap = abs((first.utcoffset() or timedelta()) - (second.utcoffset() or timedelta()))
    later = (local + gap).replace(tzinfo=zone)
    raise NotATime(
        f"clocks were set forward, so there is no {shown} in {zone.key}; {later.isoformat()} is meant perhaps"
    )


def _exists(time: datetime) -> bool:
    return time.astimezone(UTC).astimezone(time.tzinfo).replace(tzinfo=None) == time.replace(tzinfo=None)
