"""Invented parties, the ballots that they are on, and their strength by place.

A lean is a weight per party of one ballot; only the proportions in it mean something.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

Lean = dict[str, float]


@dataclass(frozen=True, slots=True)
class Party:
    """A party: `share` of the country's votes; `urban` is its pull towards large (+) or small (−) places.

    `category` as in the registry: 1 large, 2 small, 3 stands in one county only.
    """

    code: str
    name: str
    category: int
    share: float
    urban: float = 0.0


PARTIES = (  # shares: sorted as in the recorded 2025 election, from 28 % down to 0.02 %
    Party("FL", "Fellesligaen", 1, 0.280, 0.02),
    Party("NST", "Nysteget", 1, 0.238, -0.03),
    Party("HV", "Hjem og Virke", 1, 0.147, 0.12),
    Party("SOL", "Solkraft", 1, 0.056, 0.15),
    Party("BYGD", "Bygdefolkets Samling", 1, 0.056, -0.45),
    Party("RØST", "Røst for Alle", 1, 0.053, 0.10),
    Party("LAV", "Lavtrykket", 1, 0.047, 0.28),
    Party("TRO", "Trofast Folkelag", 1, 0.042, -0.08),
    Party("ÅT", "Åpent Torg", 1, 0.037, 0.20),
    Party("ELDR", "De Eldres Ord", 2, 0.0083),
    Party("GML", "Gammel Skikk", 2, 0.0072),
    Party("UNG", "Ungt Overtak", 2, 0.0067, 0.05),
    Party("HÅND", "Håndverk og Havn", 2, 0.0058, -0.10),
    Party("STI", "Den Stille Sti", 2, 0.0048),
    Party("RO", "Ro i Landet", 2, 0.0029),
    Party("MIDT", "Midtveis", 2, 0.0018, 0.10),
    Party("TVIL", "Tvilerne", 2, 0.0016),
    Party("HJ", "Hjertebanken", 2, 0.0015),
    Party("FERJ", "Ferjelista", 3, 0.030),
    Party("BANE", "Banen Tilbake", 3, 0.006),
    Party("EN", "Ensligfolket", 3, 0.002),
    Party("LØV", "Løvskogens Venner", 3, 0.0004),
)

SMALL_PARTY_STANDS = 0.93
"""Probability that a small party is on the ballot of a county (recorded: all but one; lower here, for tests)."""
TYPICAL_ELECTORATE = 25_000
"""Half of the voters live in a larger municipality than this; there `urban` has no effect."""
COUNTY_SPREAD, MUNICIPALITY_SPREAD, UNIT_SPREAD = 0.22, 0.20, 0.10
"""Spread of a party's strength at each level: the sigma of a log-normal factor."""
MUNICIPALITY_MOST = 2.2
"""A party is at most this many times stronger, or weaker, in a municipality than in its county."""


def ballots(rng: Random, counties: int) -> list[list[Party]]:
    """Return the parties on each county's ballot, in the order of PARTIES."""
    home = {party.code: rng.randrange(counties) for party in PARTIES if party.category == 3}
    return [[party for party in PARTIES if _stands(rng, party, county, home)] for county in range(counties)]


def _stands(rng: Random, party: Party, county: int, home: dict[str, int]) -> bool:
    if party.category == 3:
        return home[party.code] == county
    return party.category == 1 or rng.random() < SMALL_PARTY_STANDS


def county_lean(rng: Random, ballot: Sequence[Party]) -> Lean:
    """Return the strength of each party of the ballot in a county."""
    return {party.code: party.share * rng.lognormvariate(0, COUNTY_SPREAD) for party in ballot}


def municipality_lean(rng: Random, county: Lean, size: float) -> Lean:
    """Return the strengths in a municipality; `size` is its electorate in TYPICAL_ELECTORATEs."""
    pull = {party.code: party.urban for party in PARTIES}

    def factor(code: str) -> float:
        drawn: float = size ** pull[code] * rng.lognormvariate(0, MUNICIPALITY_SPREAD)
        return min(max(drawn, 1 / MUNICIPALITY_MOST), MUNICIPALITY_MOST)

    return {code: weight * factor(code) for code, weight in county.items()}


def unit_lean(rng: Random, municipality: Lean, ballots: int) -> Lean:
    """Return the strengths in a count of some ballots: the fewer, the larger the random deviation."""
    per_vote = ballots / (sum(municipality.values()) or 1.0)
    return {
        code: weight * rng.lognormvariate(0, UNIT_SPREAD + 1 / math.sqrt(1 + weight * per_vote))
        for code, weight in municipality.items()
    }
