"""Corrections of figures that were public, the largest first, as JSON and as CSV.

Corrections that belong together are grouped: an error that is found is often corrected in several units at once.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

from gateway.election.corrections import Correction
from gateway.election.registry import Area, Registry
from gateway.election.state import ElectionState
from gateway.wire.areas import explanation_document
from gateway.wire.csv_text import csv_row
from gateway.wire.json import to_json

GROUP_S = 30.0
"""A correction belongs to the group of a larger one if they were published within so many seconds of each other,"""
GROUP_PART = 10
"""and if its size is at least this part of the larger one's: a tenth."""

STEP = 50
"""Corrections per step."""

Steps = Generator[None, None, bytes]

MEMBERS = (
    "group",
    "size",
    "at",
    "municipality",
    "municipality_name",
    "unit",
    "name",
    "before",
    "after",
    "ballots",
    "public_s",
    "reason",
    "sequence",
    "replaced",
    "since",
    "explained",
)
"""The members of a correction in JSON."""
COLUMNS = (*MEMBERS, "explained_unit")
"""The columns of CSV: the same, but `explained` is the code, and its unit follows."""


class Corrections(NamedTuple):
    """The corrections at and below an area, as of a moment."""

    registry: Registry
    area: str
    sequence: int
    total: int
    before_release: int
    listed: Sequence[Correction]
    """The largest first."""


def corrections_of(state: ElectionState, area: Area) -> Corrections:
    """Return the corrections at and below an area: those of figures that were public."""
    area_state = state.areas[area.index]
    return Corrections(
        registry=state.registry,
        area=area.id,
        sequence=state.corrections.changed,
        total=area_state.corrections - area_state.unseen_corrections,
        before_release=area_state.unseen_corrections,
        listed=state.corrections.largest(area.index),
    )


def json_steps(corrections: Corrections) -> Steps:
    """Encode corrections as JSON, in steps of a few milliseconds."""
    groups = yield from grouped(corrections.listed)
    entries = _entries(corrections, groups)
    encoded: list[bytes] = []
    while part := list(islice(entries, STEP)):
        encoded.append(to_json(part)[1:-1])
        yield
    registry = corrections.registry
    shown = []
    for number, group in enumerate(groups, 1):
        shown.append(_group(number, group, registry))
        if number % STEP == 0:
            yield
    head = {
        "election": registry.id,
        "rehearsal": registry.rehearsal,
        "area": corrections.area,
        "sequence": corrections.sequence,
        "total": corrections.total,
        "before_release": corrections.before_release,
        "groups": shown,
    }
    return to_json(head)[:-1] + b',"corrections":[' + b",".join(encoded) + b"]}"


def csv_steps(corrections: Corrections) -> Steps:
    """Encode corrections as CSV, one per line, in steps of a few milliseconds."""
    groups = yield from grouped(corrections.listed)
    lines = [csv_row(COLUMNS)]
    for entry in _entries(corrections, groups):
        lines.append(_csv_line(entry))
        if len(lines) % STEP == 0:
            yield
    return "".join(lines).encode()


def csv_of(document: Mapping[str, Any]) -> bytes:
    """Return corrections as CSV from their document, as it was read as JSON. Raises KeyError, TypeError, ValueError."""
    times = ("at", "since")
    entries = (
        {**entry, **{name: datetime.fromisoformat(entry[name]) for name in times}}
        for entry in document["corrections"]
    )
    return "".join([csv_row(COLUMNS), *map(_csv_line, entries)]).encode()


def _csv_line(entry: Mapping[str, Any]) -> str:
    explained = entry["explained"] or {}
    cells = {
        **entry,
        "at": entry["at"].isoformat(),
        "since": entry["since"].isoformat(),
        "explained": explained.get("code"),
        "explained_unit": explained.get("unit"),
    }
    return csv_row(cells[name] for name in COLUMNS)


def grouped(largest_first: Sequence[Correction]) -> Generator[None, None, list[list[Correction]]]:
    """Return the groups of two and more corrections, the largest first, each with its largest correction first."""
    by_time = sorted(largest_first, key=lambda each: each.sequence)
    places = {each.sequence: place for place, each in enumerate(by_time)}
    free = [True] * len(by_time)
    groups = []
    for number, largest in enumerate(largest_first):
        if number % STEP == STEP - 1:
            yield
        place = places[largest.sequence]
        if not free[place]:
            continue
        group = [
            near
            for near in _near(by_time, place)
            if free[near] and by_time[near].size * GROUP_PART >= largest.size
        ]
        for near in group:
            free[near] = False
        if len(group) > 1:
            groups.append(sorted((by_time[near] for near in group), key=_rank))
    return sorted(groups, key=lambda group: (-_size(group), -group[0].sequence))


def _near(by_time: Sequence[Correction], place: int) -> list[int]:
    """Return the places of the corrections within GROUP_S of one, with its own. Times never decrease."""
    at, most = by_time[place].at, timedelta(seconds=GROUP_S)
    first = last = place
    while first > 0 and at - by_time[first - 1].at <= most:
        first -= 1
    while last < len(by_time) - 1 and by_time[last + 1].at - at <= most:
        last += 1
    return list(range(first, last + 1))


def _rank(correction: Correction) -> tuple[int, int]:
    return -correction.size, -correction.sequence


def _size(group: Sequence[Correction]) -> int:
    return sum(each.size for each in group)


def _group(number: int, group: Sequence[Correction], registry: Registry) -> dict[str, Any]:
    return {
        "group": number,
        "size": _size(group),
        "corrections": len(group),
        "municipalities": len({registry.municipality(registry.units[each.unit]).id for each in group}),
        "ballots": sum(each.ballots for each in group),
        "first_at": min(each.at for each in group),
        "last_at": max(each.at for each in group),
    }


def _entries(corrections: Corrections, groups: Sequence[Sequence[Correction]]) -> Iterator[dict[str, Any]]:
    numbers = {each.sequence: number for number, group in enumerate(groups, 1) for each in group}
    return (_entry(each, numbers, corrections.registry) for each in corrections.listed)


def _entry(correction: Correction, numbers: Mapping[int, int], registry: Registry) -> dict[str, Any]:
    unit = registry.units[correction.unit]
    municipality = registry.municipality(unit)
    return {
        "group": numbers.get(correction.sequence),
        "size": correction.size,
        "at": correction.at,
        "municipality": municipality.id,
        "municipality_name": municipality.name,
        "unit": unit.id,
        "name": unit.name,
        "before": correction.before,
        "after": correction.after,
        "ballots": correction.ballots,
        "public_s": round((correction.at - correction.since).total_seconds(), 3),
        "reason": correction.reason,
        "sequence": correction.sequence,
        "replaced": correction.replaced,
        "since": correction.since,
        "explained": explanation_document(correction.explained),
    }
