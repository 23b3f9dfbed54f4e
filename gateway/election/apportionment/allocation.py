"""The allocation of a number of seats to parties by their votes, and between whom a lot would have to decide."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway.election.apportionment.methods import AnyMethod, party_bits, ranks


class Allocation(NamedTuple):
    """Seats by party, in the order of the registry, and what they were allocated by."""

    seats: list[int]
    parties: Sequence[int]
    """Those that take part: with votes, and allowed to."""
    rank: Callable[[int, int], int]
    """Rank of the next seat of a party that has so many seats."""
    lot_bits: int
    """Lowest bits of a rank, which only replace a lot."""

    def last(self) -> int | None:
        """Return the party that has the last seat."""
        having = [party for party in self.parties if self.seats[party]]
        return min(having, key=lambda party: self.rank(party, self.seats[party] - 1), default=None)

    def next(self, beside: int | None) -> int | None:
        """Return the party that would get the next seat, other than `beside`."""
        others = [party for party in self.parties if party != beside]
        return max(others, key=lambda party: self.rank(party, self.seats[party]), default=None)

    def tied(self) -> tuple[int, ...]:
        """Return the parties between which a lot would have to decide who has the last seats."""
        last = self.last()
        if last is None:
            return ()
        rank, seats = self.rank, self.seats
        limit = rank(last, seats[last] - 1) >> self.lot_bits
        without = [party for party in self.parties if rank(party, seats[party]) >> self.lot_bits == limit]
        if not without:
            return ()
        having = [
            party
            for party in self.parties
            if seats[party] and rank(party, seats[party] - 1) >> self.lot_bits == limit
        ]
        return tuple(sorted({*having, *without}))


def allocate(rule: AnyMethod, votes: Sequence[int], seats: int, parties: Sequence[int]) -> Allocation:
    """Allocate seats among those of `parties` that have votes; none if there is no such party.

    The cost is that of sorting the parties: it starts with an estimate, which is corrected by single seats.
    """
    taking = [party for party in parties if votes[party] > 0]
    found = [0] * len(votes)
    if not taking or seats <= 0:
        return Allocation(found, (), _no_rank, 0)
    method = rule.method(sum(votes[party] for party in taking), seats)
    rank = ranks(method, votes)
    for party in taking:  # every seat whose quotient is at least some value
        found[party] = method.estimate(votes[party])
    excess = sum(found) - seats
    if excess > seats:
        found, excess = [0] * len(votes), -seats
    if excess < 0:
        _add(found, -excess, taking, rank)
    elif excess > 0:
        _remove(found, excess, taking, rank)
    return Allocation(found, taking, rank, party_bits(votes))


def _no_rank(_party: int, _before: int) -> int:
    """Return the rank where nobody takes part."""
    return 0


def _add(seats: list[int], number: int, parties: Sequence[int], rank: Callable[[int, int], int]) -> None:
    """Give the next seats, in their order."""
    heap = [(-rank(party, seats[party]), party) for party in parties]
    heapq.heapify(heap)
    for _ in range(number):
        party = heap[0][1]
        seats[party] += 1
        heapq.heapreplace(heap, (-rank(party, seats[party]), party))


def _remove(seats: list[int], number: int, parties: Sequence[int], rank: Callable[[int, int], int]) -> None:
    """Take the last seats, the last first."""
    heap = [(rank(party, seats[party] - 1), party) for party in parties if seats[party]]
    heapq.heapify(heap)
    for _ in range(number):
        party = heap[0][1]
        seats[party] -= 1
        if seats[party]:
            heapq.heapreplace(heap, (rank(party, seats[party] - 1), party))
        else:
            heapq.heappop(heap)
