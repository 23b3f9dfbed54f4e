"""PURE: times as people write them, in the time zone of the election."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from gateway.count_files.messages import Message, said
from gateway.election.rfc3339 import NoOffset, read_time

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
    """A text that is not a time; `why` is a clause with the reason and what to write."""

    def __init__(self, why: Message) -> None:
        super().__init__(why)
        self.why = why


def read_counted_at(text: str, zone: ZoneInfo | None) -> str:
    """Return a time as RFC 3339. One without an offset is in `zone`. Raises NotATime.

    A time that does not exist in the zone, or occurs twice, when clocks are changed, is refused.
    """
    try:
        read_time(text)
    except NoOffset:
        raise NotATime(said("no_offset")) from None
    except ValueError:
        pass
    else:
        return text
    local = _local(text)
    if zone is None:
        raise NotATime(said("zone_unknown", time=f"{local:%Y-%m-%dT%H:%M:%S}"))
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
        raise NotATime(said("wrong_year", year=str(parts[0])))
    try:
        return datetime(*parts)  # type: ignore[arg-type] # noqa: DTZ001
    except ValueError:
        raise NotATime(said("no_such_time")) from None


def _reason(text: str) -> Message:
    if _SLASHES.fullmatch(text):
        return said("day_or_month")
    if _SHORT_YEAR.fullmatch(text):
        return said("short_year")
    if _ONLY_DATE.fullmatch(text):
        return said("no_time_of_day")
    return said("other_form")


def _with_offset(local: datetime, zone: ZoneInfo) -> str:
    first, second = local.replace(tzinfo=zone, fold=0), local.replace(tzinfo=zone, fold=1)
    if first.utcoffset() == second.utcoffset():
        return first.isoformat()
    shown = f"{local:%Y-%m-%dT%H:%M:%S}"
    if _exists(first):
        raise NotATime(said("time_occurs_twice", first=first.isoformat(), second=second.isoformat()))
    gap = abs((first.utcoffset() or timedelta()) - (second.utcoffset() or timedelta()))
    later = (local + gap).replace(tzinfo=zone)
    raise NotATime(said("time_skipped", time=shown, zone=zone.key, later=later.isoformat()))


def _exists(time: datetime) -> bool:
    return time.astimezone(UTC).astimezone(time.tzinfo).replace(tzinfo=None) == time.replace(tzinfo=None)
