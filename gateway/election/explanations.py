"""PURE: what the record itself shows about a fall: a report with fewer ballots or votes than its unit had before.

An explanation never replaces the sender's reason. It says what a fall looks like, for example half of a move to another
unit of the municipality. Some become known only with a later report.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from heapq import nlargest
from itertools import chain, islice
from operator import add, attrgetter, neg, sub
from typing import NamedTuple

import msgspec

from gateway.election.changes import (
    SMALL_VOTES,
    Change,
    Columns,
    Deltas,
    code_by_status,
    is_exchange,
    is_small,
    size_of,
    time_of,
    votes_of,
)
from gateway.election.growths import GROWTH_MIN, bucket_of
from gateway.election.registry import Registry

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
_RANKS = {code: rank for rank, code in enumerate(CODES)}
_MOVED, _RESTATED = _RANKS["moved"], _RANKS["restated"]

WINDOW_S = 1800
"""How far apart, in seconds of `counted_at`, both halves of a move and figures that are restated may be."""
DUPLICATE_PERMILLE = 20
"""‰ of its ballots by which a count that was booked twice may differ from the other one."""

CHANGES_PER_UNIT = 4
"""Changes that are kept per unit of a municipality (not of each unit), and"""
CHANGES_MIN, CHANGES_MAX = 16, 256
"""how many per municipality at least and at most."""
GROWTHS_PER_UNIT = 4
"""Growths that are kept per unit of the election (not of each unit): the newest."""
OPEN_PER_UNIT, OPEN_MAX = 4, 64
"""Falls of a unit, and in a municipality, that a later report may explain: the newest."""
SEEN_MAX, COMPARED_MAX = 1_000, 100
"""Growths of a category whose size is compared with that of a count that is dropped, and of these, those that are
compared party by party: the smallest first, of about the same size the oldest. In the recorded election, these are 42
and 12 at most."""
COMPARISONS_MAX, COMPARISONS_PER_CHANGE = 16_384, 64
"""Changes and growths that the falls of a municipality are compared with: so many at first, and so many more with each
change, up to that again. A comparison takes some microseconds; SEEN_PER_COMPARISON growths compared by size count as
one. In the recorded election, these are 112 at most."""
SEEN_PER_COMPARISON = 10
"""See COMPARISONS_MAX."""


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


class Placed(msgspec.Struct, frozen=True, gc=False):
    """A change as it is kept, of which there are many: see `Change`."""

    number: int
    unit: int
    """The index of the unit."""
    counted_at: str
    before: array[int]
    after: array[int]


_NOTHING: Sequence[Later] = ()


class _Fall:
    """A fall that a later report may explain, or explain better."""

    __slots__ = ("at", "before", "counted_at", "net", "number", "rank", "size", "unit")

    def __init__(self, change: Change, rank: int) -> None:
        self.number = change.number
        self.unit = change.unit.index
        self.counted_at = change.counted_at
        self.at = 0.0
        """Unix time, once needed for a move."""
        self.before = change.before
        self.size = 0
        """Votes changed per party, once needed for a move."""
        self.net: Sequence[int] = ()
        """Changes of the municipality within the window so far."""
        self.rank = rank
        """Place in CODES of what is known so far; len(CODES) if nothing is."""


class Explainer:
    """Explains falls by themselves, or by other changes of the municipality that are given."""

    def __init__(self, registry: Registry, columns: Columns) -> None:
        self._areas = registry.areas
        self._columns = columns

    def explain(self, change: Change, deltas: Deltas, changes: Sequence[Placed]) -> Explanation | None:
        """Return what a fall looks like; `changes` are those of its municipality before it."""
        size = size_of(deltas)
        if size > SMALL_VOTES:
            parties = self._columns.parties
            if any(is_exchange(change.before[parties[category]], delta) for category, delta in deltas):
                return _BY_CODE["exchanged"]
            if found := self._moved(change, changes):
                return found
        code = code_by_status(change, self._columns, deltas, size)
        return _BY_CODE[code] if code is not None else None

    def _moved(self, change: Change, changes: Sequence[Placed]) -> Explanation | None:
        size = votes_of(self._columns.delta(change.before, change.after))
        if size <= SMALL_VOTES or not changes:
            return None
        unit = change.unit.index
        here = Placed(change.number, unit, change.counted_at, change.before, change.after)
        return self.other_half(unit, size, [*_around(changes, time_of(change.counted_at)), here])

    def other_half(self, unit: int, size: int, changes: Iterable[Placed]) -> Explanation | None:
        """Return the move whose half a fall of a unit is, given its size in votes and the changes around it."""
        by_unit: dict[int, Sequence[int]] = {}
        for each in changes:
            delta = self._columns.delta(each.before, each.after)
            if (earlier := by_unit.get(each.unit)) is not None:
                delta = list(map(add, earlier, delta))
            by_unit[each.unit] = delta
        if len(by_unit) < 2 or unit not in by_unit:
            return None
        net = map(sum, zip(*by_unit.values(), strict=True))
        own = by_unit.pop(unit)
        if not is_small(sum(map(abs, net)), size) or votes_of(own) * 2 < size:
            return None
        differences = {
            index: sum(map(abs, map(add, own, other))) - votes_of(other) for index, other in by_unit.items()
        }
        best = min(differences, key=differences.__getitem__)
        return Explanation("moved", self._areas[best].id) if differences[best] < 0 else None


class History:
    """The changes of votes along the record, as far as they may explain falls.

    What it returns depends on the changes and their order alone. Memory is bounded: figures of at most CHANGES_PER_UNIT
    changes per unit (CHANGES_MIN per municipality), and GROWTHS_PER_UNIT places of growths. So is the time that a
    change takes, whatever was reported before. Where the figures of a municipality fall again and again, each of its
    changes costs COMPARISONS_PER_CHANGE in the long run; what would exceed them is not compared.
    """

    def __init__(self, registry: Registry, columns: Columns, ballots: Sequence[int]) -> None:
        """`ballots`: where in an array of figures each category has its ballots."""
        self._registry = registry
        self._columns = columns
        self._ballots = ballots
        self._explainer = Explainer(registry, columns)
        self._municipalities = array("l", bytes(array("l").itemsize * len(registry.areas)))
        """By index of a unit, the index of its municipality."""
        for unit in registry.units.values():
            self._municipalities[unit.index] = registry.municipality(unit).index
        self._changes_max = array(
            "H",
            (min(max(area.units * CHANGES_PER_UNIT, CHANGES_MIN), CHANGES_MAX) for area in registry.areas),
        )
        """By index of a municipality, how many of its changes are kept."""
        self._changes: dict[int, list[Placed]] = {}
        """By municipality, the newest last."""
        self._growths: tuple[dict[int, deque[Placed]], ...] = tuple({} for _ in columns.parties)
        """For each category, the changes that grew in it, by bucket of the growth of their ballots, the newest last."""
        self._growths_max = len(registry.units) * GROWTHS_PER_UNIT
        self._buckets: deque[deque[Placed]] = deque()
        """The bucket of each growth, the newest last."""
        self._of_unit: dict[int, list[_Fall]] = {}
        """Falls by unit, the newest last."""
        self._open: dict[int, list[_Fall]] = {}
        """By municipality, those of more than SMALL_VOTES."""
        self._comparisons: dict[int, int] = {}
        """By municipality with falls, with how many changes and growths these may still be compared."""

    def place(
        self, number: int, unit: int, counted_at: str, before: array[int], after: array[int]
    ) -> Sequence[Later]:
        """Add the next change, as in `Change`; `unit` is the `Area.index`. Return what it shows about earlier falls.

        Neither array may be changed afterwards.
        """
        municipality = self._municipalities[unit]
        changes = self._changes.get(municipality)
        if changes is None:
            changes = self._changes[municipality] = []
        if (left := self._comparisons.get(municipality)) is not None:
            self._comparisons[municipality] = min(left + COMPARISONS_PER_CHANGE, COMPARISONS_MAX)
        placed = Placed(number, unit, counted_at, before, after)
        changes.append(placed)
        if len(changes) > self._changes_max[municipality]:
            del changes[0]
        for category, place in enumerate(self._ballots):
            growth = after[place] - before[place]
            if growth >= GROWTH_MIN:
                self._add_growth(category, bucket_of(growth), placed)
        if municipality not in self._open and unit not in self._of_unit:
            return _NOTHING
        return [*self._moves(placed, municipality), *self._restated(placed)]

    def place_fall(self, change: Change) -> tuple[Explanation | None, Sequence[Later]]:
        """Add the next change, one that fell. Return what it looks like, and what it shows about earlier falls."""
        deltas = self._columns.deltas(change.before, change.after)
        size = size_of(deltas)
        explained = self._withdrawn(change, deltas) if size > SMALL_VOTES else None
        if explained is None:
            municipality = self._municipalities[change.unit.index]
            changes = self._changes.get(municipality, [])
            compared = changes if size > SMALL_VOTES and self._may_compare(municipality, len(changes)) else ()
            explained = self._explainer.explain(change, deltas, compared)
        number, unit, counted_at, _, _, before, after = change
        later = self.place(number, unit.index, counted_at, before, after)
        self._keep_open(change, size, explained)
        return explained, later

    def _may_compare(self, municipality: int, count: int) -> bool:
        """Whether a fall of a municipality may be compared with so many changes or growths; count them if so."""
        left = self._comparisons.get(municipality, COMPARISONS_MAX)
        if left < count:
            return False
        self._comparisons[municipality] = left - count
        return True

    # Growths.

    def _add_growth(self, category: int, key: int, placed: Placed) -> None:
        if len(self._buckets) >= self._growths_max:
            self._buckets.popleft().popleft()
        bucket = self._growths[category].get(key)
        if bucket is None:
            bucket = self._growths[category][key] = deque()
        bucket.append(placed)
        self._buckets.append(bucket)

    def _near(self, votes: array[int], unit: int) -> list[Placed]:
        """Return the growths that differ from votes by at most DUPLICATE_PERMILLE, if one of them is of this unit."""
        ballots = sum(votes)
        most = ballots * DUPLICATE_PERMILLE // 1000
        keys = range(bucket_of(max(ballots - most, 1)), bucket_of(ballots + most) + 1)
        # Of the growths of these sizes, few have as many votes for two large parties.
        parties = nlargest(2, range(len(votes) - 1), key=votes.__getitem__)
        one, other = parties[0], parties[-1]
        low, high = votes[one] - most, votes[one] + most
        other_low, other_high = votes[other] - most, votes[other] + most
        near: list[Placed] = []
        municipality = self._municipalities[unit]
        for category, buckets in enumerate(self._growths):
            first = self._columns.parties[category].start
            at, other_at = first + one, first + other
            seen = list(islice(chain.from_iterable(buckets.get(key, ()) for key in keys), SEEN_MAX))
            if not self._may_compare(municipality, len(seen) // SEEN_PER_COMPARISON):
                return []
            similar = [
                placed
                for placed in seen
                if low <= placed.after[at] - placed.before[at] <= high
                and other_low <= placed.after[other_at] - placed.before[other_at] <= other_high
            ][:COMPARED_MAX]
            if not self._may_compare(municipality, len(similar)):
                return []
            near += [placed for placed in similar if self._distance(placed, category, votes) <= most]
        return near if any(placed.unit == unit for placed in near) else []

    def _distance(self, placed: Placed, category: int, votes: array[int]) -> int:
        """Return by how many votes a growth differs from others, blank votes last, summed over the parties."""
        before, after = placed.before, placed.after
        parties, blank = self._columns.parties[category], self._columns.blank[category]
        of_parties: int = sum(map(abs, map(sub, map(sub, after[parties], before[parties]), votes)))
        return of_parties + abs(after[blank] - before[blank] - votes[-1])

    # What is known at once.

    def _withdrawn(self, change: Change, deltas: Deltas) -> Explanation | None:
        """Whether the unit drops a count that it took on, and that is a count of another municipality too."""
        unit = change.unit.index
        municipality = self._municipalities[unit]
        for category, delta in deltas:
            if sum(delta) > -GROWTH_MIN:
                continue
            before = self._columns.votes(change.before, category)
            candidates = [array("i", map(neg, delta))]
            if votes_of(delta) * 2 >= sum(before):
                candidates.append(before)  # all of the votes before, as most of them are others now
            for dropped in candidates:
                near = self._near(dropped, unit)
                others = [each for each in near if self._municipalities[each.unit] != municipality]
                if others:
                    first = min(others, key=attrgetter("number"))
                    return Explanation("duplicate_withdrawn", self._registry.areas[first.unit].id)
        return None

    # What becomes known later.

    def _keep_open(self, change: Change, size: int, explained: Explanation | None) -> None:
        rank = _RANKS[explained.code] if explained is not None else len(CODES)
        if rank <= _MOVED:
            return
        columns, unit = self._columns, change.unit.index
        fall = _Fall(change, rank)
        falls = self._of_unit.get(unit)
        if falls is None:
            self._of_unit[unit] = [fall]
        else:
            _append(falls, fall, OPEN_PER_UNIT)
        if size > SMALL_VOTES:
            fall.size = votes_of(columns.delta(change.before, change.after))
        if fall.size > SMALL_VOTES:
            municipality = self._municipalities[unit]
            fall.at = time_of(fall.counted_at)
            if not self._may_compare(municipality, len(self._changes[municipality])):
                return
            changes = _around(self._changes[municipality], fall.at)
            nets = [columns.delta(each.before, each.after) for each in changes]
            fall.net = list(map(sum, zip(*nets, strict=True)))
            _append(self._open.setdefault(municipality, []), fall, OPEN_MAX)

    def _moves(self, placed: Placed, municipality: int) -> Iterator[Later]:
        """Yield the falls of which a change is the other half."""
        falls = self._open.get(municipality)
        if falls is None:
            return
        at, delta = time_of(placed.counted_at), None
        changes = self._changes[municipality]
        for fall in falls:
            if fall.rank <= _MOVED or not abs(fall.at - at) <= WINDOW_S:
                continue
            if delta is None:
                delta = self._columns.delta(placed.before, placed.after)
            fall.net = list(map(add, fall.net, delta))
            if is_small(votes_of(fall.net), fall.size) and self._may_compare(municipality, len(changes)):
                around = _around(changes, fall.at)
                if found := self._explainer.other_half(fall.unit, fall.size, around):
                    fall.rank = _MOVED
                    yield Later(fall.number, found)

    def _restated(self, placed: Placed) -> Iterator[Later]:
        """Yield the falls of the unit before which it had the votes that it has again."""
        for fall in self._of_unit.get(placed.unit, ()):
            if (
                fall.rank > _RESTATED
                and self._columns.same(fall.before, placed.after)
                and abs(time_of(fall.counted_at) - time_of(placed.counted_at)) <= WINDOW_S
            ):
                fall.rank = _RESTATED
                yield Later(fall.number, _BY_CODE["restated"])


def _append(falls: list[_Fall], fall: _Fall, most: int) -> None:
    falls.append(fall)
    if len(falls) > most:
        del falls[0]


def _around(changes: Iterable[Placed], at: float) -> Iterator[Placed]:
    return (each for each in changes if abs(time_of(each.counted_at) - at) <= WINDOW_S)


_BY_CODE = {code: Explanation(code) for code in CODES}
