"""The seats of the house: those of the districts, and the levelling seats.

Levelling works as for the Norwegian parliament: the whole house is allocated among the parties above the threshold by
the votes of the country, and what a party then lacks are its levelling seats. Source: valgloven (Norwegian Election
Act), sections 11-6 and 11-7.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from operator import add
from typing import NamedTuple

from gateway.election.apportionment.allocation import allocate
from gateway.election.apportionment.district import DistrictSeats
from gateway.election.apportionment.methods import VOTES_BITS
from gateway.election.apportionment.rules import Apportionment
from gateway.election.apportionment.threshold import ThresholdMargin


class Counted(NamedTuple):
    """A district: its votes by party in the order of the registry, and its seats by these votes."""

    votes: Sequence[int]
    seats: DistrictSeats


class LevellingSeat(NamedTuple):
    """A levelling seat, and the quotient by which it was given: `numerator` ÷ `denominator`."""

    district: int
    """Its place in `Apportionment.districts`."""
    party: int
    numerator: int
    denominator: int


class HouseSeats(NamedTuple):
    """The seats of all districts together. Parties are their places in the registry."""

    seats: tuple[int, ...]
    """Of every party, in the order of the registry, levelling seats included."""
    levelling: tuple[int, ...]
    """Levelling seats of every party; all 0 until they are given."""
    threshold: tuple[ThresholdMargin, ...]
    """Parties near a threshold that is one of the votes in the country."""
    given: tuple[LevellingSeat, ...] | None
    """The levelling seats in the order given; None without levelling, and until every district has a vote."""
    tied: tuple[int, ...]
    """Parties between which a lot would have to decide on levelling seats."""


def house(
    rule: Apportionment,
    districts: Sequence[Counted],
    votes: Sequence[int] | None = None,
    ordinary: Sequence[int] | None = None,
) -> HouseSeats:
    """Return the seats of the house by those of its districts, in the order of `rule.districts`.

    `votes` and `ordinary` are the sums of the districts' votes and ordinary seats by party, where they are known.
    """
    if votes is None:
        votes = country_votes(districts)
    if ordinary is None:
        ordinary = [sum(seats) for seats in zip(*(each.seats.seats for each in districts), strict=True)]
    threshold = rule.threshold
    near = threshold.margins(votes) if threshold is not None and threshold.of == "country" else ()
    none = (0,) * len(ordinary)
    if rule.levelling is None or not all(map(any, (each.votes for each in districts))):
        return HouseSeats(tuple(ordinary), none, near, None, ())
    lacking, tied = _lacking(rule, votes, ordinary)
    given, tied_for_districts = _give(rule.levelling, districts, lacking)
    levelling = [0] * len(ordinary)
    for each in given:
        levelling[each.party] += 1
    seats = tuple(map(add, ordinary, levelling))
    return HouseSeats(
        seats, tuple(levelling), near, tuple(given), tuple(sorted({*tied, *tied_for_districts}))
    )


def country_votes(districts: Sequence[Counted]) -> list[int]:
    """Return the votes by party of all districts together."""
    return [sum(votes) for votes in zip(*(each.votes for each in districts), strict=True)]


def _lacking(
    rule: Apportionment, votes: Sequence[int], ordinary: Sequence[int]
) -> tuple[list[int], tuple[int, ...]]:
    """Return the levelling seats of each party, and the parties between which a lot would have to decide.

    A party that has more seats from the districts than the whole house would give it keeps them and is left out.
    """
    parties = (
        rule.threshold.eligible(votes)
        if rule.threshold is not None
        else [p for p, own in enumerate(votes) if own]
    )
    others = sum(ordinary) - sum(ordinary[party] for party in parties)
    seats = rule.seats - others
    while True:
        found = allocate(rule.method, votes, seats, parties)
        above = {party for party in parties if ordinary[party] > found.seats[party]}
        if not above:
            break
        seats -= sum(ordinary[party] for party in above)
        parties = [party for party in parties if party not in above]
    lacking = [0] * len(votes)
    for party in parties:
        lacking[party] = found.seats[party] - ordinary[party]
    return lacking, found.tied()


def _give(
    per_district: int, districts: Sequence[Counted], lacking: Sequence[int]
) -> tuple[list[LevellingSeat], set[int]]:
    """Give the levelling seats, the largest quotient first; also return the parties between which a lot is needed.

    A quotient is (votes ÷ (2 × seats there + 1)) ÷ (all votes there ÷ ordinary seats there). A seat for which no party
    that lacks seats has votes is not given.
    """
    lacking, free = list(lacking), [per_district] * len(districts)
    totals = [sum(each.votes) for each in districts]
    had = [list(each.seats.seats) for each in districts]
    most = per_district + max(map(max, had))
    shift = 2 * (max(totals) * (2 * most + 1)).bit_length()  # quotients that differ do so in these bits

    def candidate(district: int, party: int) -> tuple[int, int, int]:
        own = districts[district].votes[party]
        quotient = (own * districts[district].seats.ordinary << shift) // (
            (2 * had[district][party] + 1) * totals[district]
        )
        return -((quotient << VOTES_BITS) + own), district, party

    parties = [party for party, number in enumerate(lacking) if number]
    heap = [
        candidate(district, party)
        for district, each in enumerate(districts)
        for party in parties
        if each.votes[party]
    ]
    heapq.heapify(heap)
    given: list[LevellingSeat] = []
    tied: set[int] = set()
    most_left = min(sum(lacking), sum(free))
    while heap and len(given) < most_left:
        first = heapq.heappop(heap)
        equal = [first]
        while heap and heap[0][0] == first[0]:
            equal.append(heapq.heappop(heap))
        possible = [each for each in equal if lacking[each[2]] and free[each[1]]]
        refused = False
        for _, district, party in possible:
            if not lacking[party] or not free[district]:
                refused = True
                continue
            lacking[party] -= 1
            free[district] -= 1
            each = districts[district]
            denominator = (2 * had[district][party] + 1) * totals[district]
            given.append(LevellingSeat(district, party, each.votes[party] * each.seats.ordinary, denominator))
            had[district][party] += 1
            heapq.heappush(heap, candidate(district, party))
        if refused:
            tied.update(party for _, _, party in possible)
    return given, tied
