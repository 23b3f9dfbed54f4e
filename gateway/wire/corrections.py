"""Corrections of figures that were public, the largest first, as JSON and as CSV.

Corrections that belong together are grouped: an error that is found is often corrected in several units at once.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from gateway.election.corrections import Correction
from gateway.election.registry import Area, Registry
from gateway.election.state import ElectionState
from gateway.wire.csv_text import csv_row
from gateway.wire.json import to_json

GROUP_S = 30.0
"""Corrections belong to a group if they were published within so many seconds of its largest one, so within a minute
of each other, and"""
GROUP_PART = 10
"""are at least this part of its size: a tenth."""

COLUMNS = (
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
)
"""Members of a correction, which are the columns of CSV too."""


def last_correction(state: ElectionState) -> int:
    """Return the sequence of the last correction of an election, 0 before the first. The document changes with it."""
    correction = state.areas[0].correction
    return correction.sequence if correction is not None else 0


def corrections_document(state: ElectionState, area: Area) -> dict[str, Any]:
    """Return the corrections at and below an area: those of figures that were public, the largest first."""
    found, groups = _find(state, area)
    numbers = _numbers(groups)
    area_state = state.areas[area.index]
    return {
        "election": state.registry.id,
        "rehearsal": state.registry.rehearsal,
        "area": area.id,
        "sequence": last_correction(state),
        "total": area_state.corrections - area_state.unseen_corrections,
        "before_release": area_state.unseen_corrections,
        "groups": [_group(number, each, state.registry) for number, each in enumerate(groups, 1)],
        "corrections": [_entry(each, numbers, state.registry) for each in found],
    }


def corrections_json(state: ElectionState, area: Area) -> bytes:
    """Return the corrections at and below an area as JSON."""
    return to_json(corrections_document(state, area))


def corrections_csv(state: ElectionState, area: Area) -> bytes:
    """Return the corrections at and below an area as CSV, one per line."""
    found, groups = _find(state, area)
    numbers = _numbers(groups)
    entries = (_entry(each, numbers, state.registry) for each in found)
    times = ("at", "since")
    lines = (
        csv_row(entry[name].isoformat() if name in times else entry[name] for name in COLUMNS)
        for entry in entries
    )
    return (csv_row(COLUMNS) + "".join(lines)).encode()


def grouped(corrections: Sequence[Correction]) -> list[list[Correction]]:
    """Return the groups of two and more corrections, the largest first, each with its largest correction first."""
    by_time = sorted(corrections, key=lambda each: each.sequence)
    places = {each.sequence: place for place, each in enumerate(by_time)}
    free = [True] * len(by_time)
    groups = []
    for largest in sorted(corrections, key=_rank):
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


def _find(state: ElectionState, area: Area) -> tuple[list[Correction], list[list[Correction]]]:
    """Return the corrections at and below an area, and their groups."""
    units = state.registry.units
    found = [
        each
        for each in state.corrections.largest()
        if area.index in (units[each.unit].index, *units[each.unit].path)
    ]
    return found, grouped(found)


def _numbers(groups: Sequence[Sequence[Correction]]) -> dict[int, int]:
    """Return the number of each correction's group, by its sequence."""
    return {each.sequence: number for number, group in enumerate(groups, 1) for each in group}


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
    }
