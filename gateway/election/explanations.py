"""PURE: what the record itself shows about a fall: a report with fewer ballots or votes than its unit had before.

An explanation never replaces the sender's reason. It says what a fall looks like, for example half of a move to another
unit of the municipality. Some become known only with a later report.
"""

from __future__ import annotations

from array import array
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import nan
from operator import add, sub
from typing import NamedTuple

from gateway.election.changes import (
    SMALL_VOTES,
    Change,
    Columns,
    code_by_status,
    delta_of,
    is_exchange,
    is_small,
)
from gateway.election.growths import GROWTH_MIN, Growth, Growths, distance
from gateway.election.registry import Area, Registry, read_time

CODES = (
    "duplicate_withdrawn",
    "exchanged",
    "moved",
    "restated",
    "counted_elsewhere",
    "status_back",
    "counted_again",
    "more_counted",
)
"""The explanations. Of those that apply to a fall, the first is used."""

WINDOW_S = 1800
"""How far apart, in seconds of `counted_at`, both halves of a move and figures that are restated may be."""
DUPLICATE_PERMILLE = 20
"""‰ of its ballots by which a count that was booked twice may differ from the other one."""
CHANGES_PER_UNIT = 4
"""Changes that are kept per unit of a municipality (not of each unit), and"""
CHANGES_MIN, CHANGES_MAX = 16, 256
"""how many per municipality at least and at most."""
GROWTHS_PER_UNIT = 8
"""Growths that are kept of each unit: the newest."""
OPEN_PER_UNIT = 4
"""Falls of a unit that a later report of this unit may restate: the newest."""
OPEN_PER_MUNICIPALITY = 64
"""Falls in a municipality of which a later report may be the other half: the newest."""


class Explanation(NamedTuple):
    """What a fall looks like."""

    code: str
    """One of CODES."""
    unit: str | None = None
    """Identifier of the other unit, for `duplicate_withdrawn` and `moved`."""


class Later(NamedTuple):
    """An explanation that became known with a later report."""

    number: int
    """Of the change that fell."""
    explanation: Explanation


class _Placed(NamedTuple):
    at: float
    unit: int
    before: array[int]
    after: array[int]


class _Fall:
    """A fall that a later report may explain, or explain better."""

    __slots__ = ("at", "before", "explained", "net", "number", "size", "unit")

    def __init__(self, change: Change, at: float, delta: Sequence[int], rank: int) -> None:
        self.number = change.number
        self.unit = change.unit.index
        self.at = at
        self.before = change.before
        self.size = sum(map(abs, delta))
        self.net: Sequence[int] = ()
        """Changes of the municipality within the window so far."""
        self.explained = rank
        """Place in CODES of what is known so far; len(CODES) if nothing is."""


