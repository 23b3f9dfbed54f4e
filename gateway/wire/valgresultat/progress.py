"""How far counting has come: for each phase and kind of unit, how many have completed it.

Of a municipality, units are counted; above it, the municipalities in which all units of a kind have completed a phase.
A unit whose ballots are counted elsewhere has completed every phase.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from gateway.election.registry import Area
from gateway.election.report import STATUS_ORDER
from gateway.election.state import ElectionState

KINDS = {
    "advance_station": "forhaandsstemmelokale",
    "polling_station": "valgtingslokale",
    "other_advance": "ovrige-fhs",
    "unspecified": "ovrige-vts",
    "late_advance": "teltEtter17",
}
"""Kinds of units in the registry, as the service names them. A unit of any other kind belongs to each of them."""
PHASES = {"forste": "preliminary", "andre": "final", "kontroll": "controlled", "oppgjor": "settled"}
"""Each phase with the status of units that have completed it."""
ELSEWHERE = "counted_elsewhere"
_WITH_ELSEWHERE = ("forhaandsstemmelokale", "valgtingslokale", "ovrige-fhs")
"""Kinds for which the service says how many units are counted elsewhere."""
_PLACES = {kind: place for place, kind in enumerate(KINDS)}
_EVERY = tuple(range(len(KINDS)))
_LEAST = tuple(STATUS_ORDER[status] for status in PHASES.values())
_ORDERS = max(STATUS_ORDER.values()) + 2
_ELSEWHERE = _ORDERS - 1
"""The order of units that are counted elsewhere, above all others."""
_WIDTH = 1 + len(PHASES)
"""Figures of a kind: all, and those that have completed each phase."""


class Progress:
    """The progress of one state. Invariant: an area is counted once per change."""

    def __init__(self, state: ElectionState) -> None:
        self._state = state
        self._counted: dict[int, tuple[int, array[int]]] = {}
        """By area above municipalities or municipality, the sequence of its last change and its figures."""

    def document(self, area: Area, kind: str) -> dict[str, Any]:
        """Return the progress of an area above units as members, with its type as the service names it."""
        figures = self._figures(area)
        elsewhere = self._elsewhere(area) if self._has_units(area) else None
        return {"type": kind} | {
            phase: {
                name: _phase(figures[_WIDTH * place], figures[_WIDTH * place + 1 + number])
                | ({"tellesIkke": elsewhere[place]} if elsewhere and name in _WITH_ELSEWHERE else {})
                for place, name in enumerate(KINDS.values())
            }
            for number, phase in enumerate(PHASES)
        }

    def _figures(self, area: Area) -> array[int]:
        """Return for each kind how many there are, and how many have completed each phase."""
        sequence = self._state.areas[area.index].sequence
        counted = self._counted.get(area.index)
        if counted is None or counted[0] != sequence:
            figures = self._count_units(area) if self._has_units(area) else self._count_areas(area)
            counted = self._counted[area.index] = sequence, figures
        return counted[1]

    def _has_units(self, area: Area) -> bool:
        return self._state.areas[area.children[0]].area.is_unit

    def _count_units(self, area: Area) -> array[int]:
        figures = array("q", bytes(8 * len(KINDS) * _WIDTH))
        for place, orders in enumerate(self._orders(area)):
            start = _WIDTH * place
            figures[start] = sum(orders)
            for number, least in enumerate(_LEAST, 1):
                figures[start + number] = sum(orders[least:])
        return figures

    def _orders(self, area: Area) -> Sequence[Sequence[int]]:
        """Return for each kind the number of units by the order of their status."""
        found = [[0] * _ORDERS for _ in KINDS]
        for index in area.children:
            unit = self._state.areas[index]
            if not unit.area.is_unit:
                continue
            status = unit.report[2] if unit.report is not None else ""
            order = _ELSEWHERE if status == ELSEWHERE else STATUS_ORDER.get(status, 0)
            place = _PLACES.get(unit.area.kind or "")
            for each in _EVERY if place is None else (place,):
                found[each][order] += 1
        return found

    def _elsewhere(self, area: Area) -> list[int]:
        return [orders[_ELSEWHERE] for orders in self._orders(area)]

    def _count_areas(self, area: Area) -> array[int]:
        """Return the sum of the areas below, of which each municipality is one."""
        total = array("q", bytes(8 * len(KINDS) * _WIDTH))
        for index in area.children:
            child = self._state.areas[index].area
            if child.is_unit:
                continue
            figures = self._figures(child)
            whole = self._has_units(child)
            for place in range(0, len(total), _WIDTH):
                for number in range(_WIDTH if figures[place] else 0):
                    value = figures[place + number]
                    total[place + number] += (value == figures[place]) if whole else value
        return total


def _phase(all_of_them: int, completed: int) -> dict[str, Any]:
    status = "ferdig" if completed == all_of_them else "paagaar"
    return {"status": status if completed else None, "ferdig": completed, "totalt": all_of_them}


def unit_status(status: str | None) -> str | None:
    """Return the status of a unit as the service names it; None without a report, or where it has no such status."""
    return _UNIT_STATUS.get(status or "")


_UNIT_STATUS = {
    "counting": "paagaar",
    ELSEWHERE: "tellesIkke",
    **{status: f"{phase}Ferdig" for phase, status in PHASES.items()},
}
