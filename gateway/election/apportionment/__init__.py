"""PURE: seats, as they follow from votes by the rules of the registry. All of it is calculated in integers, exactly.

    rules (registry) ─► district ─► house

`district` gives the ordinary seats of one district, `house` those of all of them with the levelling seats. Both take
votes by party in the order of the registry; parties are their places in it. Independent of states and formats.
"""

from gateway.election.apportionment.district import DistrictSeats, LastSeat, NextSeat, district, seats_among
from gateway.election.apportionment.house import Counted, HouseSeats, LevellingSeat, country_votes, house
from gateway.election.apportionment.methods import Divisors, LargestRemainder
from gateway.election.apportionment.ranking import Ranked, Ranking, ranking
from gateway.election.apportionment.rules import Apportionment, Bloc, District
from gateway.election.apportionment.threshold import Threshold, ThresholdMargin

__all__ = [
    "Apportionment",
    "Bloc",
    "Counted",
    "District",
    "DistrictSeats",
    "Divisors",
    "HouseSeats",
    "LargestRemainder",
    "LastSeat",
    "LevellingSeat",
    "NextSeat",
    "Ranked",
    "Ranking",
    "Threshold",
    "ThresholdMargin",
    "country_votes",
    "district",
    "house",
    "ranking",
    "seats_among",
]
