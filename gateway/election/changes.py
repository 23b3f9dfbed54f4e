"""PURE: changes of a unit's figures, and what a change looks like by itself."""

from __future__ import annotations

from array import array
from itertools import combinations
from operator import add, sub
from typing import NamedTuple

from gateway.election.registry import Area
from gateway.election.report import STATUS_ORDER

SMALL_PART = 50
"""A fiftieth, that is 2 %: what two counts of the same ballots may differ by."""
SMALL_VOTES = 10
"""So many votes may always differ. A change of so few is never a move: two units may change like that by chance."""
EXCHANGED_PART = 8
"""An eighth of the votes that changed: by so many, two parties may miss each other's votes after an exchange."""


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

    def all_votes(self, figures: array[int]) -> list[int]:
        """Return the votes per party, blank votes last, summed over the categories."""
        first, *others = (self.votes(figures, category) for category in range(len(self.blank)))
        total = list(first)
        for each in others:
            total = list(map(add, total, each))
        return total

    def every_vote(self, figures: array[int]) -> list[int]:
        """Return the votes of all categories, one after another."""
        return [votes for category in range(len(self.blank)) for votes in self.votes(figures, category)]

    def same(self, one: array[int], other: array[int]) -> bool:
        """Whether two arrays have the same votes in every category."""
        return one is other or all(
            one[parties] == other[parties] and one[blank] == other[blank]
            for parties, blank in zip(self.parties, self.blank, strict=True)
        )


class Change(NamedTuple):
    """A report with other figures than its unit's current report. Neither array may be changed afterwards."""

    number: int
    """Its position in the record; rises from change to change."""
    unit: Area
    counted_at: str
    status_before: str
    """Of the current report; `not_counted` if the unit has none."""
    status: str
    before: array[int]
    """The figures of the current report; all 0 if there is none."""
    after: array[int]


def delta_of(columns: Columns, before: array[int], after: array[int]) -> list[int]:
    """Return the changes per party, blank votes last, summed over the categories."""
    return list(map(sub, columns.all_votes(after), columns.all_votes(before)))


def is_small(votes: int, of: int) -> bool:
    """Whether votes are at most 2 % of others."""
    return votes * SMALL_PART <= of


def is_exchange(columns: Columns, change: Change) -> bool:
    """Whether two parties of a category have each other's votes, and hardly anything else changed."""
    for category in range(len(columns.blank)):
        before = columns.votes(change.before, category)
        after = columns.votes(change.after, category)
        changed = list(map(abs, map(sub, after, before)))[:-1]
        size = sum(changed)
        if size <= SMALL_VOTES:
            continue
        most = sorted(range(len(changed)), key=changed.__getitem__)[-2:]
        for one, other in combinations(most, 2):
            both = changed[one] + changed[other]
            missed = abs(after[one] - before[other]) + abs(after[other] - before[one])
            if missed * EXCHANGED_PART <= both and both * 4 >= size * 3:
                return True
    return False


def code_by_status(change: Change, columns: Columns) -> str | None:
    """Return the explanation that the statuses give, as its code."""
    if change.status == "counted_elsewhere":
        return "counted_elsewhere"
    stage_before, stage = (STATUS_ORDER.get(status, 0) for status in (change.status_before, change.status))
    if stage < stage_before:
        return "status_back"
    if stage == stage_before:
        return None
    before = columns.every_vote(change.before)
    deltas = list(map(sub, columns.every_vote(change.after), before))
    few = max(sum(before) // SMALL_PART, SMALL_VOTES)
    if sum(map(abs, deltas)) <= few:
        return "counted_again"
    if sum(-each for each in deltas if each < 0) <= few and sum(deltas) > 0:
        return "more_counted"
    return None
