"""Seats computed in the simplest way, with fractions, from the registry document and votes, to compare others with.

Follows the contract (section 2), not the gateway's code: every quotient is listed and sorted.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

Votes = Mapping[str, int]
Seats = dict[str, int]


LEVELLING = {
    "method": "divisors",
    "divisors": [14, 30, 50],
    "districts": "county",
    "threshold": {"percent": 4, "of": "country"},
    "levelling": {"per_district": 1},
}
"""The rules of the Norwegian parliament."""


def with_seats(
    document: Mapping[str, Any], rule: Mapping[str, Any] = LEVELLING, seats: int = 13
) -> dict[str, Any]:
    """Return a registry with this apportionment, in which each district has so many seats."""
    areas = []
    for area in document["areas"]:
        areas.append({name: value for name, value in area.items() if name != "seats"})
        if area["level"] == rule["districts"]:
            areas[-1]["seats"] = seats
    return {**document, "election": {**document["election"], "apportionment": dict(rule)}, "areas": areas}


class Naive(NamedTuple):
    """Ordinary seats by district, the party with the last one, all seats by party, and the levelling seats in order."""

    ordinary: dict[str, Seats]
    last: dict[str, str | None]
    house: Seats
    levelling: list[tuple[str, str]] | None


def naive(document: Mapping[str, Any], votes: Mapping[str, Votes]) -> Naive:
    """Return the seats of an election; `votes` has the votes of each district."""
    rule = document["election"]["apportionment"]
    seats = {each["id"]: each["seats"] for each in document["areas"] if each["level"] == rule["districts"]}
    per_district = rule.get("levelling", {}).get("per_district", 0)
    parties = [each["code"] for each in document["parties"]]
    country = {party: sum(each.get(party, 0) for each in votes.values()) for party in parties}
    ordinary, last = {}, {}
    for district, number in seats.items():
        able = parties
        if not per_district and "threshold" in rule:
            of = country if rule["threshold"]["of"] == "country" else votes[district]
            able = _reaching(rule, of, parties)
        own = {party: votes[district].get(party, 0) for party in able}
        order = _order(rule, own, number - per_district)
        ordinary[district] = _counted(order[: number - per_district])
        last[district] = order[number - per_district - 1] if order else None
    won = _counted(party for each in ordinary.values() for party in _listed(each))
    if not per_district:
        return Naive(ordinary, last, won, [])
    if not all(any(each.values()) for each in votes.values()):
        return Naive(ordinary, last, won, None)
    house = _house(rule, country, won, sum(seats.values()))
    lacking = {party: house.get(party, 0) - won.get(party, 0) for party in parties}
    given = _levelling(rule, votes, seats, ordinary, lacking)
    return Naive(ordinary, last, _counted([*_listed(won), *(party for _, party in given)]), given)


def _reaching(rule: Mapping[str, Any], votes: Votes, parties: Iterable[str]) -> list[str]:
    percent = Fraction(str(rule["threshold"]["percent"])) if "threshold" in rule else Fraction(0)
    everything = sum(votes.values())
    return [party for party in parties if 100 * votes.get(party, 0) >= percent * everything]


def _divisor(divisors: list[int], place: int) -> int:
    if place < len(divisors):
        return divisors[place]
    return divisors[-1] + (place - len(divisors) + 1) * (divisors[-1] - divisors[-2])


def _order(rule: Mapping[str, Any], votes: Votes, seats: int) -> list[str]:
    """Return the parties in the order in which they get seats; votes are in registry order."""
    quotients = []
    everything = sum(votes.values())
    for place, (party, own) in enumerate(votes.items()):
        for before in range(seats + 1) if own else ():
            if rule["method"] == "divisors":
                quotient = Fraction(own, _divisor(rule["divisors"], before))
            else:
                quotient = Fraction(own * seats, everything) - before
            quotients.append((-quotient, -own, place, party))
    return [party for _, _, _, party in sorted(quotients)[: seats + 1]]


def _house(rule: Mapping[str, Any], country: Votes, won: Seats, seats: int) -> Seats:
    able = _reaching(rule, country, country)
    found = {party: number for party, number in won.items() if party not in able}
    while True:
        left = seats - sum(found.values())
        own = {party: votes for party, votes in country.items() if party in able and party not in found}
        share = _counted(_order(rule, own, left)[:left])
        above = {party: won.get(party, 0) for party in own if won.get(party, 0) > share.get(party, 0)}
        if not above:
            return {**found, **share}
        found |= above


def _levelling(
    rule: Mapping[str, Any],
    votes: Mapping[str, Votes],
    seats: Mapping[str, int],
    ordinary: Mapping[str, Seats],
    lacking: Seats,
) -> list[tuple[str, str]]:
    per_district = rule["levelling"]["per_district"]
    free = dict.fromkeys(seats, per_district)
    there = {district: dict(each) for district, each in ordinary.items()}
    places = {party: place for place, party in enumerate(lacking)}
    given: list[tuple[str, str]] = []
    while True:
        claims = []
        for number, (district, own) in enumerate(votes.items()):
            average = Fraction(sum(own.values()), seats[district] - per_district)
            for party, count in own.items():
                if count and free[district] and lacking[party] > 0:
                    quotient = Fraction(count, 2 * there[district].get(party, 0) + 1) / average
                    claims.append((quotient, count, -number, -places[party], party, district))
        if not claims:
            return given
        *_, party, district = max(claims)
        given.append((district, party))
        free[district] -= 1
        lacking[party] -= 1
        there[district][party] = there[district].get(party, 0) + 1


def _counted(parties: Iterable[str]) -> Seats:
    found: Seats = {}
    for party in parties:
        found[party] = found.get(party, 0) + 1
    return found


def _listed(seats: Seats) -> list[str]:
    return [party for party, number in seats.items() for _ in range(number)]
