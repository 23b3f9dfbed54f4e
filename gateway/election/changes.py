"""PURE: changes of a unit's figures, and what a change looks like by itself."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from math import nan
from operator import sub
from typing import NamedTuple, TypeAlias

from gateway.election.registry import Area
from gateway.election.report import STATUS_ORDER, Status

SMALL_PART = 50
"""A fiftieth, that is 2 %: what two counts of the same ballots may differ by."""
SMALL_VOTES = 10
"""So many votes may always differ. A change of so few is never a move: two units may change like that by chance."""
NO_STATUS: Status = "not_counted"
"""The status of a unit before its first report, where its statuses are compared."""
EXCHANGED_PART = 8
"""An eighth of the votes that changed: by so many, two parties may miss each other's votes after an exchange."""


Deltas: TypeAlias = "Sequence[tuple[int, list[int]]]"
"""The categories whose votes changed, each with the changes per party, blank votes last."""


class Columns(NamedTuple):
    """Where in an array of figures each category has its votes, in the order of `Registry.categories`."""

    parties: tuple[slice, ...]
    """The votes of the parties, in the registry's order."""
    blank: tuple[int, ...]
    """The blank votes."""

    def votes(self, figures: array[int], category: int) -> array[int]:
        """Return the votes of one category per party, blank votes last."""
        votes = array("i", figures[self.parties[category]])
        votes.append(figures[self.blank[category]])
        return votes

    def total(self, figures: array[int]) -> int:
        """Return the votes of all categories, with the blank ones."""
        return sum(sum(figures[parties]) for parties in self.parties) + sum(
            figures[place] for place in self.blank
        )

    def deltas(self, before: array[int], after: array[int]) -> Deltas:
        """Return the categories whose votes changed, each with the changes per party, blank votes last."""
        found = []
        for category, (parties, blank) in enumerate(zip(self.parties, self.blank, strict=True)):
            old, new = before[parties], after[parties]
            if old != new or before[blank] != after[blank]:
                found.append((category, [*map(sub, new, old), after[blank] - before[blank]]))
        return found

    def delta(self, before: array[int], after: array[int]) -> list[int]:
        """Return the changes per party, blank votes last, summed over the categories."""
        deltas = self.deltas(before, after)
        if len(deltas) == 1:
            return deltas[0][1]
        width = self.parties[0].stop - self.parties[0].start + 1
        return list(map(sum, zip(*(delta for _, delta in deltas), [0] * width, strict=True)))

    def same(self, one: array[int], other: array[int]) -> bool:
        """Whether two arrays have the same votes in every category."""
        if one is other:
            return True
        for parties, blank in zip(self.parties, self.blank, strict=True):
            if one[parties] != other[parties] or one[blank] != other[blank]:
                return False
        return True


class Change(NamedTuple):
    """A report with other figures than its unit's current report. Neither array may be changed afterwards."""

    number: int
    """Its position in the record; rises from change to change."""
    unit: Area
    counted_at: str
    status_before: str
    """Of the current report; NO_STATUS if the unit has none."""
    status: str
    before: array[int]
    """The figures of the current report; all 0 if there is none."""
    after: array[int]


def is_small(votes: int, of: int) -> bool:
    """Whether votes are at most 2 % of others."""
    return votes * SMALL_PART <= of


def votes_of(delta: Sequence[int]) -> int:
    """Return how many votes changed."""
    return sum(map(abs, delta))


def size_of(deltas: Deltas) -> int:
    """Return how many votes changed in all categories."""
    return sum([votes_of(delta) for _, delta in deltas])


def is_exchange(before: Sequence[int], delta: Sequence[int]) -> bool:
    """Whether two parties of a category have each other's votes, and hardly anything else changed.

    `before` and `delta`: the votes per party before, and their changes; blank votes may follow.
    """
    changed = list(map(abs, delta[: len(before)]))
    size = sum(changed)
    if size <= SMALL_VOTES or len(changed) < 2:
        return False
    one, other = sorted(range(len(changed)), key=changed.__getitem__)[-2:]
    both = changed[one] + changed[other]
    apart = before[other] - before[one]
    missed = abs(apart - delta[one]) + abs(apart + delta[other])
    return missed * EXCHANGED_PART <= both and both * 4 >= size * 3


def code_by_status(change: Change, columns: Columns, deltas: Deltas, size: int) -> str | None:
    """Return the explanation that the statuses give, as its code; `size` is how many votes changed."""
    if change.status == "counted_elsewhere":
        return "counted_elsewhere"
    stage_before, stage = STATUS_ORDER.get(change.status_before, 0), STATUS_ORDER.get(change.status, 0)
    if stage < stage_before:
        return "status_back"
    if stage == stage_before:
        return None
    if size <= SMALL_VOTES:
        return "counted_again"
    few = max(columns.total(change.before) // SMALL_PART, SMALL_VOTES)
    if size <= few:
        return "counted_again"
    changes = [votes for _, delta in deltas for votes in delta]
    if sum(-votes for votes in changes if votes < 0) <= few and sum(changes) > 0:
        return "more_counted"
    return None


@lru_cache(maxsize=1024)
def time_of(counted_at: str) -> float:
    """Return when a report was counted, in Unix seconds; NaN, which is near no other time, if it cannot be read."""
    try:
        return datetime.fromisoformat(counted_at).timestamp()
    except ValueError:
        return nan
