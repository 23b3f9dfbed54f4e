"""Seats by the definition alone: every quotient of every party as a fraction, sorted."""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from gateway.election.apportionment import Apportionment, Divisors


class _Quotient(NamedTuple):
    """Sorted from the first: by quotient, votes and what replaces a lot."""

    quotient: Fraction
    votes: int
    lot: int
    party: int


def divisors(rule: Divisors, number: int) -> list[int]:
    """Return the first `number` divisors."""
    found = list(rule.first)
    while len(found) < number:
        found.append(found[-1] + found[-1] - found[-2])
    return found[:number]


def eligible(rule: Apportionment, votes: Sequence[int], country: Sequence[int]) -> list[int]:
    """Return the parties with votes that reach the threshold for ordinary seats."""
    having = [party for party, own in enumerate(votes) if own]
    if rule.threshold is None or rule.levelling is not None:
        return having
    of = votes if rule.threshold.of == "district" else country
    share = Fraction(rule.threshold.parts, 100_000)
    return [party for party in having if Fraction(of[party], sum(of)) >= share]


def allocated(
    rule: Apportionment,
    votes: Sequence[int],
    seats: int,
    parties: Sequence[int],
    luck: dict[int, int] | None = None,
) -> list[int]:
    """Return the seats of each party; `luck` replaces the order of the registry in lots, the higher the better."""
    total = sum(votes[party] for party in parties)
    if not total:
        return [0] * len(votes)
    lot = luck if luck is not None else {party: -party for party in range(len(votes))}
    found = []
    for party in parties:
        for before in range(seats):
            if isinstance(rule.method, Divisors):
                quotient = Fraction(votes[party], divisors(rule.method, before + 1)[before])
            else:
                quotient = Fraction(votes[party] * seats, total) - before
            found.append(_Quotient(quotient, votes[party], lot.get(party, 0), party))
    first = sorted(found, reverse=True)[:seats]
    return [sum(each.party == party for each in first) for party in range(len(votes))]


def ordinary(
    rule: Apportionment,
    votes: Sequence[int],
    seats: int,
    country: Sequence[int],
    luck: dict[int, int] | None = None,
) -> list[int]:
    """Return the ordinary seats of a district."""
    return allocated(rule, votes, rule.ordinary(seats), eligible(rule, votes, country), luck)


def largest_remainder(votes: Sequence[int], seats: int) -> list[int]:
    """Return the seats by whole quotas, and the rest by the largest remainders; votes all differ."""
    quotas = [Fraction(own * seats, sum(votes)) for own in votes]
    found = [int(quota) for quota in quotas]
    order = sorted(range(len(votes)), key=lambda party: (quotas[party] % 1, votes[party]), reverse=True)
    for party in order[: seats - sum(found)]:
        found[party] += 1
    return found


def levelled(
    rule: Apportionment, votes: Sequence[Sequence[int]]
) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """Return ordinary seats by district and party, and the levelling seats in their order: district and party."""
    had = [ordinary(rule, own, each.seats, ()) for own, each in zip(votes, rule.districts, strict=True)]
    country = [sum(each) for each in zip(*votes, strict=True)]
    share = Fraction(rule.threshold.parts, 100_000) if rule.threshold else Fraction(0)
    reaching = [p for p, own in enumerate(country) if own and Fraction(own, sum(country)) >= share]
    from_districts = [sum(each) for each in zip(*had, strict=True)]
    house = sum(each.seats for each in rule.districts)
    taking = list(reaching)
    while True:
        kept = sum(number for party, number in enumerate(from_districts) if party not in taking)
        whole = allocated(rule, country, house - kept, taking)
        without = [party for party in taking if from_districts[party] <= whole[party]]
        if without == taking:
            break
        taking = without
    lacking = {party: whole[party] - from_districts[party] for party in taking}
    free = [rule.levelling or 0] * len(votes)
    now, order = [list(each) for each in had], list[tuple[int, int]]()
    while True:
        possible = [
            (
                Fraction(own[party], 2 * now[number][party] + 1)
                / Fraction(sum(own), rule.ordinary(rule.districts[number].seats)),
                own[party],
                -number,
                -party,
            )
            for number, own in enumerate(votes)
            for party in range(len(country))
            if lacking.get(party) and free[number] and own[party]
        ]
        if not possible:
            return had, order
        _, _, number, party = max(possible)
        order.append((-number, -party))
        now[-number][-party] += 1
        lacking[-party] -= 1
        free[-number] -= 1
