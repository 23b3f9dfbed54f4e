"""Rules about the votes of parties."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import combinations
from operator import sub
from typing import NamedTuple

from gateway.election.rules import evidence
from gateway.election.rules.current import CurrentReports, Reference
from gateway.election.rules.policy import Exchanged, ExchangedBefore, PartyExcess, PartyFell
from gateway.election.rules.step import Step


def party_excess(current: CurrentReports, step: Step, setting: PartyExcess) -> evidence.PartyExcess | None:
    """A party gains votes and has far more than its share elsewhere and the other parties' votes here suggest."""
    for change in _changes(current, step):
        before, votes = change.before, change.after
        least = setting.times * setting.plus
        grown = [
            party
            for party, gain in enumerate(map(sub, votes, before))
            if gain >= setting.votes and votes[party] > least
        ]
        if not grown:
            continue
        reference = current.reference(step, change.category, setting.reference)
        if reference is None:
            continue
        all_votes, expected = sum(votes), reference.votes
        for party in grown:
            others = all_votes - votes[party]
            rest = reference.total - expected[party]
            if rest and votes[party] * rest > setting.times * (
                others * expected[party] + setting.plus * rest
            ):
                return evidence.PartyExcess(
                    category=current.registry.categories[change.category],
                    party=current.registry.party_codes[party],
                    before=before[party],
                    after=votes[party],
                    expected=others * expected[party] // rest,
                    reference=current.registry.areas[reference.area].id,
                )
    return None


def exchanged(current: CurrentReports, step: Step, setting: Exchanged) -> evidence.Exchanged | None:
    """One party has far more votes than expected, another far fewer, and each has about what the other should have."""
    for change in _changes(current, step):
        all_votes = sum(change.after)
        if all_votes <= setting.times * setting.plus:
            continue
        reference = current.reference(step, change.category, setting.reference)
        if reference is None:
            continue
        for more, fewer in _unlike(change.after, all_votes, reference, setting):
            fit = _fits(change.after[more], reference.votes[fewer] * all_votes, reference.total, setting.plus)
            if fit and _fits(
                change.after[fewer], reference.votes[more] * all_votes, reference.total, setting.plus
            ):
                return _exchanged(current, change, all_votes, reference, more, fewer)
    return None


def _unlike(
    votes: Sequence[int], all_votes: int, reference: Reference, setting: Exchanged
) -> Iterator[tuple[int, int]]:
    """Yield pairs of a party with far more and one with far fewer votes than expected."""
    times, plus, total = setting.times, setting.plus, reference.total
    fewer = [
        party
        for party, (has, part) in enumerate(zip(votes, reference.votes, strict=True))
        if part * all_votes > times * (has + plus) * total
    ]
    if fewer:
        for party, (has, part) in enumerate(zip(votes, reference.votes, strict=True)):
            if has * total > times * (part * all_votes + plus * total):
                yield from ((party, other) for other in fewer)


def _fits(votes: int, expected: int, total: int, plus: int) -> bool:
    """Whether votes are between half and twice the expected ones (given times `total`), give or take `plus`."""
    return (votes - plus) * total <= 2 * expected and expected <= 2 * (votes + plus) * total


def _exchanged(
    current: CurrentReports, change: _Change, all_votes: int, reference: Reference, more: int, fewer: int
) -> evidence.Exchanged:
    codes = current.registry.party_codes
    return evidence.Exchanged(
        category=current.registry.categories[change.category],
        more=codes[more],
        more_votes=change.after[more],
        more_expected=reference.votes[more] * all_votes // reference.total,
        fewer=codes[fewer],
        fewer_votes=change.after[fewer],
        fewer_expected=reference.votes[fewer] * all_votes // reference.total,
        reference=current.registry.areas[reference.area].id,
    )


def exchanged_before(
    current: CurrentReports, step: Step, setting: ExchangedBefore
) -> evidence.ExchangedBefore | None:
    """Two parties have each other's votes of the current report."""
    for change in _changes(current, step):
        before, after = change.before, change.after
        changed = [
            party
            for party, gain in enumerate(map(sub, after, before))
            if gain >= setting.votes or -gain >= setting.votes
        ]
        for one, other in combinations(changed, 2):
            missed = abs(after[one] - before[other]) + abs(after[other] - before[one])
            both = before[one] + before[other]
            if abs(before[one] - before[other]) >= setting.votes and 1000 * missed <= setting.permille * both:
                codes = current.registry.party_codes
                return evidence.ExchangedBefore(
                    category=current.registry.categories[change.category],
                    one=codes[one],
                    one_before=before[one],
                    one_after=after[one],
                    other=codes[other],
                    other_before=before[other],
                    other_after=after[other],
                )
    return None


def party_fell(current: CurrentReports, step: Step, setting: PartyFell) -> evidence.PartyFell | None:
    """A party loses many votes."""
    changes = map(sub, step.before, step.after)
    if max(changes) * len(current.registry.categories) < setting.votes:
        return None
    before, after = current.votes(step.before), current.votes(step.after)
    lost = list(map(sub, before, after))
    party = max(range(len(lost)), key=lost.__getitem__)
    if lost[party] < setting.votes:
        return None
    there = current.votes(current.sums(step.municipality))
    for party, votes in enumerate(lost):
        if votes >= setting.votes and 1000 * votes >= setting.permille * there[party]:
            return evidence.PartyFell(
                party=current.registry.party_codes[party],
                before=before[party],
                after=after[party],
                municipality=current.registry.areas[step.municipality].id,
                municipality_votes=there[party],
            )
    return None


class _Change(NamedTuple):
    """A category whose figures differ, and the votes of its parties."""

    category: int
    before: array[int]
    after: array[int]


def _changes(current: CurrentReports, step: Step) -> Iterator[_Change]:
    """Yield the categories in which votes of parties differ."""
    for category, columns in enumerate(current.parties):
        before, after = step.before[columns], step.after[columns]
        if before != after:
            yield _Change(category, before, after)
