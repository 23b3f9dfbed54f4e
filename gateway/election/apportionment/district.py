"""The seats of one district, as they follow from its votes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.election.apportionment.allocation import Allocation, allocate
from gateway.election.apportionment.margins import Contest, lacks, spare
from gateway.election.apportionment.rules import Apportionment
from gateway.election.apportionment.threshold import ThresholdMargin


class LastSeat(NamedTuple):
    """The party that has the last ordinary seat of a district."""

    party: int
    """Its place in the registry."""
    spare: int
    """The most votes of its own that it can lose, all else equal, before it loses the seat without a lot."""


class NextSeat(NamedTuple):
    """The party that would have the last ordinary seat of a district if the party that has it had not."""

    party: int
    """Its place in the registry."""
    lacks: int
    """With so many more votes of its own, all else equal, it wins a seat without a lot."""


class DistrictSeats(NamedTuple):
    """The ordinary seats of a district. Parties are their places in the registry."""

    ordinary: int
    """Seats to allocate."""
    seats: tuple[int, ...]
    """Of every party, in the order of the registry; all 0 without votes."""
    last: LastSeat | None
    next: NextSeat | None
    """None if no other party could get a seat."""
    tied: tuple[int, ...]
    """Parties between which a lot would have to decide; the order of the registry is used instead."""
    threshold: tuple[ThresholdMargin, ...] = ()
    """Parties near a threshold that is one of the votes in the district."""


def district(
    rule: Apportionment, votes: Sequence[int], seats: int, country: Sequence[int] | None = None
) -> DistrictSeats:
    """Return the ordinary seats of a district with these votes by party, in the order of the registry.

    `seats` includes levelling seats. `country` has the votes of all districts; it is needed if `rule.by_country`.
    """
    ordinary = rule.ordinary(seats)
    threshold = rule.threshold if rule.levelling is None else None
    if threshold is None:
        whole = None
        parties: Sequence[int] = range(len(votes))
    else:
        whole = country if threshold.of == "country" and country is not None else votes
        parties = threshold.eligible(whole)
    found = allocate(rule.method, votes, ordinary, parties)
    last, next_ = _last_and_next(Contest(rule.method, votes, ordinary, threshold, whole), found)
    near = threshold.margins(votes) if threshold is not None and threshold.of == "district" else ()
    return DistrictSeats(ordinary, tuple(found.seats), last, next_, found.tied(), near)


def seats_among(
    rule: Apportionment, votes: Sequence[int], seats: int, parties: Sequence[int]
) -> DistrictSeats:
    """Return the seats of a district as `district` does, if these parties may have any, without `last` and `next`.

    This takes a fraction of the time if the search for `lacks` and `spare` has to consider a threshold.
    """
    ordinary = rule.ordinary(seats)
    found = allocate(rule.method, votes, ordinary, parties)
    return DistrictSeats(ordinary, tuple(found.seats), None, None, found.tied())


def _last_and_next(contest: Contest, found: Allocation) -> tuple[LastSeat | None, NextSeat | None]:
    last = found.last()
    if last is None:
        return None, None
    following = found.next(last)
    has = LastSeat(last, spare(contest, found, last, following))
    return has, None if following is None else NextSeat(following, lacks(contest, found, last, following))
