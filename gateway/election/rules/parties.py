"""Rules about the votes of parties."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from operator import sub

from gateway.election.rules import evidence
from gateway.election.rules.current import CurrentReports, Reference
from gateway.election.rules.policy import Exchanged, ExchangedBefore, PartyExcess, PartyFell
from gateway.election.rules.step import Category, Step

PAIRED_MAX = 16
"""Parties of which each is compared with each: a ballot may have thousands."""


def party_excess(current: CurrentReports, step: Step, setting: PartyExcess) -> evidence.PartyExcess | None:
    """A party gains votes and has far more than its share elsewhere and the other parties' votes here suggest."""
    least = setting.times * setting.plus
    for change in step.categories:
        grown = [
            party
            for party, (gain, votes) in enumerate(zip(change.gains, change.after, strict=True))
            if gain >= setting.votes and votes > least
        ]
        if not grown:
            continue
        reference = current.reference(step, change.category, setting.reference)
        if reference is None:
            continue
        all_votes, expected = change.ballots_after - change.after[-1], reference.votes
        for party in grown:
            if party == len(expected):
                continue  # the blank votes
            votes = change.after[party]
            others, rest = all_votes - votes, reference.total - expected[party]
            if rest and votes * rest > setting.times * (others * expected[party] + setting.plus * rest):
                return evidence.PartyExcess(
                    category=current.registry.categories[change.category],
                    party=current.registry.party_codes[party],
                    before=change.before[party],
                    after=votes,
                    expected=others * expected[party] // rest,
                    reference=current.registry.areas[reference.area].id,
                )
    return None


def exchanged(current: CurrentReports, step: Step, setting: Exchanged) -> evidence.Exchanged | None:
    """One party has far more votes than expected, another far fewer, and each has about what the other should have."""
    for change in step.categories:
        votes, all_votes = change.after[:-1], change.ballots_after - change.after[-1]
        if all_votes <= setting.times * setting.plus:
            continue
        reference = current.reference(step, change.category, setting.reference)
        if reference is None:
            continue
        parts, total, plus = reference.votes, reference.total, setting.plus
        for more, fewer in _unlike(votes, all_votes, reference, setting):
            if _fits(votes[more], parts[fewer] * all_votes, total, plus) and _fits(
                votes[fewer], parts[more] * all_votes, total, plus
            ):
                return _exchanged(current, change, all_votes, reference, more, fewer)
    return None


def _unlike(
    votes: Sequence[int], all_votes: int, reference: Reference, setting: Exchanged
) -> Iterator[tuple[int, int]]:
    """Yield pairs of a party with far more and one with far fewer votes than expected."""
    times, plus, total = setting.times, setting.plus, reference.total
    per_vote = times * total
    fewer = [
        party
        for party, (has, part) in enumerate(zip(votes, reference.votes, strict=True))
        if part * all_votes > (has + plus) * per_vote
    ]
    if fewer:
        more = [
            party
            for party, (has, part) in enumerate(zip(votes, reference.votes, strict=True))
            if has * total > times * (part * all_votes + plus * total)
        ]
        yield from product(_largest(more, votes), _largest(fewer, reference.votes))


def _largest(parties: list[int], size: Sequence[int]) -> list[int]:
    """Return the parties, but of many only those with the largest size."""
    if len(parties) <= PAIRED_MAX:
        return parties
    return sorted(parties, key=lambda party: -abs(size[party]))[:PAIRED_MAX]


def _fits(votes: int, expected: int, total: int, plus: int) -> bool:
    """Whether votes are between half and twice the expected ones (given times `total`), give or take `plus`."""
    return (votes - plus) * total <= 2 * expected and expected <= 2 * (votes + plus) * total


def _exchanged(
    current: CurrentReports, change: Category, all_votes: int, reference: Reference, more: int, fewer: int
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
    for change in step.categories:
        if not change.ballots_before:
            continue
        before, after = change.before, change.after
        changed = [
            party
            for party, gain in enumerate(change.gains[:-1])
            if gain >= setting.votes or -gain >= setting.votes
        ]
        for one, other in combinations(_largest(changed, change.gains), 2):
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
    if sum(-min(change.gains) for change in step.categories) < setting.votes:
        return None
    before, after = current.votes(step.before), current.votes(step.after)
    lost = list(map(sub, before, after))
    if max(lost) < setting.votes:
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