class History:
    """The changes of figures along the record, as far as they may explain falls.

    What it returns depends on the changes and their order alone. Memory is bounded per unit: figures of at most
    CHANGES_PER_UNIT changes on average (CHANGES_MIN per municipality), and the growths.

    `later`: whether to find out with later reports what an earlier fall was; otherwise only `explain` is of use.
    """

    def __init__(self, registry: Registry, columns: Columns, *, later: bool) -> None:
        self._registry = registry
        self._columns = columns
        self._later = later
        self._municipalities: dict[int, int] = {}
        """By index of the unit, once needed, the index of its municipality."""
        self._changes: dict[int, deque[_Placed]] = {}
        """By municipality, the newest last."""
        self._growths = Growths()
        self._own_growths: dict[int, list[tuple[int, Growth]]] = {}
        """By unit, with the numbers of their changes, the newest last."""
        self._open: defaultdict[int, deque[_Fall]] = defaultdict(lambda: deque(maxlen=OPEN_PER_MUNICIPALITY))
        """By municipality."""
        self._restatable: defaultdict[int, deque[_Fall]] = defaultdict(lambda: deque(maxlen=OPEN_PER_UNIT))
        """By unit."""
        self._undo: list[Callable[[], object]] | None = None

    def explain(self, change: Change) -> Explanation | None:
        """Return what a fall looks like, from what was placed before it. It is placed afterwards, if at all."""
        columns = self._columns
        delta = delta_of(columns, change.before, change.after)
        if found := self._withdrawn(change):
            return found
        if is_exchange(columns, change):
            return Explanation("exchanged")
        if found := self._moved(change, delta):
            return found
        code = code_by_status(change, columns)
        return Explanation(code) if code is not None else None

    def place(
        self,
        change: Change,
        growths: Sequence[Growth],
        *,
        fell: bool = False,
        explained: Explanation | None = None,
    ) -> list[Later]:
        """Add the next change, with its growths of at least GROWTH_MIN. Return what it shows about earlier falls.

        `explained` is what `explain` returned for it, if it `fell`.
        """
        at = _time(change)
        unit, municipality = change.unit.index, self.municipality(change.unit)
        placed = _Placed(at, unit, change.before, change.after)
        changes = self._changes.get(municipality)
        if changes is None:
            units = self._registry.areas[municipality].units
            most = min(max(units * CHANGES_PER_UNIT, CHANGES_MIN), CHANGES_MAX)
            changes = self._changes[municipality] = deque(maxlen=most)
        if self._undo is not None:
            self._undo_change(changes)
        changes.append(placed)
        for growth in growths:
            self._add_growth(change.number, growth)
        if not self._later:
            return []
        known: list[Later] = []
        if municipality in self._open:
            known += self._moves(placed, municipality)
        if unit in self._restatable:
            known += self._restated(placed)
        if fell:
            self._keep_open(change, at, municipality, explained)
        return known

    def municipality(self, unit: Area) -> int:
        """Return the `Area.index` of a unit's municipality."""
        index = self._municipalities.get(unit.index)
        if index is None:
            index = self._municipalities[unit.index] = self._registry.municipality(unit).index
        return index

    # Batches that may not be committed.

    def checkpoint(self) -> None:
        """Remember where to roll back to. Only for a history without `later`."""
        self._undo = []

    def keep(self) -> None:
        """Keep what was placed since the checkpoint."""
        self._undo = None

    def roll_back(self) -> None:
        """Forget what was placed since the checkpoint."""
        undo, self._undo = self._undo or [], None
        for each in reversed(undo):
            each()

    def _undo_change(self, changes: deque[_Placed]) -> None:
        assert self._undo is not None
        if len(changes) == changes.maxlen:
            oldest = changes[0]
            self._undo.append(lambda: changes.appendleft(oldest))
        self._undo.append(changes.pop)

    # What is known at once.

    def _withdrawn(self, change: Change) -> Explanation | None:
        """Whether the unit drops a count that it took on, and that is a count of another municipality too."""
        own = self._own_growths.get(change.unit.index)
        if own is None:
            return None
        municipality, columns = self.municipality(change.unit), self._columns
        for category in range(len(columns.blank)):
            before = columns.votes(change.before, category)
            after = columns.votes(change.after, category)
            for dropped in (array("i", map(sub, before, after)), before):
                # All of the figures before, if only a part of the same ballots remains.
                size = sum(dropped)
                if size < GROWTH_MIN or (dropped is before and distance(before, after) * 2 < size):
                    continue
                near = [growth for _, growth in self._growths.near(size, dropped, DUPLICATE_PERMILLE)]
                others = [each for each in near if each.municipality != municipality]
                if others and any(each.unit == change.unit.index for each in near):
                    first = min(others, key=self._number)
                    return Explanation("duplicate_withdrawn", self._registry.areas[first.unit].id)
        return None

    def _number(self, growth: Growth) -> int:
        """Return the number of the change that brought a growth."""
        return next(number for number, each in self._own_growths[growth.unit] if each is growth)

    def _moved(self, change: Change, delta: Sequence[int]) -> Explanation | None:
        size = sum(map(abs, delta))
        changes = self._changes.get(self.municipality(change.unit))
        if size <= SMALL_VOTES or not changes:
            return None
        at = _time(change)
        unit = change.unit.index
        here = _Placed(at, unit, change.before, change.after)
        return self._other_half(unit, size, [*_around(changes, at), here])

    def _other_half(self, unit: int, size: int, changes: Sequence[_Placed]) -> Explanation | None:
        """Return the move whose half a fall of a unit is, given its size in votes and the changes around it."""
        by_unit: dict[int, Sequence[int]] = {}
        for each in changes:
            delta = delta_of(self._columns, each.before, each.after)
            if (earlier := by_unit.get(each.unit)) is not None:
                delta = list(map(add, earlier, delta))
            by_unit[each.unit] = delta
        if unit not in by_unit:
            return None
        net = [sum(column) for column in zip(*by_unit.values(), strict=True)]
        own = by_unit.pop(unit)
        if not is_small(sum(map(abs, net)), size) or sum(map(abs, own)) * 2 < size:
            return None
        differences = {
            index: sum(map(abs, map(add, own, other))) - sum(map(abs, other))
            for index, other in by_unit.items()
        }
        if not differences:
            return None
        best = min(differences, key=differences.__getitem__)
        return Explanation("moved", self._registry.areas[best].id) if differences[best] < 0 else None

    # What becomes known later.

    def _keep_open(self, change: Change, at: float, municipality: int, explained: Explanation | None) -> None:
        rank = CODES.index(explained.code) if explained is not None else len(CODES)
        if rank <= CODES.index("moved"):
            return
        fall = _Fall(change, at, delta_of(self._columns, change.before, change.after), rank)
        self._restatable[fall.unit].append(fall)
        if fall.size > SMALL_VOTES:
            changes = self._changes[municipality]
            deltas = [delta_of(self._columns, each.before, each.after) for each in _around(changes, at)]
            fall.net = [sum(column) for column in zip(*deltas, strict=True)]
            self._open[municipality].append(fall)

    def _moves(self, placed: _Placed, municipality: int) -> Iterator[Later]:
        """Yield the falls of which a change is the other half."""
        falls, delta = self._open[municipality], None
        moved = CODES.index("moved")
        for fall in [each for each in falls if abs(each.at - placed.at) <= WINDOW_S]:
            if delta is None:
                delta = delta_of(self._columns, placed.before, placed.after)
            fall.net = list(map(add, fall.net, delta))
            if fall.explained <= moved or not is_small(sum(map(abs, fall.net)), fall.size):
                continue
            changes = list(_around(self._changes[municipality], fall.at))
            if found := self._other_half(fall.unit, fall.size, changes):
                fall.explained = moved
                yield Later(fall.number, found)
        if any(each.explained <= moved for each in falls):
            remaining = [each for each in falls if each.explained > moved]
            falls.clear()
            falls.extend(remaining)

    def _restated(self, placed: _Placed) -> Iterator[Later]:
        """Yield the falls of the unit before which it had the figures that it has again."""
        restated = CODES.index("restated")
        for fall in self._restatable[placed.unit]:
            if (
                fall.explained > restated
                and abs(fall.at - placed.at) <= WINDOW_S
                and self._columns.same(fall.before, placed.after)
            ):
                fall.explained = restated
                yield Later(fall.number, Explanation("restated"))

    def _add_growth(self, number: int, growth: Growth) -> None:
        own = self._own_growths.setdefault(growth.unit, [])
        own.append((number, growth))
        self._growths.add(growth)
        dropped = own.pop(0) if len(own) > GROWTHS_PER_UNIT else None
        if dropped is not None:
            self._growths.remove(dropped[1])
        if self._undo is not None:
            self._undo.append(partial(self._remove, own, growth, dropped))

    def _remove(
        self, own: list[tuple[int, Growth]], growth: Growth, dropped: tuple[int, Growth] | None
    ) -> None:
        own.pop()
        self._growths.remove(growth)
        if dropped is not None:
            own.insert(0, dropped)
            self._growths.add(dropped[1])


def _time(change: Change) -> float:
    """Return when the report of a change was counted; NaN, which is near no other time, if this cannot be read."""
    try:
        return read_time(change.counted_at).timestamp()
    except ValueError:
        return nan


def _around(changes: Sequence[_Placed], at: float) -> Iterator[_Placed]:
    return (each for each in changes if abs(each.at - at) <= WINDOW_S)
