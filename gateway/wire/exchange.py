"""What the documents of other standards (EML, NIST) say about an area, beside its figures."""

import re
from datetime import UTC, datetime, timedelta

from gateway.election.report import STATUSES
from gateway.election.state import AreaState

_FRACTION = re.compile(r"\.[0-9]+")
_OFFSET_MAX = timedelta(hours=14)
"""The largest offset of XML Schema's dateTime."""
_NOT_COUNTED = [STATUSES.index(status) for status in ("not_counted", "counting")]
_FINAL = [STATUSES.index(status) for status in ("final", "controlled", "settled")]


def is_complete(area_state: AreaState) -> bool:
    """Whether every unit at or below an area has reported, and none is `not_counted` or `counting`."""
    figures = area_state.figures
    reported = sum(figures[: len(STATUSES)])
    return reported == area_state.area.units and not any(figures[place] for place in _NOT_COUNTED)


def is_final(area_state: AreaState) -> bool:
    """Whether every unit at or below an area is `final`, `controlled` or `settled`."""
    return sum(area_state.figures[place] for place in _FINAL) == area_state.area.units


def units_reported(area_state: AreaState) -> int:
    """Return how many units at or below an area have reported."""
    return sum(area_state.figures[: len(STATUSES)])


def issue_time(area_state: AreaState) -> datetime | None:
    """Return the time of an area's figures: when a unit counted them, when others changed last; None before that."""
    if area_state.report is not None:
        return datetime.fromisoformat(area_state.report[1].upper())
    return area_state.published_at


def date_time(time: datetime, *, fractions: bool = True) -> str:
    """Write a time as a dateTime with an offset. Source: XML Schema 1.1, part 2, section 3.3.7."""
    offset = time.utcoffset()
    if offset is None or abs(offset) > _OFFSET_MAX:
        time = time.astimezone(UTC)
    text = time.isoformat()
    return text if fractions else _FRACTION.sub("", text)
